"""The page of the deep job: `deep.json` as Markdown, targets and misses included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from table import Target

__all__ = ["write_table"]

OURS, HUTCHINSON, PLAIN = "deep_exact", "deep_hutchinson", "deep_plain"
COMPILED, JAX, BLOCKED = "deep_torch_compiled", "deep_jax_jacrev", "deep_jax_blocked"
# Contender -> the same framework's without the penalty, whose memory is subtracted.
FLOORS = {
    OURS: PLAIN,
    HUTCHINSON: PLAIN,
    COMPILED: "deep_torch_compiled_plain",
    "deep_torch_jacrev": "deep_torch_plain",
    JAX: "deep_jax_plain",
    BLOCKED: "deep_jax_plain",
}
WHOLE_BATCH = (COMPILED, "deep_torch_jacrev", JAX)  # they hold all rows' Jacobians at once
# Features -> times faster than `torch.compile`; share of the leanest whole-batch method's memory, percent.
REACH = {784: (1.05, 60), 3072: (2.2, 60)}
HUTCHINSON_FEATURES, HUTCHINSON_REACH = 784, 25
LABELS = {
    OURS: "contractive, exact",
    HUTCHINSON: "contractive, Hutchinson's estimate, one probe",
    PLAIN: "contractive, no penalty",
    COMPILED: "PyTorch, `torch.compile` of the whole step, `vmap(jacrev)`",
    "deep_torch_jacrev": "PyTorch, eager, `vmap(jacrev)`",
    "deep_torch_compiled_plain": "PyTorch, `torch.compile`, no penalty",
    "deep_torch_plain": "PyTorch, eager, no penalty",
    JAX: "JAX, jitted step, `vmap(jacrev)`",
    BLOCKED: "JAX, `vmap(jacrev)` by blocks of 10 rows, computed anew on the way back",
    "deep_jax_plain": "JAX, no penalty",
}
Entries = dict[str, dict[str, Any]]


def write_table(results: dict[str, Any], path: Path) -> None:
    """Write the page."""
    machine = results["machine"]
    lines = [
        "# Speed of the deep exact penalty",
        "",
        "Written by `make bench` from `deep.json`; do not edit. The job: a tied tanh auto-encoder d–1000–500–100 with",
        "squared error, λ ‖J‖_F² of the exact (100 × d) Jacobian of the code, λ = 0.1, plain SGD, batch 100, float32",
        "rows uniform in [0, 1]. Contenders take turns, round by round, each in a process of its own; figures are",
        "medians, a ratio is the median of the ratios within a round. *Right* means: both parts of the cost and the",
        "change of each parameter over the first minibatches agree with a NumPy implementation in float64, gradient by",
        "hand, to 1e-3 (the estimate's to 5e-2). Memory is the peak of the process; *above plain* is what remains when",
        "that of the same framework's contender without penalty, after as many steps, is subtracted.",
        "",
        f"{results['rounds']} rounds on {machine['cores']} cores of a shared machine ({machine['processor']}).",
        "",
        "| what | measured | target | |",
        "|---|---|---|---|",
    ]
    for n_features, race in results["training"].items():
        lines += rows_of_targets(int(n_features), race["contenders"])
    for n_features, race in results["training"].items():
        lines += contenders(n_features, race["contenders"])
    for peer, reason in results["missing"].items():
        lines.append(f"Not measured: {LABELS[peer]} ({reason}).")
    path.write_text("\n".join(lines) + "\n" + NOTES)


def rows_of_targets(n_features: int, entries: Entries) -> Iterator[str]:
    """The lines of the table of targets at one size; those without a target are shown only."""
    faster, memory = REACH[n_features]
    sizes = f"{n_features}–1000–500–100"
    if COMPILED in entries:
        what = f"exact penalty, full step, {sizes}, against `torch.compile`, `vmap(jacrev)`"
        yield Target(what, ratio(entries, COMPILED, OURS), faster, True, "×").row()
    for name, what in ((JAX, "JAX's `vmap(jacrev)`"), (BLOCKED, "the same by blocks of rows")):
        yield shown(f"exact penalty, full step, {sizes}, against {what}", ratio(entries, name, OURS), "×")
    above = {name: above_plain(entries, name) for name in (*WHOLE_BATCH, BLOCKED) if name in entries}
    ours = 100 * above_plain(entries, OURS)
    leanest = min((name for name in WHOLE_BATCH if name in entries), key=above.__getitem__)
    what = f"memory above the plain auto-encoder's, {sizes}, of that of the leanest `vmap(jacrev)` ({LABELS[leanest]})"
    yield Target(what, ours / above[leanest], memory, False, " %").row()
    yield shown(f"the same, of that of JAX's by blocks of rows, {sizes}", ours / above[BLOCKED], " %")
    if n_features == HUTCHINSON_FEATURES:
        what = f"Hutchinson's step against the exact one, {sizes}"
        yield Target(what, ratio(entries, OURS, HUTCHINSON), HUTCHINSON_REACH, True, "×").row()
    yield shown(f"exact step against our plain step, {sizes}", ratio(entries, OURS, PLAIN), "×")


def shown(what: str, value: float, unit: str) -> str:
    """The line of something without a target."""
    return f"| {what} | {value:.2f}{unit} | – | |"


def ratio(entries: Entries, slow: str, fast: str) -> float:
    """How many times longer the first takes: the median over rounds."""
    pairs = zip(entries[slow]["seconds"], entries[fast]["seconds"], strict=True)
    return median(longer / shorter for longer, shorter in pairs)


def above_plain(entries: Entries, name: str) -> float:
    """The peak memory of a contender without that of its floor, in MiB."""
    return entries[name]["peak_memory_mib"] - entries[FLOORS[name]]["peak_memory_mib"]


def contenders(n_features: str, entries: Entries) -> list[str]:
    """One size's table, fastest first."""
    lines = [
        "",
        f"## {n_features}–1000–500–100",
        "",
        "| contender | ms a step, median (min–max) | times our exact | peak MiB | above plain | ready, s | right |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sorted(entries, key=lambda name: median(entries[name]["seconds"])):
        entry = entries[name]
        ms = [1000 * seconds for seconds in entry["seconds"]]
        above = f"{above_plain(entries, name):.0f}" if name in FLOORS else "–"
        right = "yes" if not entry["disagreements"] else "**no**: " + "; ".join(entry["disagreements"])
        lines.append(
            f"| {LABELS[name]} | {median(ms):.1f} ({min(ms):.1f}–{max(ms):.1f}) | {ratio(entries, name, OURS):.3g} "
            f"| {entry['peak_memory_mib']:.0f} | {above} | {entry['compile_seconds']:.1f} | {right} |"
        )
    return lines


NOTES = (Path(__file__).parent / "deep_notes.md").read_text()
