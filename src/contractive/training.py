"""The one training loop: a jitted step scanned over chunks of minibatches gathered by index."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ._typing import Array, Float, Int, Rows, RowWeights, Scalar, StoredRows, UInt32
from .batched import as_floats
from .models import AutoEncoder
from .native import MAX_BATCH, Kernel, build_kernel
from .objectives import Objective, Parts
from .penalties import Contraction

__all__ = [
    "ENGINES",
    "OPTIMIZERS",
    "EpochRecord",
    "Progress",
    "TrainingState",
    "chunk_runner",
    "epoch_order",
    "native_kernel",
    "resolve_optimizer",
    "run_chunk",
    "run_kernel",
    "train",
    "update",
]

_CHUNK_SECONDS = 0.25  # how long the device runs between two looks at the clock, the keyboard and the numbers
_FIRST_CHUNK = 16  # minibatches of the first chunk, before their speed is known

ENGINES = ("auto", "jax", "native")
"""What may run the loop; "auto" is "native" where that can do the job."""

OPTIMIZERS = MappingProxyType(
    {
        "sgd": optax.sgd,
        "momentum": partial(optax.sgd, momentum=0.9),
        "adam": optax.adam,
    }
)
"""Every optimiser by name; momentum is 0.9, Adam has the defaults of its paper."""


_PLAIN_RATES: dict[optax.GradientTransformation, float] = {}  # of plain SGD, which optax's objects do not tell


class TrainingState(NamedTuple):
    """All that changes in a run, as one pytree on the device.

    Args:
        model: the auto-encoder.
        optimizer_state: what optax keeps.
        costs: one row a minibatch of the epoch so far: mean reconstruction error and mean Jacobian norm.
    """

    model: AutoEncoder
    optimizer_state: optax.OptState
    costs: Float[Array, "minibatches 2"]


class EpochRecord(NamedTuple):
    """What one finished epoch has to say.

    Args:
        epoch: its number, from 1.
        reconstruction_error: mean over all rows, each before the update that it takes part in (nats, or
            squared units of x, summed over features).
        jacobian_norm: mean of ||J_f(x)||_F over all rows, likewise.
        seconds: its wall time; the first epoch's includes compiling.
        rows_per_second: rows trained on, divided by `seconds`.
    """

    epoch: int
    reconstruction_error: float
    jacobian_norm: float
    seconds: float
    rows_per_second: float


class Progress(NamedTuple):
    """Where an unfinished epoch stands: its number, the rows done, and the two means over them."""

    epoch: int
    rows: int
    reconstruction_error: float
    jacobian_norm: float


@lru_cache
def _named_optimizer(name: str, learning_rate: float) -> optax.GradientTransformation:
    transformation = OPTIMIZERS[name](learning_rate)
    if name == "sgd":
        _PLAIN_RATES[transformation] = learning_rate
    return transformation


def resolve_optimizer(choice: object, learning_rate: float) -> optax.GradientTransformation:
    """The named optimiser, or the transformation itself, which brings its own learning rate.

    The same name and rate give the same object, so that compiled steps are shared.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(choice, str):
        return _named_optimizer(choice, learning_rate)
    if not isinstance(choice, optax.GradientTransformation):
        raise TypeError(f"`optimizer` must be a name or an optax transformation; got {choice!r}.")
    return choice


def update(
    model: AutoEncoder,
    optimizer_state: optax.OptState,
    objective: Objective,
    transformation: optax.GradientTransformation,
    x: Rows,
    row_weights: RowWeights,
) -> tuple[AutoEncoder, optax.OptState, Parts]:
    """One step of gradient descent on the objective of one minibatch; the parts are those before the step."""
    gradient, parts = jax.grad(objective, has_aux=True)(model, x, row_weights)
    parameters: Any = model  # a model is a pytree like any other to optax, whose types do not say so
    updates, optimizer_state = transformation.update(gradient, optimizer_state, parameters)
    return eqx.apply_updates(model, updates), optimizer_state, parts


# Vectors as wide as the processor has: XLA prefers 256 bits, which costs 2 to 4 % of a step with AVX-512.
@partial(
    jax.jit,
    static_argnames="transformation",
    donate_argnames="state",
    compiler_options={"xla_cpu_prefer_vector_width": 512},
)
def run_chunk(
    state: TrainingState,
    objective: Objective,
    transformation: optax.GradientTransformation,
    stored: StoredRows,
    scale: Scalar,
    order: UInt32[Array, "minibatches batch"],
    bounds: Int[Array, " 2"],
) -> TrainingState:
    """Train on minibatches bounds[0] to bounds[1] of the epoch's order; any bounds run the same compiled code."""
    n_rows, batch_size = stored.shape[0], order.shape[1]
    dtype = state.model.weight.dtype

    def step(minibatch: Int[Array, ""], state: TrainingState) -> TrainingState:
        chosen = jax.lax.dynamic_index_in_dim(order, minibatch, keepdims=False)
        size = jnp.minimum(batch_size, n_rows - minibatch * batch_size)  # the last minibatch may be short
        row_weights = ((jnp.arange(batch_size) < size) / size).astype(dtype)
        x = as_floats(stored.at[chosen].get(mode="promise_in_bounds"), scale, dtype)
        model, optimizer_state, parts = update(
            state.model, state.optimizer_state, objective, transformation, x, row_weights
        )
        costs = jax.lax.dynamic_update_index_in_dim(state.costs, jnp.stack(parts), minibatch, axis=0)
        return TrainingState(model, optimizer_state, costs)

    return jax.lax.fori_loop(bounds[0], bounds[1], step, state)


_KERNEL_JOBS = (
    "the native kernel does plain SGD by name, tied sigmoid, cross-entropy, no penalty but the contraction, "
    f"float32, batches up to {MAX_BATCH}, on Linux and a CPU, with a C compiler"
)


def native_kernel(
    model: AutoEncoder,
    objective: Objective,
    transformation: optax.GradientTransformation,
    rows: StoredRows | np.ndarray,
    batch_size: int,
) -> Kernel | None:
    """The compiled kernel for a job, or None where it does not compute what is asked for or cannot be compiled.

    It does plain SGD on the tied sigmoid auto-encoder with cross-entropy and no penalty but the contraction, in
    float32, for batches up to `MAX_BATCH`, on Linux and a CPU, with a C compiler.
    """
    fits = (
        transformation in _PLAIN_RATES
        and (model.tied_weights, model.activation, model.loss) == (True, "sigmoid", "cross_entropy")
        and type(objective) is Objective
        and all(type(penalty) is Contraction for penalty in objective.penalties)
        and model.weight.dtype == np.float32
        and rows.dtype in (np.uint8, np.float32, np.float64)
        and batch_size <= MAX_BATCH
        and jax.default_backend() == "cpu"
    )
    return build_kernel(rows.shape[1], batch_size, _kernel_row_type(rows)) if fits else None


def _kernel_row_type(rows: StoredRows | np.ndarray) -> np.dtype:
    return np.dtype(np.uint8 if rows.dtype == np.uint8 else np.float32)


def chunk_runner(
    model: AutoEncoder,
    objective: Objective,
    transformation: optax.GradientTransformation,
    rows: StoredRows | np.ndarray,
    *,
    batch_size: int,
    uint8_scale: float = 1,
    engine: str = "auto",
) -> Callable[..., TrainingState]:
    """What trains on a chunk: a function of (state, order, bounds), by JAX or by the compiled kernel.

    Args:
        model: for its shape; training starts from the state.
        objective: what is minimised.
        transformation: an optax optimiser.
        rows: the data, of shape (n_rows, n_features); it is put where the engine wants it.
        batch_size: rows a minibatch.
        uint8_scale: what a uint8 value is divided by.
        engine: one of `ENGINES`.

    Returns:
        The function; `order` is what `epoch_order` returns, `bounds` the first minibatch and the one after the last.

    Raises:
        ValueError: if `engine` is "native" and the kernel cannot do the job.
    """
    kernel = None if engine == "jax" else native_kernel(model, objective, transformation, rows, batch_size)
    if kernel is not None:
        return partial(
            run_kernel,
            kernel=kernel,
            rows=np.ascontiguousarray(rows, dtype=_kernel_row_type(rows)),
            contraction=float(sum(penalty.coefficient for penalty in objective.penalties)),
            learning_rate=_PLAIN_RATES[transformation],
            scale=uint8_scale if rows.dtype == np.uint8 else 1.0,
        )
    if engine == "native":
        raise ValueError(f"`engine` must be 'jax' or 'auto' for this job: {_KERNEL_JOBS}; got 'native'.")
    stored, scale = jnp.asarray(rows), jnp.asarray(uint8_scale, model.weight.dtype)
    return partial(run_chunk, objective=objective, transformation=transformation, stored=stored, scale=scale)


def run_kernel(
    state: TrainingState,
    *,
    kernel: Kernel,
    rows: np.ndarray,
    order: Array,
    bounds: Array,
    **settings: Any,
) -> TrainingState:
    """What `run_chunk` does, by the compiled kernel; the settings are those of `Kernel.run`."""
    model, costs = state.model, np.array(state.costs)
    parameters = (np.asarray(model.weight), np.asarray(model.hidden_bias), np.asarray(model.visible_bias))
    start, stop = bounds.tolist()
    parameters = kernel.run(parameters, rows, np.asarray(order), costs, (start, stop), **settings)
    weight, hidden_bias, visible_bias = map(jnp.array, parameters)
    model = AutoEncoder(weight, hidden_bias, visible_bias, activation=model.activation, loss=model.loss)
    return TrainingState(model, state.optimizer_state, jnp.array(costs))


def epoch_order(n_rows: int, batch_size: int, *, shuffle: bool, seed: int, epoch: int) -> np.ndarray:
    """Row numbers of each minibatch of one epoch, a function of (seed, epoch) alone.

    Returns:
        uint32 of shape (minibatches, batch_size), unsigned so that the gather looks for no negative number; the
        places that a short last minibatch leaves hold row 0 and are not counted.
    """
    rows = np.random.default_rng([seed, epoch]).permutation(n_rows) if shuffle else np.arange(n_rows)
    order = np.zeros(-(-n_rows // batch_size) * batch_size, np.uint32)
    order[:n_rows] = rows
    return order.reshape(-1, batch_size)


def train(
    model: AutoEncoder,
    objective: Objective,
    rows: StoredRows | np.ndarray,
    transformation: optax.GradientTransformation,
    *,
    batch_size: int,
    max_epochs: int,
    shuffle: bool = True,
    seed: int = 0,
    uint8_scale: float = 1,
    engine: str = "auto",
    on_epoch: Callable[[EpochRecord, AutoEncoder], object] | None = None,
    on_chunk: Callable[[Progress], object] | None = None,
) -> tuple[AutoEncoder, list[EpochRecord]]:
    """Train an auto-encoder by minibatch gradient descent.

    The step is compiled once per run: for all chunks, the short last minibatch included. Rows that come
    as uint8 stay so on the device.

    Args:
        model: where training starts; its dtype is the dtype of the arithmetic.
        objective: what is minimised.
        rows: the data, of shape (n_rows, n_features).
        transformation: an optax optimiser.
        batch_size: rows a minibatch, from 1 to n_rows; a short last minibatch is trained on too.
        max_epochs: how often to go through the rows, >= 0.
        shuffle: whether each epoch has an order of its own; else the rows' own order.
        seed: what the order depends on, with the epoch's number.
        uint8_scale: what a uint8 value is divided by.
        engine: "jax", "native" for the compiled kernel (see `native_kernel`), or "auto" for the kernel where it
            can do the job. Their results agree to float32's rounding.
        on_epoch: called after each epoch with its record and the model, whose buffers live until it returns;
            returning True ends the training.
        on_chunk: called several times a second with the progress within the epoch.

    Returns:
        The trained model and one record an epoch.

    Raises:
        ValueError: if `engine` is "native" and the kernel cannot do the job.
        FloatingPointError: if a cost is not finite; the message names the epoch. What `on_epoch` got before stands.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> rows = np.random.RandomState(0).rand(20, 4).astype("float32")
        >>> model = initialize(4, 2, rng=np.random.RandomState(0))
        >>> model, history = train(model, Objective(), rows, resolve_optimizer("sgd", 0.1), batch_size=8, max_epochs=3)
        >>> [record.epoch for record in history]
        [1, 2, 3]
    """
    n_minibatches = -(-len(rows) // batch_size)
    # A copy, because the loop's buffers are given up to the device while the caller's model stays as it was.
    model = jax.tree.map(jnp.array, model)
    parameters: Any = model
    costs = jnp.zeros((n_minibatches, 2), model.weight.dtype)
    state = TrainingState(model, transformation.init(parameters), costs)
    run = chunk_runner(
        model, objective, transformation, rows, batch_size=batch_size, uint8_scale=uint8_scale, engine=engine
    )
    history: list[EpochRecord] = []
    for epoch in range(1, max_epochs + 1):
        start = time.perf_counter()
        order = epoch_order(len(rows), batch_size, shuffle=shuffle, seed=seed, epoch=epoch)
        state, means = _run_epoch(run, state, order, epoch, len(rows), on_chunk)
        seconds = time.perf_counter() - start
        record = EpochRecord(epoch, means.reconstruction_error, means.jacobian_norm, seconds, len(rows) / seconds)
        history.append(record)
        if on_epoch is not None and on_epoch(record, state.model) is True:
            break
    return state.model, history


def _run_epoch(
    run: Callable[..., TrainingState],
    state: TrainingState,
    order: np.ndarray,
    epoch: int,
    n_rows: int,
    on_chunk: Callable[[Progress], object] | None,
) -> tuple[TrainingState, Progress]:
    """Run one epoch chunk by chunk, each sized by the speed of the one before to last `_CHUNK_SECONDS`."""
    n_minibatches, batch_size = order.shape
    device_order = jnp.asarray(order)
    done, chunk = 0, _FIRST_CHUNK
    while True:
        start, stop = time.perf_counter(), min(done + chunk, n_minibatches)
        state = run(state, order=device_order, bounds=jnp.asarray([done, stop], jnp.int32))
        progress = _progress(np.array(state.costs), epoch, stop, n_rows, batch_size)
        if on_chunk is not None:
            on_chunk(progress)
        if stop == n_minibatches:
            return state, progress
        speed = (stop - done) / (time.perf_counter() - start)
        done, chunk = stop, max(1, min(16 * chunk, round(speed * _CHUNK_SECONDS)))


def _progress(costs: np.ndarray, epoch: int, done: int, n_rows: int, batch_size: int) -> Progress:
    """The means over the rows of the first `done` minibatches, in float64: every row counts the same."""
    rows = min(done * batch_size, n_rows)
    if not np.isfinite(costs[:done]).all():
        raise FloatingPointError(
            f"the cost is not finite in epoch {epoch}; got {costs[:done][~np.isfinite(costs[:done])][0]}. "
            "Lower `learning_rate` or `contraction`, or scale the data."
        )
    sizes = np.diff(np.minimum(np.arange(done + 1) * batch_size, n_rows))
    reconstruction_error, jacobian_norm = (sizes @ costs[:done].astype(np.float64) / rows).tolist()
    return Progress(epoch, rows, reconstruction_error, jacobian_norm)
