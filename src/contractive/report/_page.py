"""From a fitted model and rows to the page: what is measured becomes pictures and charts in one template."""

import base64
import hashlib
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from .._files import write_atomically
from ..estimators import BaseAutoencoder
from ..geometry import max_tangents, spectrum_summary
from ..models import dense_layers
from ..plots import ImageShape, picture_shape
from ._charts import Chart, Line, histogram, line_chart
from ._measure import N_TANGENTS, Measured, Sample, draw_sample, measure
from ._pictures import thumbnails
from ._playground import MAX_WEIGHTS, describe_model
from ._words import (
    About,
    describe_training,
    facts_of,
    feature_names,
    headline_of,
    lede_of,
    number,
    settings_of,
    strongest_inputs,
)

__all__ = ["render_report", "write_report"]

_MOST_FILTERS = 512
_N_EXAMPLES = 10
_MOST_SLIDERS = 24
_FOLDER = Path(__file__).parent


def write_report(
    path: str | Path,
    estimator: BaseAutoencoder,
    X: Any,
    *,
    about: About | None = None,
    image_shape: ImageShape | None = None,
    n_rows: int = 1000,
    seed: int = 0,
) -> int:
    """Write the report of a fitted auto-encoder as one HTML file, at once or not at all.

    Args:
        path: the file to make or replace.
        estimator: as for `render_report`, and so are all others.
        X: see there.
        about: see there.
        image_shape: see there.
        n_rows: see there.
        seed: see there.

    Returns:
        The size of the file in bytes.

    Raises:
        TypeError: as `render_report`.
        ValueError: as `render_report`.
        OSError: if the file cannot be written; what was there stays.
    """
    text = render_report(estimator, X, about=about, image_shape=image_shape, n_rows=n_rows, seed=seed)
    page = text.encode(errors="replace")  # of a name that is no UTF-8
    write_atomically(Path(path), lambda stream: stream.write(page))
    return len(page)


def render_report(
    estimator: BaseAutoencoder,
    X: Any,
    *,
    about: About | None = None,
    image_shape: ImageShape | None = None,
    n_rows: int = 1000,
    seed: int = 0,
) -> str:
    """The report of a fitted auto-encoder: a page that needs nothing beside it and holds the model, to be tried.

    Args:
        estimator: fitted, of dense layers with nonlinearities of this package.
        X: the data, of shape (n_samples, n_features), as for its `transform`.
        about: what the page says besides; None for nothing.
        image_shape: as for `plots.draw_rows`; None to guess, but for named columns, which are no pictures.
        n_rows: how many rows of the data are drawn and looked at, at most, >= 1.
        seed: what the draw and all else that is random depends on.

    Returns:
        The HTML.

    Raises:
        TypeError: if the model does not consist of dense layers, or X does not hold numbers.
        ValueError: if X is empty, of another width or not finite, or `image_shape` does not multiply out.

    Example:
        >>> from contractive import ContractiveAutoencoder, load_digits
        >>> from contractive.report import About, render_report
        >>> (X, _), _, _ = load_digits()
        >>> cae = ContractiveAutoencoder(8, max_epochs=1, random_state=0).fit(X)
        >>> page = render_report(cae, X, about=About("My <first> run", "digits"), n_rows=50)
        >>> "My &lt;first&gt; run" in page, "://" in page
        (True, False)
    """
    about = About() if about is None else about
    # Columns with names are no pixels, unless it is said.
    has_names = vars(estimator).get("feature_names_in_") is not None and image_shape is None
    shape = None if has_names else picture_shape(estimator.n_features_in_, image_shape)
    description, weights = describe_model(estimator.model_)
    with warnings.catch_warnings():
        # Rows are drawn from plain arrays, also for a model that was fitted with names.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        sample = draw_sample(estimator, X, n_rows=n_rows, seed=seed)
        measured = measure(estimator, sample, seed=seed)
    context = {
        "title": about.title,
        "version": version("contractive"),
        "shape": shape,
        "most_directions": number(max_tangents(estimator.model_)),
        "lede": lede_of(estimator, sample, about),
        "headline": headline_of(estimator, measured),
        "facts": facts_of(estimator, sample, about),
        "settings": settings_of(estimator),
        "sampling": _sampling(sample, about, seed),
        **_training(estimator),
        **_features(estimator, measured, shape),
        **_rows(measured, shape),
        **_geometry(measured),
        **_playground(estimator, measured, shape, description, weights),
    }
    return _render(context)


def _render(context: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    environment.filters["number"] = number
    names = ["page.js"] + (["model.js", "playground.js"] if context["play"] else [])
    scripts = [_read(name) for name in names]
    css = _read("page.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(css)}; script-src {' '.join(map(_hash, scripts))}; "
        "base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template("page.html.jinja")
    return template.render(context, css=css, scripts=scripts, policy=policy)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a piece that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _sampling(sample: Sample, about: About, seed: int) -> str:
    n_rows = len(sample.rows)
    if n_rows == sample.n_all:
        which = f"all {n_rows:,} rows" if n_rows > 1 else "the one row"
        return f"The pictures below are of {which} of {about.data}."
    return f"The pictures below are of {n_rows:,} of the {sample.n_all:,} rows of {about.data}, drawn with seed {seed}."


def _training(estimator: BaseAutoencoder) -> dict[str, Any]:
    """The two learning curves; of a stack a line a layer, as their errors are of different inputs and sizes."""
    parts = describe_training(estimator)
    loss = estimator.model_.reconstruction_loss.name
    errors, norms = [], []
    for name, records in parts:
        epochs = [record.epoch for record in records]
        held_out = [record.validation_error for record in records]
        is_held_out = all(value is not None for value in held_out)
        label = name or ("training" if is_held_out else "")
        errors.append(Line(epochs, [record.reconstruction_error for record in records], label))
        if is_held_out:
            errors.append(Line(epochs, [float(value or 0) for value in held_out], f"{name} held out".strip()))
        norms.append(Line(epochs, [record.jacobian_norm for record in records], name))
    return {
        "error_unit": "in nats" if loss == "cross_entropy" else "in squared units of the data",
        "curves": [
            line_chart(
                lines,
                x_label="epoch",
                y_label=what,
                summary=_fall(what, lines),
                y_log=len(parts) > 1 and _differ_in_size(lines),
                whole_x=True,
            )
            for lines, what in ((errors, "reconstruction error"), (norms, "‖J‖"))
        ],
    }


def _differ_in_size(lines: Sequence[Line]) -> bool:
    """Whether what is drawn on one linear scale would leave a line flat: of numbers > 0 that differ tenfold."""
    values = np.concatenate([np.asarray(line.y, float) for line in lines])
    return 0 < 10 * values.min() < values.max()


def _fall(what: str, lines: Sequence[Line]) -> str:
    parts = (
        f"{line.label or what}: {number(line.y[0])} in epoch {line.x[0]}, {number(line.y[-1])} in epoch {line.x[-1]}"
        for line in lines
    )
    return f"Curve of the {what} against the epoch. {'; '.join(parts)}."


def _features(estimator: BaseAutoencoder, measured: Measured, shape: ImageShape | None) -> dict[str, Any]:
    """The filters, those of most use where there are too many."""
    n_units = len(measured.use)
    shown = np.sort(np.argsort(-measured.use, kind="stable")[:_MOST_FILTERS])
    pictures = thumbnails(estimator.components_[shown], shape)
    names = feature_names(estimator)
    weights = estimator.components_[shown]
    layer = "of the first layer " if len(dense_layers(estimator.model_)) > 1 else ""
    what = (
        "a stroke, a dot, an edge; grey noise is a unit that has learned nothing"
        if shape
        else "a bump, a step, a few inputs that count together; a unit of small norm has learned little"
    )
    return {
        "filters": [
            {
                "number": int(unit),
                "use": float(measured.use[unit]),
                "norm": float(measured.norms[unit]),
                "thumbnail": picture,
                "strongest": "" if shape else strongest_inputs(weight, names),
            }
            for unit, picture, weight in zip(shown, pictures, weights, strict=True)
        ],
        "features_look": (
            f"Each {'picture' if shape else 'profile'} is what one unit {layer}looks for. Look for parts of the data, "
            f"such as {what}. Choose one to enlarge it."
        ),
        "filters_note": (
            f"{len(shown):,} of {n_units:,} units" + (", those of most use" if len(shown) < n_units else "") + ". "
            "Use is the mean activation over the rows."
        ),
    }


def _rows(measured: Measured, shape: ImageShape | None) -> dict[str, Any]:
    """Rows with their reconstructions, unusual and typical ones, and samples."""
    rows, errors = measured.sample.rows, measured.sample.errors
    limits = float(rows.min()), float(rows.max())
    corrupted = measured.corrupted
    inputs = rows[: len(measured.reconstructed)]

    def small(some: np.ndarray) -> list[Any]:
        return thumbnails(some, shape, scale="unit", limits=limits)

    def notes(places: np.ndarray) -> list[str]:
        return [number(float(error)) for error in errors[places]]

    of_what = "the corrupted input, and should look like the input itself" if corrupted is not None else "the input"
    in_colours = shape is not None and len(shape) == 3
    signed = "the line is zero" if shape is None else "grey is none" if in_colours else "blue is less, red is more"
    return {
        "inputs": small(inputs),
        "corrupted": None if corrupted is None else small(corrupted),
        "reconstructions": small(measured.reconstructed),
        "reconstruction_look": (
            f"Each reconstruction is made from the code of {of_what}. Look for what is lost: what the code has no room "
            f"for is smoothed away. Over the rows the error is {number(float(errors.mean(dtype=float)))} on average."
        ),
        "planes": [
            (small(row[None])[0], thumbnails(plane, shape, scale="signed"))
            for row, plane in zip(rows, measured.tangents, strict=False)
        ],
        "tangents_look": (
            f"The directions in which the code answers most at a row ({signed}). Look for changes that make sense for "
            "that row, such as a stroke that moves or thickens."
            if shape
            else f"The directions in which the code answers most at a row ({signed}). Look for features that change "
            "together in the data."
        ),
        "unusual": small(rows[measured.unusual]),
        "unusual_notes": notes(measured.unusual),
        "typical": small(rows[measured.typical]),
        "typical_notes": notes(measured.typical),
        "unusual_look": (
            "A row that the model gives back badly is unlike what it has learned. Look for mistakes in the data among "
            "the least typical ones. The numbers are reconstruction errors."
        ),
        "samples": small(measured.samples),
        "samples_look": (
            "New rows, made by short walks along the tangents that begin at rows of the data. Look for rows that could "
            "be real and yet are none of the data's."
        ),
    }


def _geometry(measured: Measured) -> dict[str, Any]:
    """Spectrum, contraction, dimensions, scores."""
    values = measured.spectrum
    low, middle, high = spectrum_summary(values).quantiles
    ranks = np.arange(1, values.shape[1] + 1)
    largest = float(values.max())
    errors = measured.sample.errors
    dimension = number(float(np.median(measured.dimensions)))
    moves = bool(middle.any())  # else the code of most rows is saturated, and a logarithm has no place for zeros
    return {
        "geometry": [
            ("largest singular value found", number(largest)),
            ("Lipschitz bound, over all inputs", number(measured.bound)),
            ("mean ‖J‖", number(float(measured.jacobian_norms.mean()))),
            ("effective dimension, median", dimension),
        ],
        "spectrum": line_chart(
            [Line(ranks, middle, "median over rows", low, high)],
            x_label="rank",
            y_label="singular value",
            y_log=moves,
            summary=f"Singular values of the Jacobian against their rank, from {number(float(middle[0]))} down to "
            f"{number(float(middle[-1]))}, medians over {len(values)} rows.",
        ),
        "spectrum_look": (
            f"Singular values of the Jacobian, at {len(values)} rows; the band holds the middle 80 %. Look for a steep "
            "fall: the directions before it are followed, those after it are ignored."
            + ("" if moves else " Here they are 0: at most of these rows the code does not change with the input.")
        ),
        "contraction": _contraction(measured),
        "contraction_look": (
            "Contraction ratio: how far apart two codes are for each unit of distance between their inputs. Look for a "
            "curve well below 1 in random directions, above all at distances smaller than those between neighbours, "
            "where there is only noise"
            + (
                ". Between rows it is not known, as no two of them differ."
                if measured.between is None
                else ", and for rows that the code holds further apart than those."
            )
        ),
        "dimensions": _counts(measured.dimensions, "effective dimension", f"Its median is {dimension}."),
        "norms": _counts(
            measured.jacobian_norms, "‖J‖", f"Its mean is {number(float(measured.jacobian_norms.mean()))}."
        ),
        "scores": _counts(
            errors,
            "reconstruction error",
            f"From {number(float(errors.min()))} to {number(float(errors.max()))}.",
        ),
    }


def _contraction(measured: Measured) -> Chart:
    """In random directions and, where there are different rows, between these."""
    radii, ratios, between = measured.radii, measured.ratios, measured.between
    lines, span, more = [Line(radii, ratios, "random directions")], None, ""
    if between is not None:
        low, _, high = between.quantiles
        lines.append(Line(between.distances, between.means, "between rows", low, high))
        near, far = np.quantile(between.nearest, (0.1, 0.9))
        span = float(near), float(far), "distances between neighbours"
        more = (
            f"; between rows from {number(float(between.means[0]))} at {number(float(between.distances[0]))} to "
            f"{number(float(between.means[-1]))} at {number(float(between.distances[-1]))}"
        )
    return line_chart(
        lines,
        x_label="distance from the row",
        y_label="contraction ratio",
        x_log=True,
        from_zero=True,
        shade=span,
        summary=f"Mean contraction ratio against the distance: in random directions from {number(float(ratios[0]))} at "
        f"{number(float(radii[0]))} to {number(float(ratios[-1]))} at {number(float(radii[-1]))}{more}.",
    )


def _counts(values: np.ndarray, what: str, more: str) -> Chart:
    summary = f"Histogram of the {what} over {len(values):,} row{'s' * (len(values) != 1)}. {more}"
    return histogram(values, x_label=what, y_label="rows", summary=summary)


def _playground(
    estimator: BaseAutoencoder,
    measured: Measured,
    shape: ImageShape | None,
    description: dict[str, Any],
    weights: str,
) -> dict[str, Any]:
    """What the playground begins with; nothing for a model that is too large to be carried."""
    rows = measured.sample.rows
    low, high = float(rows.min()), float(rows.max())
    if description["n_floats"] > MAX_WEIGHTS:
        words = (
            f"The playground is left out: the model has {description['n_floats']:,} numbers, more than the "
            f"{MAX_WEIGHTS:,} that a page carries."
        )
        return {"play": None, "no_playground": words}
    examples = rows[:_N_EXAMPLES]
    deviations = rows.std(axis=0)
    ranges = np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1).astype(float)
    varying = np.sort(np.argsort(-deviations, kind="stable")[:_MOST_SLIDERS])
    names = feature_names(estimator)
    sliders = [
        {
            "feature": int(feature),
            "name": names[feature],
            "low": float(ranges[feature, 0]),
            "high": float(ranges[feature, 1]),
            "is_constant": bool(ranges[feature, 0] == ranges[feature, 1]),
        }
        for feature in varying
    ]
    reach = 1.0 if measured.between is None else float(np.median(measured.between.nearest))
    margin = 0.1 * (high - low) or 0.5
    play = {
        "model": description,
        "shape": shape,
        "low": low,
        "high": high if high > low else low + 1,
        "mean": rows.mean(axis=0, dtype=float).tolist(),
        "n_examples": len(examples),
        "n_tangents": min(N_TANGENTS, measured.tangents.shape[1]),
        "profile_low": low - margin,
        "profile_high": high + margin,
        "reach": float(f"{reach:.3g}"),
        "names": None if shape else names,
    }
    return {
        "play": play,
        "weights": weights,
        "example_rows": base64.b64encode(np.ascontiguousarray(examples, "<f4").tobytes()).decode(),
        "examples": thumbnails(examples, shape, scale="unit", limits=(low, high)),
        "sliders": [] if shape else sliders,
        "n_left_out": len(deviations) - len(varying),
        "n_tangents": play["n_tangents"],
    }
