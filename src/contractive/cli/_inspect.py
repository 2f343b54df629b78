"""`contractive inspect`: what a model is, how its training went, what it does on some rows."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ._data import Given, open_given
from ._labels import measure
from ._options import ArrayName, BadRows, BadRowsName, ColumnNames, LabelsName, Run

if TYPE_CHECKING:
    import numpy as np

__all__ = ["inspect"]

_GEOMETRY_ROWS = 256
_LEADING = 10
_SHARES = ("10 %", "50 %", "90 %")  # of the rows


def inspect(
    run: Run,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Measure the model on these rows.")] = None,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    labels: LabelsName = None,
    geometry: Annotated[
        bool, typer.Option("--geometry", help="What the code follows and ignores at some hundred rows of DATA, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Print what a model is, how its training went and, given DATA, what it does there.

    A classifier is measured on rows with labels.
    """
    from ..estimators import BaseClassifier, load
    from ..runs import model_path

    estimator = load(model_path(run))
    is_classifier = isinstance(estimator, BaseClassifier)
    if labels is not None and not (is_classifier and data):
        what = "DATA" if is_classifier else "a classifier's run"
        raise ValueError(
            f"`--labels` must go with {what}; got {labels!r} and {type(estimator).__name__} in {str(run)!r}."
        )
    if geometry and (is_classifier or data is None):
        what = f"an auto-encoder's run; got a {type(estimator).__name__} in {str(run)!r}" if is_classifier else "DATA"
        raise ValueError(f"`--geometry` must go with {what}.")
    facts: dict[str, Any] = {"model": type(estimator).__name__, "features": estimator.n_features_in_}
    facts |= _of_classifier(estimator) if is_classifier else _of_autoencoder(estimator)
    if data is not None:
        on_rows = (
            _on_labels(estimator, data, array, labels)
            if is_classifier
            else _on_rows(estimator, Given(data, array, columns, bad_rows.value), geometry)
        )
        facts |= on_rows
    if as_json:
        # JSON has no word for infinity, which a bound of an encoder of the user's own is.
        finite = {
            name: None if isinstance(value, float) and not isfinite(value) else value for name, value in facts.items()
        }
        typer.echo(json.dumps(finite, allow_nan=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")


class _Shown(float):
    """A number that a table shows rounded, and JSON as it is."""

    form: ClassVar[str] = ".4f"

    def __str__(self) -> str:
        return format(float(self), self.form)


class _Seconds(_Shown):
    form = ".1f"


class _Percent(_Shown):
    """A share of 1 that a table shows in per cent."""

    def __str__(self) -> str:
        return f"{100 * self:.2f} %"


class _Numbers(list[float]):
    """Several that a table shows rounded, side by side."""

    def __str__(self) -> str:
        return "  ".join(format(value, ".3f") for value in self)


class _Counts(list[int]):
    """Several side by side, as wide as the numbers."""

    def __str__(self) -> str:
        return "  ".join(format(value, "5d") for value in self)


def _of_autoencoder(estimator: Any) -> dict[str, Any]:
    """How an auto-encoder was made and trained."""
    last = estimator.history_[-1]
    facts = {
        **_parameters(estimator),
        "trained by": estimator.engine_,
        "epochs": estimator.n_epochs_,
        "last reconstruction error": _Shown(last.reconstruction_error),
        "last Jacobian norm": _Shown(last.jacobian_norm),
        "seconds of training": _seconds(estimator),
    }
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        facts["weights of epoch"] = best
        facts["error of held-out rows there"] = _Shown(estimator.history_[best - 1].validation_error)
    return facts


def _of_classifier(estimator: Any) -> dict[str, Any]:
    """How a classifier was made and fine-tuned."""
    last = estimator.history_[-1]
    facts = {
        "classes": ", ".join(map(str, estimator.classes_)),
        **_parameters(estimator),
        "epochs": estimator.n_epochs_,
        "last log-loss": _Shown(last.log_loss),
        "last error": _Percent(last.error_rate),
        "seconds of fine-tuning": _seconds(estimator),
    }
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        record = estimator.history_[best - 1]
        facts["weights of epoch"] = best
        facts["validation error there"] = _Percent(record.validation_error_rate)
        facts["validation log-loss there"] = _Shown(record.validation_log_loss)
    return facts


def _on_rows(estimator: Any, given: Given, geometry: bool) -> dict[str, Any]:
    """What an auto-encoder does on the rows of a data set, and if asked for, its geometry there."""
    from ..datasets import DATASETS

    source = open_given(given)
    title = DATASETS[given.name].title if given.name in DATASETS else given.name
    facts = {
        f"rows of {title}": len(source.rows),
        "reconstruction error there": _Shown(-estimator.score(source.rows)),
        "Jacobian norm there": _Shown(estimator.contraction_norm(source.rows).mean()),
    }
    return facts | _geometry(estimator, source.rows) if geometry else facts


def _geometry(estimator: Any, rows: Any) -> dict[str, Any]:
    """What the code follows and ignores, at some rows spread over all.

    Quantiles are those of 10 %, 50 % and 90 % over these rows.
    """
    import jax.numpy as jnp
    import numpy as np

    from ..geometry import lipschitz_bound, max_tangents, saturation, spectrum_summary

    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _GEOMETRY_ROWS)).astype(int))
    some, model = rows[places], estimator.model_
    spectrum = estimator.spectrum(some, min(_LEADING, max_tangents(model)))
    norms, dimensions = estimator.contraction_norm(some), estimator.effective_dimension(some)
    leading = f"leading {spectrum.shape[1]} singular values"
    mean, quantiles = spectrum_summary(spectrum)
    facts = {
        "rows of the geometry": len(places),
        "Jacobian norm, quantiles": _quantiles(norms),
        "effective dimension, quantiles": _quantiles(dimensions),
        "largest singular value, quantiles": _quantiles(spectrum[:, 0]),
        f"{leading}, means": _Numbers(mean.tolist()),
        **{f"{leading}, {share}": _Numbers(row.tolist()) for share, row in zip(_SHARES, quantiles, strict=True)},
        "largest singular value found": _Shown(spectrum.max()),
        "Lipschitz bound": _Shown(lipschitz_bound(model)),
    }
    codes = estimator.transform(some)
    if codes.min() >= 0 and codes.max() <= 1:
        facts["saturated units"] = _Percent(saturation(jnp.asarray(codes.reshape(-1))))
    if (some != some[:1]).any():
        return facts | _between_rows(estimator, rows)
    return facts | {"contraction between rows": "not known: it takes two rows that differ"}


def _between_rows(estimator: Any, rows: Any) -> dict[str, Any]:
    """How much the code brings pairs of rows together, nearest pairs first."""
    found = estimator.neighbor_contraction(rows)
    return {
        "pairs of rows": _Counts(found.counts.tolist()),
        "their distances": _Numbers(found.distances.tolist()),
        "contraction ratio, means": _Numbers(found.means.tolist()),
        **{
            f"contraction ratio, {share}": _Numbers(row.tolist())
            for share, row in zip(_SHARES, found.quantiles, strict=True)
        },
        "distance to the nearest row, quantiles": _quantiles(found.nearest),
    }


def _quantiles(values: np.ndarray) -> _Numbers:
    import numpy as np

    return _Numbers(np.quantile(np.asarray(values, float), (0.1, 0.5, 0.9)).tolist())


def _on_labels(estimator: Any, data: str, array: str | None, labels: str | None) -> dict[str, Any]:
    """What a classifier does on the labelled rows of a data set: those it trains on, of one with a name."""
    from ..sources import open_labeled

    labeled = open_labeled(data, array=array, labels=labels)
    measured = measure(estimator, labeled.source.rows, labeled.labels, name=data)
    return {
        f"labelled rows of {labeled.title}": measured.n_rows,
        "error there": _Percent(measured.error_rate),
        "log-loss there": _Shown(measured.log_loss),
    }


def _parameters(estimator: Any) -> dict[str, Any]:
    """An estimator's parameters as a person reads them, those of what it is made of with their place."""
    from ..estimators import plain_parameters

    parameters = plain_parameters(estimator, callables=True)
    parts = {}
    if "representation" in parameters:
        del parameters["representation"]
        parts["representation"] = estimator.representation
    if "layers" in parameters:
        del parameters["layers"]
        layers = vars(estimator).get("layers_") or estimator.layers or ()
        parts |= {f"layer {number}": layer for number, layer in enumerate(layers, 1)}
    of_parts = (
        (f"{place} {name}", value)
        for place, part in parts.items()
        if part is not None
        for name, value in {"model": type(part).__name__, **_parameters(part)}.items()
    )
    return {**parameters, **dict(of_parts)}


def _seconds(estimator: Any) -> _Seconds:
    return _Seconds(sum(record.seconds for record in estimator.history_))
