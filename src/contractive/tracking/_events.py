"""What both trackers make of an estimator and of what happens to it, and what they do when nobody listens."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from .._validation import shortened
from ..estimators import BaseClassifier, fitted, model_arrays
from ..plots import ImageShape, tile_rows
from ..supervised import FineTuningRecord
from ..training import EpochRecord

__all__ = ["Guard", "Tracker", "filters", "metrics_of", "weights_of"]


class Tracker(Protocol):
    """A callback that writes down what it hears, and is told when there is nothing more: a block of `with`."""

    def __call__(self, estimator: Any, event: Any) -> None:
        """Hear of an event of the training of an estimator."""
        ...

    def __enter__(self) -> Self:
        """Begin a block in which it is used."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what it writes."""
        ...


class Guard:
    """Does what may fail without harm: the first failure is said in one line, and nothing is tried any more.

    Args:
        what: is named in that line.
        failures: the errors that are no harm.
    """

    def __init__(self, what: str, failures: tuple[type[Exception], ...]):
        self._what, self._failures = what, failures
        self.is_over = False

    def run(self, action: Callable[[], object]) -> None:
        """Do it, unless something failed before."""
        if self.is_over:
            return
        try:
            action()
        except self._failures as error:
            self.is_over = True
            reason = shortened(error, 200).rstrip(".") or type(error).__name__
            warnings.warn(f"{self._what} is not written any more ({reason}); training goes on.", stacklevel=3)


def metrics_of(estimator: Any, event: Any) -> dict[str, float] | None:
    """The numbers of a finished epoch by name, or None of another event.

    Those of the training that comes before a classifier's fine-tuning have "pretraining/" before their names.
    """
    if not isinstance(event, EpochRecord | FineTuningRecord):
        return None
    is_before = isinstance(estimator, BaseClassifier) and isinstance(event, EpochRecord)
    prefix = "pretraining/" if is_before else ""
    return {
        f"{prefix}{name}": float(value)
        for name, value in event._asdict().items()
        if name != "epoch" and value is not None
    }


def weights_of(estimator: Any) -> dict[str, np.ndarray]:
    """The arrays of the model by their names in its file; none where there is no model yet."""
    attribute = "classifier_" if isinstance(estimator, BaseClassifier) else "model_"
    return model_arrays(fitted(estimator).model) if attribute in vars(estimator) else {}


def filters(weights: dict[str, np.ndarray], image_shape: ImageShape | None) -> np.ndarray | None:
    """The picture of the first hundred filters; None where the encoder does not begin with a dense layer."""
    name, first = next(iter(weights.items()), ("", None))  # the array next to the input
    is_dense = name.rpartition(".")[2] == "weight" and name != "output.weight"
    return tile_rows(first, image_shape) if is_dense and first is not None else None
