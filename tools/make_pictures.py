"""Make the pictures and the numbers of `docs/pictures.md` and `docs/choosing.md`, from models that it trains.

Usage: python tools/make_pictures.py

Takes some minutes on one core and writes into `docs/images/`. MNIST's models are trained on its 50,000 training rows
and looked at on validation rows; its test rows are not read.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, load_mnist, plots
from contractive.geometry import contraction_curve

OUT = Path(__file__).parents[1] / "docs" / "images"
COEFFICIENTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHOWN = {"plain, λ = 0": 0.0, "contractive, λ = 0.1": 0.1, "contractive, λ = 1": 1.0}
N_LABELS, NOISE_STD, N_LOOKED_AT = 1000, 0.2, 200
SETTINGS: dict[str, Any] = {"loss": "cross_entropy", "max_epochs": 20, "random_state": 0}
UNITS = 256
LONGEST_ARROW = 0.17  # the distance of two of them, less a little


def save(figure: Figure, name: str) -> None:
    """Write a picture as small as its colours allow."""
    from PIL import Image

    path = OUT / f"{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.1)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def moon(n_rows: int, seed: int) -> np.ndarray:
    """Rows along half a circle of radius 1, with noise of 0.05 across and along it."""
    draws = np.random.default_rng(seed)
    angles = draws.uniform(0, np.pi, n_rows)
    along = np.stack([np.cos(angles), np.sin(angles) - 0.5], axis=1)
    return (along + draws.normal(0, 0.05, along.shape)).astype(np.float32)


def draw_plane() -> None:
    """Where three auto-encoders of points in the plane take each place, beside the points."""
    rows = moon(2000, 0)
    steps = np.linspace(-1.6, 1.6, 19, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    figure = Figure(figsize=(10.5, 3.7), layout="constrained")
    for axes, contraction in zip(figure.subplots(1, 3), (0.0, 0.003, 0.3), strict=True):
        model = ContractiveAutoencoder(
            100,
            contraction=contraction,
            penalty="reconstruction",
            activation="tanh",
            tied_weights=False,
            learning_rate=3e-3,
            max_epochs=400,
            random_state=0,
        ).fit(rows)
        moved = model.reconstruct(grid) - grid
        moved *= np.minimum(1, LONGEST_ARROW / np.linalg.norm(moved, axis=1, keepdims=True))
        axes.scatter(*rows[:400].T, s=3, color="tab:orange")
        axes.quiver(*grid.T, *moved.T, angles="xy", scale_units="xy", scale=1, width=0.005, color="tab:blue")
        axes.set(title=f"λ = {contraction:g}", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal")
        axes.set(xticks=[], yticks=[])
    save(figure, "plane")


def measured(model: Any, valid: tuple[np.ndarray, np.ndarray], labelled: tuple[np.ndarray, np.ndarray]) -> dict:
    """What the sweep over λ says of a model; errors in percent, of logistic regression on the codes."""
    x, y = valid
    noise = np.random.default_rng(1).normal(0, NOISE_STD, x.shape).astype(np.float32)
    scaled = StandardCodes(model, labelled[0])
    classifier = LogisticRegression(max_iter=2000).fit(scaled(labelled[0]), labelled[1])
    errors = [100 * float(np.mean(classifier.predict(scaled(some)) != y)) for some in (x, x + noise)]
    return {
        "reconstruction_error": -float(model.score(x)),
        "jacobian_norm": float(model.contraction_norm(x).mean()),
        "effective_dimension": float(np.median(model.effective_dimension(x[:N_LOOKED_AT]))),
        "error": errors[0],
        "error_with_noise": errors[1],
    }


class StandardCodes:
    """The codes of a model, each unit with mean 0 and standard deviation 1 on given rows."""

    def __init__(self, model: Any, rows: np.ndarray):
        self._model = model
        codes = model.transform(rows)
        self._mean, self._std = codes.mean(axis=0), codes.std(axis=0) + 1e-6

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The codes of these rows."""
        return (self._model.transform(rows) - self._mean) / self._std


def draw_curves(models: dict[str, Any], rows: np.ndarray) -> None:
    """Contraction ratios by distance, and singular values by rank."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    radii = np.geomspace(0.1, 40, 25)
    for name, model in models.items():
        plots.contraction_curve(radii, contraction_curve(model.model_, rows, radii, seed=0), ax=left, label=name)
        plots.spectrum(model.spectrum(rows[:50]), ax=right, label=name)
    save(figure, "curves")


def draw_filters(models: dict[str, Any]) -> None:
    """Some filters of each model."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, (name, model) in zip(figure.subplots(1, len(models)), models.items(), strict=True):
        plots.filters(model.components_, ax=axes, n_filters=64).set_title(name)
    save(figure, "filters")


def draw_tangents(models: dict[str, Any], rows: np.ndarray) -> None:
    """Six digits, and beside each the directions that each model follows most there."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    first, *others = figure.subplots(1, len(models) + 1, width_ratios=[1, *[6] * len(models)])
    plots.draw_rows(rows, ax=first, n_columns=1, title="digit")
    for axes, (name, model) in zip(others, models.items(), strict=True):
        plots.tangents(model.tangents(rows, n_tangents=6), ax=axes).set_title(name)
    save(figure, "tangents")


def draw_sweep(sweep: list[dict]) -> None:
    """What grows and what falls with λ."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    places = [max(line["contraction"], COEFFICIENTS[1] / 3) for line in sweep]  # 0 has no place on the axis
    panels = {
        "reconstruction error, nats": ("reconstruction_error",),
        "mean ‖J‖": ("jacobian_norm",),
        f"error with {N_LABELS:,} labels, %": ("error", "error_with_noise"),
    }
    for axes, (title, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name in names:
            label = {"error": "clean rows", "error_with_noise": "noisy rows"}.get(name)
            axes.plot(places, [line[name] for line in sweep], marker="o", label=label)
        axes.set(xscale="log", title=title, xlabel="λ (the first is 0)")
        if len(names) > 1:
            axes.legend()
    save(figure, "sweep")


def main() -> None:
    """Train, measure, draw."""
    OUT.mkdir(exist_ok=True)
    draw_plane()
    (x, y), valid, _ = load_mnist(np.float32)
    models, sweep = {}, []
    for contraction in COEFFICIENTS:
        began = time.perf_counter()
        model = ContractiveAutoencoder(UNITS, contraction=contraction, **SETTINGS).fit(x)
        seconds = time.perf_counter() - began
        found = measured(model, valid, (x[:N_LABELS], y[:N_LABELS]))
        sweep.append({"contraction": contraction, **found})
        models |= {name: model for name, shown in SHOWN.items() if shown == contraction}
        print(sweep[-1], f"{seconds:.0f} s")
    denoising = DenoisingAutoencoder(UNITS, corruption="gaussian", corruption_std=0.3, **SETTINGS).fit(x)
    settings = {"units": UNITS, "n_labels": N_LABELS, "noise_std": NOISE_STD, **SETTINGS}
    (OUT / "sweep.json").write_text(json.dumps({"settings": settings, "models": sweep}, indent=2) + "\n")
    draw_sweep(sweep)
    draw_curves({**models, "denoising, σ = 0.3": denoising}, valid[0][:N_LOOKED_AT])
    draw_filters(models)
    draw_tangents({name: models[name] for name in (*SHOWN,)[::2]}, valid[0][:6])


if __name__ == "__main__":
    main()
