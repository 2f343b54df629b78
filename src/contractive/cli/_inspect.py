"""`contractive inspect`: what a model is, how its training went, what it does on some rows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ._labels import measure
from ._options import ArrayName, LabelsName, Run

__all__ = ["inspect"]


def inspect(
    run: Run,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Measure the model on these rows.")] = None,
    array: ArrayName = None,
    labels: LabelsName = None,
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
    facts: dict[str, Any] = {"model": type(estimator).__name__, "features": estimator.n_features_in_}
    facts |= _of_classifier(estimator) if is_classifier else _of_autoencoder(estimator)
    if data is not None:
        facts |= _on_labels(estimator, data, array, labels) if is_classifier else _on_rows(estimator, data, array)
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")


def _of_autoencoder(estimator: Any) -> dict[str, Any]:
    """How an auto-encoder was made and trained."""
    last = estimator.history_[-1]
    facts = {
        **_parameters(estimator),
        "trained by": estimator.engine_,
        "epochs": estimator.n_epochs_,
        "last reconstruction error": f"{last.reconstruction_error:.4f}",
        "last Jacobian norm": f"{last.jacobian_norm:.4f}",
        "seconds of training": _seconds(estimator),
    }
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        facts["weights of epoch"] = best
        facts["error of held-out rows there"] = f"{estimator.history_[best - 1].validation_error:.4f}"
    return facts


def _of_classifier(estimator: Any) -> dict[str, Any]:
    """How a classifier was made and fine-tuned."""
    last = estimator.history_[-1]
    facts = {
        "classes": ", ".join(map(str, estimator.classes_)),
        **_parameters(estimator),
        "epochs": estimator.n_epochs_,
        "last log-loss": f"{last.log_loss:.4f}",
        "last error": _percent(last.error_rate),
        "seconds of fine-tuning": _seconds(estimator),
    }
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        record = estimator.history_[best - 1]
        facts["weights of epoch"] = best
        facts["validation error there"] = _percent(record.validation_error_rate)
        facts["validation log-loss there"] = f"{record.validation_log_loss:.4f}"
    return facts


def _on_rows(estimator: Any, data: str, array: str | None) -> dict[str, Any]:
    """What an auto-encoder does on the rows of a data set."""
    from ..datasets import DATASETS
    from ..sources import open_rows

    source = open_rows(data, array=array)
    title = DATASETS[data].title if data in DATASETS else data
    return {
        f"rows of {title}": len(source.rows),
        "reconstruction error there": f"{-estimator.score(source.rows):.4f}",
        "Jacobian norm there": f"{estimator.contraction_norm(source.rows).mean():.4f}",
    }


def _on_labels(estimator: Any, data: str, array: str | None, labels: str | None) -> dict[str, Any]:
    """What a classifier does on the labelled rows of a data set: those it trains on, of one with a name."""
    from ..sources import open_labeled

    labeled = open_labeled(data, array=array, labels=labels)
    measured = measure(estimator, labeled.source.rows, labeled.labels, name=data)
    return {
        f"labelled rows of {labeled.title}": measured.n_rows,
        "error there": _percent(measured.error_rate),
        "log-loss there": f"{measured.log_loss:.4f}",
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


def _seconds(estimator: Any) -> str:
    return f"{sum(record.seconds for record in estimator.history_):.1f}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
