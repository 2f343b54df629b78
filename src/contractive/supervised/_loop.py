"""Fine-tuning: epochs over labelled rows, or over all rows with a labelled minibatch beside each; records and end."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..models import Classifier
from ..training import epoch_keys, epoch_order
from ._objective import Batch, SupervisedObjective
from ._step import FineTuningState, run_supervised_chunk

__all__ = ["FineTuningProgress", "FineTuningRecord", "SupervisedRows", "fine_tune", "minibatches_an_epoch"]

_CHUNK_FLOATS = 1 << 24  # of rows and tangents gathered for one call: 64 MiB in float32
_MAX_CHUNK = 32  # minibatches of one call: between two looks at the keyboard and the numbers
_NO_ROW = -1  # in the place of a row's number
_LABELED_SEED = 2  # what tells the order of the labelled rows from that of all rows


class FineTuningRecord(NamedTuple):
    """What one finished epoch has to say.

    Args:
        epoch: its number, from 1.
        log_loss: mean cross-entropy in nats over the labelled rows, each before the update that it takes part in and
            with dropout where there is any.
        error_rate: share of them classified wrongly, likewise; in [0, 1].
        seconds: its wall time; the first epoch's includes compiling.
        rows_per_second: rows gone through, divided by `seconds`.
        validation_log_loss: mean cross-entropy of the held-out rows after the epoch, or None without such rows.
        validation_error_rate: share of them classified wrongly, or None.
    """

    epoch: int
    log_loss: float
    error_rate: float
    seconds: float
    rows_per_second: float
    validation_log_loss: float | None = None
    validation_error_rate: float | None = None


class FineTuningProgress(NamedTuple):
    """Where an unfinished epoch stands: its number, the rows gone through, and the two means so far."""

    epoch: int
    rows: int
    log_loss: float
    error_rate: float


class SupervisedRows(NamedTuple):
    """Training rows with what is known of each.

    Args:
        x: of shape (n_rows, n_features), dense or scipy's CSR.
        labels: the number of each row's class, of shape (n_rows,); -1 where it is not known.
        weights: what each row counts, of shape (n_rows,), on any scale, not zero for all labelled rows; None for
            all the same.
        tangents: of shape (n_rows, tangents, features), in memory or mapped; None where they are not used.
    """

    x: Any
    labels: np.ndarray
    weights: np.ndarray | None = None
    tangents: np.ndarray | None = None


class _Walk(NamedTuple):
    """The minibatches of one epoch: the rows of each, or `_NO_ROW`, and what each counts; (minibatches, batch)."""

    order: np.ndarray
    row_weights: np.ndarray


def fine_tune(
    classifier: Classifier,
    objective: SupervisedObjective,
    rows: SupervisedRows,
    transformation: optax.GradientTransformation,
    *,
    batch_size: int,
    max_epochs: int,
    shuffle: bool = True,
    seed: int = 0,
    uint8_scale: float = 1,
    max_norm: float | None = None,
    smoothness_warmup: int = 0,
    validate: Callable[[Classifier], tuple[float, float]] | None = None,
    on_epoch: Callable[[Classifier, FineTuningRecord], object] | None = None,
    on_chunk: Callable[[FineTuningProgress], object] | None = None,
) -> Classifier:
    """Train a classifier by minibatch gradient descent, encoder and output layer together.

    Where all rows have labels, or no term of the objective uses rows without, an epoch goes once through the labelled
    rows. Else it goes once through all rows, and beside each minibatch takes one of labelled rows, which are gone
    through in an order of their own as often as that asks for. What is random depends on (seed, epoch, minibatch)
    alone.

    Args:
        classifier: where training starts; its dtype is the dtype of the arithmetic.
        objective: what is minimised.
        rows: the data.
        transformation: an optax optimiser.
        batch_size: rows a minibatch, >= 1; a short last minibatch is trained on too.
        max_epochs: how often to go through the rows, >= 0.
        shuffle: whether each epoch has an order of its own; else the rows' own order.
        seed: what order, dropout and random terms depend on, with the epoch's number.
        uint8_scale: what a uint8 value is divided by.
        max_norm: the largest norm of a unit's incoming weights, > 0; None for no limit.
        smoothness_warmup: epochs in which the objective's `smoothness_radius` grows linearly to its value, >= 0.
        validate: classifier -> (mean cross-entropy, error rate) of held-out rows, for the records.
        on_epoch: called after each epoch; its buffers live until it returns. Returning True ends the training.
        on_chunk: called several times an epoch; returning True ends the training there and then.

    Returns:
        The trained classifier.

    Raises:
        FloatingPointError: if a cost is not finite; the message names the epoch. What `on_epoch` got before stands.
    """
    dtype = classifier.dtype
    parameters = jax.tree.map(jnp.array, classifier)
    state = FineTuningState(parameters, transformation.init(eqx.filter(parameters, eqx.is_inexact_array_like)))
    constants: dict[str, Any] = {
        "transformation": transformation,
        "scale": jnp.asarray(np.asarray(uint8_scale, dtype)),
        "max_norm": None if max_norm is None else jnp.asarray(np.asarray(max_norm, dtype)),
    }
    for epoch in range(1, max_epochs + 1):
        start, means, seen, stopped = time.perf_counter(), FineTuningProgress(epoch, 0, 0.0, 0.0), 0, False
        labeled, everything = _walks(rows, objective, batch_size, shuffle=shuffle, seed=seed, epoch=epoch)
        keys = epoch_keys(len(labeled.order), seed=seed, epoch=epoch)
        length = _chunk_length(rows, labeled, everything)
        grown = _with_grown_radius(objective, epoch, smoothness_warmup)
        for first in range(0, len(keys), length):
            part = slice(first, first + length)
            state, costs = run_supervised_chunk(
                state,
                objective=grown,
                labeled=_gather(rows, labeled, part, length, dtype, tangents=everything is None),
                everything=None if everything is None else _gather(rows, everything, part, length, dtype, labels=False),
                keys=jnp.asarray(_filled(keys[part], length)),
                n_minibatches=jnp.asarray(len(keys[part])),
                **constants,
            )
            sizes = np.count_nonzero(labeled.order[part] != _NO_ROW, axis=1)
            walked = sizes if everything is None else np.count_nonzero(everything.order[part] != _NO_ROW, axis=1)
            means = _joined(means, seen, np.asarray(costs, np.float64)[: len(sizes)], sizes, int(walked.sum()))
            seen += int(sizes.sum())
            stopped = on_chunk is not None and on_chunk(means) is True
            if stopped:
                break
        seconds = time.perf_counter() - start
        held_out = (None, None) if validate is None else validate(state.classifier)
        record = FineTuningRecord(epoch, means.log_loss, means.error_rate, seconds, means.rows / seconds, *held_out)
        stopped |= on_epoch is not None and on_epoch(state.classifier, record) is True
        if stopped:
            break
    return state.classifier


def _with_grown_radius(objective: SupervisedObjective, epoch: int, warmup: int) -> SupervisedObjective:
    """The objective with the radius that it has in an epoch."""
    if epoch >= warmup:
        return objective
    return eqx.tree_at(lambda one: one.smoothness_radius, objective, objective.smoothness_radius * (epoch / warmup))


def minibatches_an_epoch(rows: SupervisedRows, objective: SupervisedObjective, batch_size: int) -> int:
    """How many updates `fine_tune` makes in an epoch."""
    n_rows = int(np.count_nonzero(rows.labels >= 0)) if _labeled_alone(rows, objective) else len(rows.labels)
    return -(-n_rows // min(batch_size, n_rows))


def _labeled_alone(rows: SupervisedRows, objective: SupervisedObjective) -> bool:
    """Whether an epoch goes through labelled rows only."""
    return not objective.uses_unlabeled or bool((rows.labels >= 0).all())


def _walks(
    rows: SupervisedRows, objective: SupervisedObjective, batch_size: int, *, shuffle: bool, seed: int, epoch: int
) -> tuple[_Walk, _Walk | None]:
    """One epoch's minibatches of labelled rows and, where they are others, of all rows."""
    known, every = np.flatnonzero(rows.labels >= 0), np.arange(len(rows.labels))
    if _labeled_alone(rows, objective):
        order = epoch_order(len(known), min(batch_size, len(known)), shuffle=shuffle, seed=seed, epoch=epoch)
        return _walk(rows, known, order.astype(np.int64), len(known)), None
    order = epoch_order(len(every), min(batch_size, len(every)), shuffle=shuffle, seed=seed, epoch=epoch)
    beside = min(batch_size, len(known))
    rng = np.random.default_rng([seed, epoch, _LABELED_SEED])
    rounds = -(-len(order) * beside // len(known))
    places = np.concatenate([rng.permutation(len(known)) if shuffle else np.arange(len(known)) for _ in range(rounds)])
    places = places[: len(order) * beside].reshape(len(order), beside)
    return _walk(rows, known, places, places.size), _walk(rows, every, order.astype(np.int64), len(every))


def _walk(rows: SupervisedRows, members: np.ndarray, places: np.ndarray, n_filled: int) -> _Walk:
    """The rows at some places of `members`, of which the first `n_filled` hold one, and what each counts.

    A row counts a share of its minibatch, times its weight where the weights of all members are 1 on average.
    """
    filled = (np.arange(places.size) < n_filled).reshape(places.shape)
    row_weights = filled / filled.sum(axis=1, keepdims=True)
    order = members[places]
    if rows.weights is not None:
        row_weights *= rows.weights[order] / rows.weights[members].mean()
    return _Walk(np.where(filled, order, _NO_ROW), row_weights)


def _chunk_length(rows: SupervisedRows, labeled: _Walk, everything: _Walk | None) -> int:
    """Minibatches of one call: always as many, so that they share one compiled step."""
    floats = rows.x.shape[1] + (0 if rows.tangents is None else int(np.prod(rows.tangents.shape[1:])))
    batch = labeled.order.shape[1] + (0 if everything is None else everything.order.shape[1])
    return min(len(labeled.order), _MAX_CHUNK, max(1, _CHUNK_FLOATS // (floats * batch)))


def _filled(part: np.ndarray, length: int) -> np.ndarray:
    """A chunk's array with zeros for the minibatches that it lacks."""
    return np.pad(part, ((0, length - len(part)), (0, 0)))


def _gather(
    rows: SupervisedRows,
    walk: _Walk,
    part: slice,
    length: int,
    dtype: np.dtype,
    *,
    labels: bool = True,
    tangents: bool = True,
) -> Batch:
    """The rows of a chunk of minibatches, with a leading axis of minibatches."""
    order = np.maximum(_filled(walk.order[part], length), 0)
    chosen = order.ravel()
    x = rows.x[chosen]
    x = x.toarray() if hasattr(x, "toarray") else x
    row_weights = _filled(walk.row_weights[part], length)
    planes = rows.tangents[chosen] if tangents and rows.tangents is not None else None
    return Batch(
        jnp.asarray(x.reshape(*order.shape, -1)),
        jnp.asarray(row_weights.astype(dtype)),
        jnp.asarray(rows.labels[order].astype(np.int32)) if labels else None,
        None if planes is None else jnp.asarray(planes.reshape(*order.shape, *planes.shape[1:])),
    )


def _joined(
    means: FineTuningProgress, seen: int, costs: np.ndarray, sizes: np.ndarray, n_walked: int
) -> FineTuningProgress:
    """The means over `seen` labelled rows with those of some more minibatches, of so many labelled rows each.

    Raises:
        FloatingPointError: if a cost is not finite.
    """
    if not np.isfinite(costs).all():
        raise FloatingPointError(
            f"the cost is not finite in epoch {means.epoch}; got {costs[~np.isfinite(costs)][0]}. "
            "Lower `learning_rate`, or scale the data."
        )
    total = np.array([means.log_loss, means.error_rate]) * seen + sizes @ costs
    log_loss, error_rate = (total / (seen + sizes.sum())).tolist()
    return FineTuningProgress(means.epoch, means.rows + n_walked, log_loss, error_rate)
