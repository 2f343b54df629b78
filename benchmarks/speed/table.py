"""The speed table: `results.json` as Markdown, targets and misses included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

__all__ = ["write_table"]

OURS, PLAIN = "contractive_cae", "contractive_plain"
TUTORIAL_BATCH = 10
# Batch size -> times faster than Theano, than PyTorch's autograd, than the experts; share of the machine's peak.
REACH = {10: (13, 3.5, 1.5, 0.60), 100: (24, 1.6, 1.15, None), 1000: (None, None, None, 0.95)}
EXPERTS = ("torch_compiled", "torch_by_hand", "keras_jax")
LABELS = {
    "contractive_cae": "contractive",
    "contractive_jax": "contractive, `engine='jax'`",
    "contractive_plain": "contractive, λ = 0, no Jacobian at all",
    "theano_as_published": "Theano 1.0.5, the tutorial as published (`//`: no gradient of the penalty)",
    "theano_tutorial": "Theano 1.0.5, the tutorial with `/`",
    "torch_closed_form": "PyTorch, closed form with autograd and SGD",
    "torch_compiled": "PyTorch, `torch.compile` of the whole step",
    "torch_by_hand": "PyTorch, hand-written in-place gradient",
    "keras_jax": "Keras 3 on JAX, jitted stateless step",
}


class Target(NamedTuple):
    """One line of what must be reached."""

    what: str
    value: float
    reach: float
    at_least: bool
    unit: str

    def row(self) -> str:
        """The line of the table."""
        met = self.value >= self.reach if self.at_least else self.value <= self.reach
        sign = "≥" if self.at_least else "≤"
        verdict = "reached" if met else f"**missed** by {abs(self.value / self.reach - 1):.0%}"
        return f"| {self.what} | {self.value:.2f}{self.unit} | {sign} {self.reach:g}{self.unit} | {verdict} |"


def write_table(results: dict[str, Any], path: Path) -> None:
    """Write the page."""
    machine = results["machine"]
    lines = [
        "# Speed",
        "",
        "Written by `make bench` from `results.json`; do not edit. The tutorial's job: tied sigmoid 784–500,",
        "cross-entropy, λ = 0.1, plain SGD, MNIST's 50,000 rows in order. Contenders take turns, round by round, each",
        "in a process and environment of its own; figures are medians, a ratio is the median of the ratios within a",
        "round. *Right* means: costs and weights after the first minibatches agree with a NumPy implementation in",
        "float64 to 1e-3.",
        "",
        f"{results['rounds']} rounds on {machine['cores']} cores of a shared machine ({machine['processor']}).",
        "",
        "| what | measured | target | |",
        "|---|---|---|---|",
        *(target.row() for target in targets(results)),
        "",
    ]
    for batch_size, race in results["training"].items():
        lines += contenders(batch_size, race)
    for peer, reason in results["missing"].items():
        lines.append(f"Not measured: {LABELS[peer]} ({reason}).")
    path.write_text("\n".join(lines) + "\n" + NOTES)


def targets(results: dict[str, Any]) -> Iterator[Target]:
    """Every target that the results can speak of."""
    for batch_size, race in results["training"].items():
        yield from training_targets(int(batch_size), race)
    if "processes" in results:
        help_runs, job_runs = results["processes"]["help"], results["processes"]["one_epoch"]
        memory = median(run["peak_memory_mib"] for run in job_runs)
        yield Target("peak memory of the tutorial's job", memory, 450, False, " MiB")
        yield Target("`contractive --help`", median(run["seconds"] for run in help_runs), 0.3, False, " s")
        seconds = median(run["seconds"] for run in job_runs)
        yield Target("`contractive train mnist --preset tutorial --epochs 1`, to exit", seconds, 8, False, " s")


def training_targets(batch_size: int, race: dict[str, Any]) -> Iterator[Target]:
    """The targets at one batch size."""
    seconds = {name: entry["seconds"] for name, entry in race["contenders"].items()}
    theano, autograd, experts, share = REACH[batch_size]
    for peer, reach in (("theano_as_published", theano), ("theano_tutorial", theano), ("torch_closed_form", autograd)):
        if reach and peer in seconds:
            yield Target(f"against {LABELS[peer]}, batch {batch_size}", ratio(seconds, peer), reach, True, "×")
    if experts and set(EXPERTS) <= set(seconds):
        best = min(EXPERTS, key=lambda name: median(seconds[name]))
        what = f"against the best of three experts' ({LABELS[best]}), batch {batch_size}"
        yield Target(what, ratio(seconds, best), experts, True, "×")
    if share:
        flop = race["flop_an_epoch"]
        shares = [flop / time / 1e9 / peak for time, peak in zip(seconds[OURS], race["gflops"], strict=True)]
        yield Target(f"share of the matrix-product peak, batch {batch_size}", median(shares), share, True, "")
    if batch_size == TUTORIAL_BATCH:
        cost = median(ours / plain for ours, plain in zip(seconds[OURS], seconds[PLAIN], strict=True))
        yield Target(f"epoch with the penalty against λ = 0 without it, batch {batch_size}", cost, 1.05, False, "×")


def ratio(seconds: dict[str, list[float]], other: str) -> float:
    """How many times longer the other takes: the median over rounds."""
    return median(theirs / ours for theirs, ours in zip(seconds[other], seconds[OURS], strict=True))


def contenders(batch_size: str, race: dict[str, Any]) -> list[str]:
    """One batch size's table, fastest first."""
    entries = race["contenders"]
    seconds = {name: entry["seconds"] for name, entry in entries.items()}
    lines = [
        f"## Batch {batch_size}",
        "",
        "| contender | seconds an epoch, median (min–max) | times ours | compile and warm-up, s | right |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(entries, key=lambda name: median(seconds[name])):
        wrong = entries[name]["disagreements"]
        right = "–" if wrong is None else "yes" if not wrong else "**no**: " + "; ".join(wrong)
        if name == "theano_as_published" and not wrong:
            right = "as the `//` objective; the penalty is without effect"
        spread = f"{median(seconds[name]):.2f} ({min(seconds[name]):.2f}–{max(seconds[name]):.2f})"
        compiled = f"{entries[name]['compile_seconds']:.1f}"
        lines.append(f"| {LABELS[name]} | {spread} | {ratio(seconds, name):.2f} | {compiled} | {right} |")
    gflops = median(race["gflops"])
    return [*lines, "", f"A 4096³ float32 product in the same process reached {gflops:.0f} GFLOP/s.", ""]


NOTES = (Path(__file__).parent / "notes.md").read_text()
