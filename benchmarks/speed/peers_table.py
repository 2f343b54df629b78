"""The page of what people would pick instead: `peers.json` as Markdown."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from reference import TOLERANCE
from table import LABELS, ratio

__all__ = ["WITHOUT_PENALTY", "write_table"]

# Contender -> its name on the page, and what it does otherwise than the tutorial's job.
PACKAGES = {
    "jax_jacrev": ("JAX, `vmap(jacrev)` in a jitted step", ""),
    "autoencoders_cae": (
        "autoencoders 0.6.8 (PyTorch), `ContractiveAutoencoderModel` and `AETrainer`, tied sigmoid layers given to it",
        "squared error, averaged over the pixels; a backward pass a hidden unit; its progress bar runs",
    ),
    "rapidae_sigmoid": (
        "rapidae 0.0.5 (Keras on TensorFlow), `CAE.fit`, tied sigmoid layers given to it",
        "squared error, averaged over the pixels; SGD by Keras, as its pipeline has Adam alone; both parts' gradients "
        "are sums over the minibatch, so a step is as many times larger; a turn is a call of `fit`, start included",
    ),
    "rapidae_relu": (
        "rapidae 0.0.5 (Keras on TensorFlow), `CAE.fit`, its own layers",
        "as with sigmoid layers; ReLU units, but the sigmoid's derivative in the penalty; decoder with a weight of its "
        "own",
    ),
    "rapidae_jax": ("rapidae 0.0.5 (Keras on JAX), `CAE.fit`", "as on TensorFlow"),
    "pythae_ae": (
        "pythae 0.1.2 (PyTorch), `AE` and `BaseTrainer`, tied sigmoid layers given to it",
        "squared error; rows in random order; its progress bar runs",
    ),
    "pyod_ae": (
        "pyod 3.6.7 (PyTorch), `AutoEncoder.train`",
        "squared error, averaged over the pixels; decoder with a weight of its own and linear output",
    ),
    "sklearn_rbm": (
        "scikit-learn 1.9.1, `BernoulliRBM.partial_fit`",
        "no auto-encoder: persistent contrastive divergence",
    ),
}
WITHOUT_PENALTY = ("contractive_plain", "pythae_ae", "pyod_ae", "sklearn_rbm")


def write_table(results: dict[str, Any], path: Path) -> None:
    """Write the page."""
    machine = results["machine"]
    lines = [
        "# Speed against what people would pick instead",
        "",
        "Written by `make bench-peers` from `peers.json`; do not edit. The tutorial's job: tied sigmoid 784–500,",
        "cross-entropy, λ = 0.1, plain SGD of rate 0.01, MNIST's 50,000 rows in order; what a contender does otherwise",
        "stands in its line. Contenders take turns, round by round, each in a process and environment of its own;",
        "figures are medians, a ratio is the median of the ratios within a round.",
        "",
        "*Penalty* is what each contender itself adds to its cost, at the tutorial's first weight on the first ten",
        "rows, beside the exact mean of ‖∂h/∂x‖²_F and its gradient with respect to the weight (closed form in",
        "float64). The gradient is what a step of size 1 takes from the weight with λ = 1 and not with λ = 0. *Value",
        "off* is relative; *gradient off* is the length of the difference over that of the exact gradient, so no",
        f"gradient at all is off by 1. It is *exact* when both are below {TOLERANCE:g}.",
        "",
        f"{results['rounds']} rounds on {machine['cores']} cores of a shared machine ({machine['processor']}).",
        "",
    ]
    for batch_size, race in results["training"].items():
        lines += contenders(batch_size, race["contenders"], results)
    path.write_text("\n".join(lines).rstrip("\n") + "\n")


def contenders(batch_size: str, entries: dict[str, Any], results: dict[str, Any]) -> list[str]:
    """One batch size's table, fastest first, those that do not run last."""
    seconds = {name: entry["seconds"] for name, entry in entries.items()}
    lines = [
        f"## Batch {batch_size}",
        "",
        "| contender | seconds an epoch, median (min–max) | times ours | value off | gradient off | penalty "
        "| otherwise than the tutorial |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sorted(entries, key=lambda name: median(seconds[name])):
        spread = f"{median(seconds[name]):.2f} ({min(seconds[name]):.2f}–{max(seconds[name]):.2f})"
        label, otherwise = describe(name, entries[name]["disagreements"])
        penalty = " | ".join(penalty_cells(results["penalties"].get(name)))
        lines.append(f"| {label} | {spread} | {ratio(seconds, name):.2f} | {penalty} | {otherwise} |")
    for name, reason in results["missing"].items():
        cannot = reason.replace("|", "\\|")
        lines.append(f"| {describe(name, None)[0]} | – | – | – | – | – | **not run**: {cannot} |")
    return [*lines, ""]


def describe(name: str, wrong: list[str] | None) -> tuple[str, str]:
    """A contender's name and what it does otherwise, with what the check of its first minibatches found."""
    label, otherwise = PACKAGES.get(name) or (LABELS[name], "")
    found = "**wrong**: " + "; ".join(wrong) if wrong else ""
    return label, "; ".join(filter(None, (otherwise, found)))


def penalty_cells(errors: dict[str, float] | None) -> tuple[str, str, str]:
    """The value's error, the gradient's and the verdict; dashes for one without a penalty."""
    if errors is None:
        return "–", "–", "none"
    value, gradient, scale = errors["value"], errors["gradient"], errors["scale"]
    right = value <= TOLERANCE
    if right and gradient <= TOLERANCE:
        verdict = "exact"
    elif abs(scale) <= TOLERANCE and abs(gradient - 1) <= TOLERANCE:
        verdict = "**no gradient**"
    elif right and errors["residue"] <= TOLERANCE * abs(scale):
        verdict = f"**gradient {scale:.3g} times the exact one**"
    else:
        verdict = "**wrong**"
    return f"{value:.1e}", f"{gradient:.1e}", verdict
