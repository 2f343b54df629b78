"""Fitting: the training loop seen from an estimator, with callbacks, held-out rows and the best weights kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Scalar
from .._validation import check_weights
from ..batched import as_floats, map_rows
from ..corruption import Corruption
from ..distributed import current
from ..models import Model
from ..objectives import Objective
from ..sources import ArrayRows, RowReader, blocks_ahead
from ..training import EpochRecord, Position, Trained, fresh_state, resolve_optimizer, train
from ._base import precision, reconstruction_error
from ._parameters import batch_size
from ._snapshots import Ongoing, Resumed, held_by
from ._streams import BLOCK_BYTES, held_out_blocks, rows_within

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Callback", "call_all", "checked_weights", "draw_seed", "reporter", "train_estimator"]

Callback = Callable[[Any, Any], object]
"""Called with the estimator and what has happened, a `Progress` or `EpochRecord` in training."""


def call_all(callbacks: Sequence[Callback] | None, estimator: Any, event: Any) -> bool:
    """Call every callback; whether one of them returned True, Python's or NumPy's."""
    answers = [callback(estimator, event) for callback in callbacks or ()]
    return any(isinstance(answer, bool | np.bool_) and bool(answer) for answer in answers)


def reporter(estimator: Any) -> Callable[[Any], bool]:
    """What calls every callback of an estimator, in the precision that the user has set now.

    Training may run in another one meanwhile. It returns whether one of them returned True.
    """
    user_precision = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]

    def report(event: Any) -> bool:
        with jax.enable_x64(user_precision):
            return call_all(estimator.callbacks, estimator, event)

    return report


def draw_seed(rng: np.random.RandomState) -> int:
    """The seed of the order of rows, of corruption and of random penalties."""
    return int(rng.randint(2**31 - 1))


def checked_weights(sample_weight: ArrayLike | None, n_rows: int) -> np.ndarray | None:
    """Checked sample weights; None where all are the same and so say nothing."""
    weights = check_weights("sample_weight", sample_weight, n_rows)
    return None if weights is None or weights.min() == weights.max() else weights


def train_estimator(
    estimator: Any,
    model: Model,
    objective: Objective,
    rows: Any,
    weights: np.ndarray | None,
    *,
    seed: int,
    max_epochs: int,
    uint8_scale: float,
    engine: str,
    partial_fit: bool = False,
) -> None:
    """Train, and leave in the estimator what has been learned after each epoch.

    The history that the estimator has goes on, and so does its optimiser's state where it is of the same optimiser.
    In the block of a group of processes, all train together, and each reads what it needs of the rows.

    Args:
        estimator: its training parameters are used, its fitted attributes are set.
        model: where training starts.
        objective: what is minimised.
        rows: checked data.
        weights: what each row counts, or None.
        seed: what the order of rows and everything random depends on, with the epoch's number.
        max_epochs: how often to go through the rows.
        uint8_scale: what a uint8 value is divided by.
        engine: what trains.
        partial_fit: whether the rows are one of many portions: no rows are held out, and a batch may be larger.

    Raises:
        FloatingPointError: if the cost is not finite; what the finished epochs learned stays.
        ValueError: if the parameters do not fit the number of rows.
    """
    held_out, n_rows, group = None, rows.shape[0], current()
    rows = rows if group is None else _as_reader(rows)
    if estimator.early_stopping and not partial_fit:
        (rows, weights), held_out = _split(rows, weights, estimator.validation_fraction, seed)
    if group is not None:
        _check_enough(rows.shape[0], len(jax.devices()))
    weights = _with_mean_one(weights)
    transformation = resolve_optimizer(estimator.optimizer, _rate(estimator.learning_rate))
    optimizer_state = vars(estimator).get("_optimizer_state")
    ongoing, position = _begin(estimator, n_rows)
    watch = _Watch(estimator, ongoing)  # before the precision is set, as callbacks run in the user's own
    epochs_left = 0 if watch.is_over() else max_epochs - (len(estimator.history_) - ongoing.epochs_before)
    with precision(model.dtype), held_by(estimator, "_ongoing", ongoing):
        position = position and _with_state(position, transformation)
        validate = None if held_out is None else _validation(objective, *held_out, uint8_scale, seed, model.dtype)
        estimator._optimizer_state = None
        trained = train(
            model,
            objective,
            rows,
            transformation,
            batch_size=batch_size(estimator.batch_size, rows.shape[0], at_most_rows=not partial_fit),
            max_epochs=epochs_left,
            shuffle=bool(estimator.shuffle),
            seed=seed,
            uint8_scale=uint8_scale,
            engine=engine,
            sample_weight=weights,
            optimizer_state=optimizer_state,
            epochs_done=len(estimator.history_),
            read_ahead=getattr(rows, "read_ahead", 1),
            position=position,
            peers=group,
            validate=validate,
            offer=ongoing.offer,
            on_epoch=watch.finish_epoch,
            on_chunk=watch.report if estimator.callbacks else None,
        )
        estimator._optimizer_state = jax.tree.map(np.array, trained.optimizer_state)
    watch.keep_best()


def _check_enough(n_rows: int, n_devices: int) -> None:
    """Refuse rows that are too few for any minibatch that all devices share."""
    if n_rows < n_devices:
        raise ValueError(
            f"there must be a row to train on for each of the {n_devices} devices of all processes; got {n_rows}. "
            "Start fewer processes."
        )


def _begin(estimator: Any, n_rows: int) -> tuple[Ongoing, Position | None]:
    """A training from here on, or the one that a snapshot holds, and where that stands.

    Raises:
        ValueError: if that was of other rows.
    """
    resumed: Resumed | None = vars(estimator).pop("_resumed", None)
    if resumed is None:
        return Ongoing(n_rows, len(estimator.history_)), None
    if resumed.ongoing.n_rows != n_rows:
        raise ValueError(f"`X` must have the {resumed.ongoing.n_rows} rows that training began with; got {n_rows}.")
    return resumed.ongoing, resumed.position


def _with_state(position: Position, transformation: Any) -> Position:
    """A snapshot's position with the optimiser's state in its own form.

    Raises:
        ValueError: if the leaves are those of another optimiser.
    """
    fresh = fresh_state(transformation, position.model)
    leaves, structure = jax.tree.flatten(fresh)
    if [np.shape(leaf) for leaf in leaves] != [np.shape(leaf) for leaf in position.optimizer_state]:
        raise ValueError("`optimizer` must be the one that training began with; got another.")
    return position._replace(optimizer_state=jax.tree.unflatten(structure, position.optimizer_state))


def _as_reader(rows: Any) -> RowReader:
    """Rows as they are dealt to several processes.

    Raises:
        TypeError: if they are sparse.
    """
    if hasattr(rows, "toarray"):
        raise TypeError("`X` must be dense where several processes train together; got sparse rows.")
    return rows if isinstance(rows, RowReader) else ArrayRows("X", rows)


def _rate(learning_rate: Any) -> Any:
    return learning_rate if callable(learning_rate) else float(learning_rate)


def _split(
    rows: Any, weights: np.ndarray | None, fraction: float, seed: int
) -> tuple[tuple[Any, np.ndarray | None], tuple[Any, np.ndarray | None]]:
    """The rows to train on and those held out, with their weights, both in the data's order; at least one of each."""
    if isinstance(rows, RowReader):
        kept, held_out = held_out_blocks(rows, fraction, seed)
        return rows_within(rows, weights, kept), rows_within(rows, weights, held_out)
    n_rows = rows.shape[0]
    n_held_out = min(max(1, round(fraction * n_rows)), n_rows - 1)
    shuffled = np.random.default_rng([seed, 0]).permutation(n_rows)  # epochs count from 1
    kept, held_out = np.sort(shuffled[n_held_out:]), np.sort(shuffled[:n_held_out])
    if weights is None:
        return (rows[kept], None), (rows[held_out], None)
    return (rows[kept], weights[kept]), (rows[held_out], weights[held_out])


def _with_mean_one(weights: np.ndarray | None) -> np.ndarray | None:
    if weights is None:
        return None
    if not weights.any():
        raise ValueError("`sample_weight` must have a value > 0 among the rows trained on; got zeros only.")
    return weights / weights.mean()


def _validation(
    objective: Objective, rows: Any, weights: np.ndarray | None, uint8_scale: float, seed: int, dtype: np.dtype
) -> Callable[[Model], float]:
    """The mean reconstruction error of held-out rows, corrupted always in the same way where training corrupts."""
    weights = None if weights is None or not weights.any() else weights
    corruption = objective.corruption
    if corruption is None:
        return lambda model: _mean(map_rows(reconstruction_error, model, rows, uint8_scale=uint8_scale), weights)
    scale = jnp.asarray(uint8_scale, dtype)

    def corrupted(block: Any, number: int) -> np.ndarray:
        return np.asarray(_with_corrupted(corruption, jnp.asarray(block), scale, seed + number))

    if isinstance(rows, RowReader):

        def errors(model: Model) -> np.ndarray:
            pairs = (corrupted(block, number) for number, block in enumerate(blocks_ahead(rows, BLOCK_BYTES)))
            return np.concatenate([map_rows(_denoising_error, model, pair) for pair in pairs])

        return lambda model: _mean(errors(model), weights)
    pairs = corrupted(rows.toarray() if hasattr(rows, "toarray") else rows, 0)
    return lambda model: _mean(map_rows(_denoising_error, model, pairs), weights)


def _mean(errors: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(errors.astype(np.float64), weights=weights))


@jax.jit
def _with_corrupted(corruption: Corruption, rows: jax.Array, scale: jax.Array, seed: int) -> jax.Array:
    """Each row followed by its corrupted self."""
    x = as_floats(rows, scale, scale.dtype)
    keys = jax.random.split(jax.random.key(seed), len(x))
    return jnp.concatenate([x, jax.vmap(lambda row, key: corruption(row, key=key))(x, keys)], axis=1)


def _denoising_error(model: Model, pair: jax.Array) -> Scalar:
    x, seen = jnp.split(pair, 2)
    return model.reconstruction_loss.error(x, model.forward(seen).output)


class _Watch:
    """Takes over what each epoch learned, calls the callbacks, and says when to stop."""

    def __init__(self, estimator: Any, ongoing: Ongoing):
        self._estimator, self._ongoing = estimator, ongoing
        self.report = reporter(estimator)

    def finish_epoch(self, trained: Trained) -> bool:
        """Take over weights and record; whether a callback or the held-out rows ask to stop."""
        estimator, record = self._estimator, trained.history[-1]
        # Copies: the loop gives the model's buffers back to the device.
        estimator.model_ = jax.tree.map(np.array, trained.model)
        estimator.engine_ = trained.engine
        estimator.history_.append(record)
        if estimator.verbose:
            print(record)
        self._compare(record)
        return self.report(record) or self.is_over()

    def keep_best(self) -> None:
        """Give the estimator the weights of the epoch with the least validation error."""
        error, epoch, model = self._ongoing.best
        if model is not None:
            self._estimator.model_ = model
            self._estimator.best_epoch_ = epoch

    def is_over(self) -> bool:
        """Whether the error of the held-out rows has not fallen for long enough."""
        return self._ongoing.waited >= self._estimator.n_iter_no_change

    def _compare(self, record: EpochRecord) -> None:
        error, ongoing = record.validation_error, self._ongoing
        if error is None:
            return
        if error < ongoing.best[0]:
            ongoing.best = error, record.epoch, self._estimator.model_
        if error < ongoing.mark - self._estimator.tol:  # what an epoch must fall below to count as better
            ongoing.mark, ongoing.waited = error, 0
        else:
            ongoing.waited += 1
