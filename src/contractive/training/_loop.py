"""The one training loop: epochs of chunks of minibatches, the records that they leave, and when it ends."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ..models import Model
from ..objectives import Objective
from ._engines import make_engine
from ._feeds import Run, make_feed
from ._local import exchanged_bytes
from ._shared import Peers, own_slots
from ._step import TrainingState, initial_state

__all__ = ["EpochRecord", "Position", "Progress", "Trained", "train"]

_CHUNK_SECONDS = 0.25  # how long the device runs between two looks at the clock, the keyboard and the numbers
_SHARE_OF_LOOKS = 0.05  # of the time of several processes, which must hear of each other at each: the more, the longer
_LONGEST_CHUNK = 5.0  # seconds, even so
_SHOWN_ROWS = 5  # of those that a message names
_FIRST_CHUNK = 16  # minibatches of the first chunk, before their speed is known


class EpochRecord(NamedTuple):
    """What one finished epoch has to say.

    Args:
        epoch: its number, from 1.
        reconstruction_error: mean over all rows, each before the update that it takes part in (nats, or
            squared units of x, summed over features).
        jacobian_norm: mean of ||J_f(x)||_F over all rows, likewise; see `objectives.Parts` for where it is estimated.
        seconds: its wall time; the first epoch's includes compiling.
        rows_per_second: rows trained on, divided by `seconds`.
        validation_error: mean reconstruction error of the held-out rows after the epoch, or None without such rows.
    """

    epoch: int
    reconstruction_error: float
    jacobian_norm: float
    seconds: float
    rows_per_second: float
    validation_error: float | None = None


class Progress(NamedTuple):
    """Where an unfinished epoch stands: its number, the rows done, and the two means over them."""

    epoch: int
    rows: int
    reconstruction_error: float
    jacobian_norm: float


class Position(NamedTuple):
    """Where a run stands: all that it takes to go on to the bits of a run that was never stopped.

    Args:
        epochs_done: finished epochs, those of earlier runs included.
        minibatches_done: of the epoch after them.
        seconds: that this epoch took so far.
        costs: of its minibatches so far, float of shape (minibatches_done, 2); see `TrainingState`.
        model: the auto-encoder, its arrays NumPy's.
        optimizer_state: what optax keeps, likewise.
    """

    epochs_done: int
    minibatches_done: int
    seconds: float
    costs: np.ndarray
    model: Model
    optimizer_state: Any


class Trained(NamedTuple):
    """What `train` leaves, or has come to so far.

    Args:
        model: the trained auto-encoder.
        optimizer_state: what optax kept, to go on with.
        history: one record an epoch of this run.
        engine: what trained: "jax" or "native".
    """

    model: Model
    optimizer_state: optax.OptState
    history: list[EpochRecord]
    engine: str


def train(
    model: Model,
    objective: Objective,
    rows: Any,
    transformation: optax.GradientTransformation,
    *,
    batch_size: int,
    max_epochs: int,
    shuffle: bool = True,
    seed: int = 0,
    uint8_scale: float = 1,
    engine: str = "auto",
    sample_weight: np.ndarray | None = None,
    optimizer_state: optax.OptState | None = None,
    epochs_done: int = 0,
    read_ahead: int = 1,
    position: Position | None = None,
    peers: Peers | None = None,
    validate: Callable[[Model], float] | None = None,
    offer: Callable[[Callable[[], Position]], object] | None = None,
    on_epoch: Callable[[Trained], object] | None = None,
    on_chunk: Callable[[Progress], object] | None = None,
) -> Trained:
    """Train an auto-encoder by minibatch gradient descent.

    The step is compiled once per run: for all chunks, the short last minibatch included. Rows that come
    as uint8 stay so on the device. What is random depends on (seed, epoch, minibatch) alone, so that runs of
    3 and 2 epochs, the second with the model, `optimizer_state` and `epochs_done` of the first, leave the bits of one
    run of 5.

    Args:
        model: where training starts; its dtype is the dtype of the arithmetic.
        objective: what is minimised.
        rows: the data, of shape (n_rows, n_features): dense, scipy's CSR, or a `RowReader`, of which some windows
            are in memory at a time and whose order is that of `stream_order`.
        transformation: an optax optimiser.
        batch_size: rows a minibatch, from 1 to n_rows; a short last minibatch is trained on too.
        max_epochs: how often to go through the rows, >= 0.
        shuffle: whether each epoch has an order of its own; else the rows' own order.
        seed: what order, corruption and random penalties depend on, with the epoch's number.
        uint8_scale: what a uint8 value is divided by.
        engine: "jax", "native" for the compiled kernel (see `native_kernel`), or "auto" for the kernel where it
            can do the job. Their results agree to float32's rounding.
        sample_weight: what each row counts, of shape (n_rows,), 1 on average; None for all the same.
        optimizer_state: what an earlier run left, or None to start afresh.
        epochs_done: epochs of the earlier run.
        read_ahead: windows of a `RowReader` that are read before they are needed, >= 1; the bits do not depend on it.
        position: where an earlier run stood, to go on from there, also within an epoch; `model`, `optimizer_state` and
            `epochs_done` are then its own.
        peers: the processes that train together, which all call this with the same arguments; None for one alone. The
            rows are then a `RowReader`, and what ends the training in one process ends it in all.
        offer: called before `on_chunk` and `on_epoch` with a function that copies where the run stands; it may be
            called until these return.
        validate: the mean reconstruction error of held-out rows, for the records.
        on_epoch: called after each epoch with what has come of the run so far, the epoch's record last; the buffers of
            the model and of the optimiser's state live until it returns. Returning True ends the training.
        on_chunk: called several times a second with the progress within the epoch; returning True ends the training
            there and then, with a record of the epoch so far.

    Returns:
        The trained model, the optimiser's state, one record an epoch and the engine.

    Raises:
        ValueError: if `engine` is "native" and the kernel cannot do the job; if a minibatch has fewer rows than there
            are devices that share it; as for `RowReader.read`.
        OSError: as for `RowReader.read`.
        FloatingPointError: if a cost is not finite; the message names epoch, minibatch and rows. What
            `on_epoch` got before stands.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> from contractive.training import resolve_optimizer
        >>> rows = np.random.RandomState(0).rand(20, 4).astype("float32")
        >>> model = initialize(4, 2, rng=np.random.RandomState(0))
        >>> trained = train(model, Objective(), rows, resolve_optimizer("sgd", 0.1), batch_size=8, max_epochs=3)
        >>> [record.epoch for record in trained.history]
        [1, 2, 3]
    """
    n_rows, n_minibatches = rows.shape[0], -(-rows.shape[0] // batch_size)
    if position is None:
        position = Position(epochs_done, 0, 0.0, np.empty((0, 2)), model, optimizer_state)
    state = initial_state(position.model, transformation, n_minibatches, position.optimizer_state)
    epochs_done, first, spent = position.epochs_done, position.minibatches_done, position.seconds
    if first:
        state = state._replace(costs=state.costs.at[:first].set(position.costs))
    runner = make_engine(
        state.model,
        objective,
        transformation,
        rows,
        batch_size=batch_size,
        uint8_scale=uint8_scale,
        engine=engine,
        weighted=sample_weight is not None,
        shared=peers is not None,
        exchange=None if peers is None else peers.exchange(exchanged_bytes(state.model)),
    )
    feed = make_feed(
        runner,
        rows,
        sample_weight,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        read_ahead=read_ahead,
        parts=None if peers is None else own_slots(batch_size),
    )
    history: list[EpochRecord] = []
    epochs = range(epochs_done + 1, epochs_done + max_epochs + 1)
    with closing(feed.runs(epochs, first)) as runs:
        for epoch, run in zip(epochs, runs, strict=True):
            start = time.perf_counter() - spent
            chunks = _Chunks(epoch, n_rows, batch_size, start, partial(feed.row_numbers, epoch), on_chunk, offer, peers)
            state, means, stopped = chunks.run(run, state, first)
            first, spent, seconds = 0, 0.0, time.perf_counter() - start
            error = None if validate is None else _error(validate, state.model, peers)
            record = EpochRecord(*_numbers(means), seconds, means.rows / seconds, error)
            history.append(record)
            if offer is not None:
                offer(partial(_position, state, epoch, 0, 0.0))
            stopped |= (
                on_epoch is not None
                and on_epoch(Trained(state.model, state.optimizer_state, history, runner.name)) is True
            )
            if stopped if peers is None else peers.gather([stopped]).any():
                break
    return Trained(state.model, state.optimizer_state, history, runner.name)


def _numbers(progress: Progress) -> tuple[int, float, float]:
    return progress.epoch, progress.reconstruction_error, progress.jacobian_norm


def _error(validate: Callable[[Model], float], model: Model, peers: Peers | None) -> float:
    """The error of held-out rows; that of the first process, as others may compute another last digit."""
    if peers is None:
        return validate(model)
    return float(peers.gather([validate(jax.tree.map(np.array, model))])[0, 0])


def _position(state: TrainingState, epochs_done: int, minibatches_done: int, seconds: float) -> Position:
    model, optimizer_state = jax.tree.map(np.array, (state.model, state.optimizer_state))
    return Position(
        epochs_done, minibatches_done, seconds, np.array(state.costs)[:minibatches_done], model, optimizer_state
    )


class _Chunks(NamedTuple):
    """One epoch, run chunk by chunk, each sized by the speed of the one before to last `_CHUNK_SECONDS`.

    Chunks of several processes last longer where hearing of each other takes long, so that it has `_SHARE_OF_LOOKS`.

    Args:
        epoch: its number.
        n_rows: rows of it.
        batch_size: rows a minibatch.
        began: when, by `time.perf_counter`, less what was spent on it before.
        row_numbers: of a minibatch.
        on_chunk: as for `train`.
        offer: as for `train`.
        peers: as for `train`.
    """

    epoch: int
    n_rows: int
    batch_size: int
    began: float
    row_numbers: Callable[[int], np.ndarray]
    on_chunk: Callable[[Progress], object] | None
    offer: Callable[[Callable[[], Position]], object] | None
    peers: Peers | None

    def run(self, run: Run, state: TrainingState, done: int) -> tuple[TrainingState, Progress, bool]:
        """The state after the epoch, the means over it, and whether `on_chunk` ended it; `done` minibatches were."""
        n_minibatches, chunk = -(-self.n_rows // self.batch_size), _FIRST_CHUNK
        progress, stopped, looking = self._progress(state, done), False, 0.0
        while done < n_minibatches and not stopped:
            start, stop = time.perf_counter(), min(done + chunk, n_minibatches)
            state = run(state, (done, stop))
            progress = self._progress(state, stop)
            computed = time.perf_counter()
            if self.offer is not None:
                self.offer(partial(_position, state, self.epoch - 1, stop, computed - self.began))
            stopped = self.on_chunk is not None and self.on_chunk(progress) is True
            speed = (stop - done) / (computed - start)
            seconds = max(_CHUNK_SECONDS, min(looking / _SHARE_OF_LOOKS, _LONGEST_CHUNK))
            done, chunk = stop, max(1, min(16 * chunk, round(speed * seconds)))
            if self.peers is not None:  # all run the same programs, by the clock of the first
                said = self.peers.gather([stopped, chunk])
                stopped, chunk = bool(said[:, 0].any()), int(said[0, 1])
                looking = time.perf_counter() - computed
        return state, progress, stopped

    def _progress(self, state: TrainingState, done: int) -> Progress:
        """The means over the rows of the first `done` minibatches, in float64: every row counts the same."""
        costs = np.array(state.costs)[:done]
        wrong = ~np.isfinite(costs).all(axis=1)
        if wrong.any():
            raise FloatingPointError(self._not_finite(int(wrong.argmax()), costs))
        rows = min(done * self.batch_size, self.n_rows)
        sizes = np.diff(np.minimum(np.arange(done + 1) * self.batch_size, self.n_rows))
        reconstruction_error, jacobian_norm = (sizes @ costs.astype(np.float64) / max(rows, 1)).tolist()
        return Progress(self.epoch, rows, reconstruction_error, jacobian_norm)

    def _not_finite(self, minibatch: int, costs: np.ndarray) -> str:
        value = costs[minibatch][~np.isfinite(costs[minibatch])][0]
        numbers = self.row_numbers(minibatch)
        rows = ", ".join(map(str, numbers[:_SHOWN_ROWS])) + ", ..." * (len(numbers) > _SHOWN_ROWS)
        return (
            f"the cost is not finite in epoch {self.epoch}, minibatch {minibatch + 1} (rows {rows}); got {value}. "
            "Lower `learning_rate` or `contraction`, or scale the data."
        )
