"""Fine-tuning seen from an estimator: the output layer, held-out rows, callbacks, the best weights kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._typing import ClassScores, Visible
from ..batched import map_rows
from ..models import Classifier, Model
from ..objectives import Objective
from ..penalties import Penalty
from ..supervised import FineTuningRecord, SupervisedObjective
from ._fitting import reporter
from ._parameters import make_contraction

__all__ = ["FineTuningWatch", "HeldOut", "log_probabilities", "make_supervised_objective", "with_output_layer"]


class HeldOut(NamedTuple):
    """Rows that are not trained on, with their classes' numbers and what each counts; None for all the same."""

    rows: Any
    numbers: np.ndarray
    weights: np.ndarray | None = None


def with_output_layer(model: Model, n_classes: int, dtype: np.dtype) -> Classifier:
    """An encoder with an output layer of zeros: at first all classes are as probable."""
    weight, bias = np.zeros((n_classes, model.n_hidden), dtype), np.zeros(n_classes, dtype)
    return Classifier(jax.tree.map(jnp.asarray, model), jnp.asarray(weight), jnp.asarray(bias))


def make_supervised_objective(estimator: Any, dtype: np.dtype) -> SupervisedObjective:
    """What the parameters of a classifier ask for; a coefficient of 0 leaves its term out."""

    def number(name: str) -> Any:
        value = float(getattr(estimator, name, None) or 0)
        return jnp.asarray(np.asarray(value, dtype)) if value else None

    drops = bool(estimator.dropout or estimator.input_dropout)
    contraction = float(estimator.contraction)
    has_penalty = contraction or isinstance(estimator.penalty, Penalty)
    terms = (make_contraction(estimator.penalty, contraction, int(estimator.n_probes)),) if has_penalty else ()
    return SupervisedObjective(
        dropout=jnp.asarray(np.asarray(estimator.dropout, dtype)) if drops else None,
        input_dropout=jnp.asarray(np.asarray(estimator.input_dropout, dtype)),
        penalties=Objective(terms, reconstruct=False) if terms else None,
        weight_decay=number("weight_decay"),
        tangent_weight=number("tangent_weight"),
        tangent_radius=number("tangent_radius"),
        n_tangent_probes=int(getattr(estimator, "n_tangent_probes", 0)),
        smoothness_weight=number("smoothness_weight") if estimator.smoothness is not None else None,
        smoothness_radius=jnp.asarray(np.asarray(estimator.smoothness_radius, dtype)),
        n_power_iterations=int(estimator.n_power_iterations),
    )


def log_probabilities(classifier: Classifier, x: Visible) -> ClassScores:
    """The logarithms of o, in nats."""
    return jax.nn.log_softmax(classifier.logits(x))


def held_out_errors(classifier: Classifier, held_out: HeldOut, uint8_scale: float) -> tuple[float, float]:
    """The mean cross-entropy in nats and the error rate of held-out rows."""
    scores = map_rows(log_probabilities, classifier, held_out.rows, uint8_scale=uint8_scale).astype(np.float64)
    own = scores[np.arange(len(scores)), held_out.numbers]
    wrong = scores.argmax(axis=1) != held_out.numbers
    return float(np.average(-own, weights=held_out.weights)), float(np.average(wrong, weights=held_out.weights))


class FineTuningWatch:
    """Takes over what each epoch learned, calls the callbacks, and says when to stop.

    Args:
        estimator: its fitted attributes are set.
        held_out: rows by whose error rate the best epoch is chosen; None for the last epoch.
        uint8_scale: what a uint8 value is divided by.
    """

    def __init__(self, estimator: Any, held_out: HeldOut | None, uint8_scale: float):
        self._estimator = estimator
        self.report = reporter(estimator)
        self._held_out, self._scale = held_out, uint8_scale
        self._best: tuple[tuple[float, float], int, Classifier | None] = ((np.inf, np.inf), 0, None)
        self._mark = np.inf  # the error rate that an epoch must fall below by `tol` to count as better
        self._waited = 0

    @property
    def validate(self) -> Callable[[Classifier], tuple[float, float]] | None:
        """What measures the held-out rows, or None without such rows."""
        held_out = self._held_out
        return None if held_out is None else lambda classifier: held_out_errors(classifier, held_out, self._scale)

    def finish_epoch(self, classifier: Classifier, record: FineTuningRecord) -> bool:
        """Take over weights and record; whether a callback or the held-out rows ask to stop."""
        estimator = self._estimator
        # Copies: the loop gives the classifier's buffers back to the device.
        estimator.classifier_ = jax.tree.map(np.array, classifier)
        estimator.history_.append(record)
        if estimator.verbose:
            print(record)
        stop = self._has_stopped_improving(record)
        return self.report(record) or stop

    def keep_best(self) -> None:
        """Give the estimator the weights of the epoch with the least error rate on held-out rows."""
        _, epoch, classifier = self._best
        if classifier is not None:
            self._estimator.classifier_ = classifier
            self._estimator.best_epoch_ = epoch

    def _has_stopped_improving(self, record: FineTuningRecord) -> bool:
        error, log_loss = record.validation_error_rate, record.validation_log_loss
        if error is None or log_loss is None:
            return False
        if (error, log_loss) < self._best[0]:  # among equal error rates the one with the better probabilities
            self._best = (error, log_loss), record.epoch, self._estimator.classifier_
        if error < self._mark - self._estimator.tol:
            self._mark, self._waited = error, 0
        else:
            self._waited += 1
        return bool(self._estimator.early_stopping) and self._waited >= self._estimator.n_iter_no_change
