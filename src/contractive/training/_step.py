"""One update, and the jitted scan of it over a chunk of minibatches gathered by index."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from .._typing import Array, Float, Int, RandomKey, Rows, RowWeights, Scalar, StoredRows, UInt32
from ..batched import as_floats
from ..models import Model
from ..objectives import Objective, Parts
from ._optimizers import resumed_state

__all__ = [
    "COMPILER_OPTIONS",
    "Chunk",
    "Minibatch",
    "Share",
    "TrainingState",
    "descend",
    "fresh_state",
    "gradient_of",
    "initial_state",
    "minibatch_of",
    "on_device",
    "run_chunk",
    "steps_of_chunk",
    "update",
]


COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": 512}
"""Vectors as wide as the processor has: XLA prefers 256 bits, which costs 2 to 4 % of a step with AVX-512."""


class Share(NamedTuple):
    """What one of several devices, which hold the same number of slots of each minibatch, has to know of the others.

    Args:
        axis: of the mesh of devices.
        batch_size: rows of a minibatch in all.
    """

    axis: str
    batch_size: int


class Chunk(NamedTuple):
    """Some minibatches of an epoch, one after the other.

    Args:
        order: which rows each minibatch holds, of shape (minibatches, batch_size).
        bounds: the first minibatch and the one after the last, both in `order`.
        n_rows: how many places of `order` hold a row.
        keys: what each minibatch of the epoch draws from, as the words of a key.
        offset: which minibatch of the epoch the first in `order` is.
    """

    order: np.ndarray
    bounds: tuple[int, int]
    n_rows: int
    keys: np.ndarray
    offset: int = 0

    @property
    def limits(self) -> np.ndarray:
        """The `bounds` of `run_chunk`."""
        return np.array([*self.bounds, self.n_rows, self.offset], np.int32)


class TrainingState(NamedTuple):
    """All that changes in a run, as one pytree on the device.

    Args:
        model: the auto-encoder.
        optimizer_state: what optax keeps.
        costs: one row a minibatch of the epoch so far: mean reconstruction error and mean Jacobian norm.
    """

    model: Model
    optimizer_state: optax.OptState
    costs: Float[Array, "minibatches 2"]


def initial_state(
    model: Model, transformation: optax.GradientTransformation, n_minibatches: int, optimizer_state: Any = None
) -> TrainingState:
    """A state to start from; its arrays are copies, as the loop gives them up to the device.

    Args:
        model: where training starts.
        transformation: an optax optimiser.
        n_minibatches: minibatches an epoch.
        optimizer_state: what the optimiser kept from an earlier run; None, or what another kind of optimiser kept,
            starts it afresh.
    """
    fresh = fresh_state(transformation, model)
    if optimizer_state is None or jax.tree.structure(optimizer_state) != jax.tree.structure(fresh):
        optimizer_state = fresh
    else:
        optimizer_state = resumed_state(transformation, optimizer_state)
    model, optimizer_state = jax.tree.map(jnp.array, (model, optimizer_state))
    return TrainingState(model, optimizer_state, jnp.zeros((n_minibatches, 2), model.dtype))


def on_device(rows: np.ndarray, weights: np.ndarray | None, dtype: np.dtype) -> tuple[Any, Any]:
    """Rows, as they are stored, and their weights, in the dtype of the arithmetic, on the device.

    Not by `jnp.asarray`, which copies; this leaves aligned memory where it is on a CPU.
    """
    weights = None if weights is None else np.asarray(weights, dtype)
    # Windows are loaded by a thread of their own, where 64 bits are not enabled because they are in another.
    with jax.enable_x64(True) if dtype.itemsize == 8 else nullcontext():
        return jax.device_put(rows), None if weights is None else jax.device_put(weights)


def fresh_state(transformation: optax.GradientTransformation, model: Model) -> optax.OptState:
    """What an optimiser begins with, for the part of a model that is trained: its floating-point arrays."""
    return transformation.init(eqx.filter(model, eqx.is_inexact_array_like))


def update(
    model: Model,
    optimizer_state: optax.OptState,
    objective: Objective,
    transformation: optax.GradientTransformation,
    x: Rows,
    row_weights: RowWeights,
    key: RandomKey | None = None,
    axis: str | None = None,
) -> tuple[Model, optax.OptState, Parts]:
    """One step of gradient descent on the objective of one minibatch; the parts are those before the step.

    Args:
        model: the auto-encoder.
        optimizer_state: what optax keeps.
        objective: what is minimised.
        transformation: an optax optimiser.
        x: the minibatch.
        row_weights: what each row counts; see `Objective`.
        key: what corruption and random penalties depend on; see `Objective`.
        axis: of the devices that each hold some rows of the minibatch, with weights that sum to 1 over all; None for
            one that holds them all.
    """
    gradient, parts = gradient_of(model, objective, x, row_weights, key)
    if axis is not None:  # all are linear in the weights of the rows
        # As one array: one message, and nothing of another size that could meet it where a process is gone.
        flat, shaped = ravel_pytree((gradient, parts))
        gradient, parts = shaped(jax.lax.psum(flat, axis))
    return *descend(model, optimizer_state, transformation, gradient), parts


def gradient_of(
    model: Model, objective: Objective, x: Rows, row_weights: RowWeights, key: RandomKey | None = None
) -> tuple[Any, Parts]:
    """The gradient of the objective of one minibatch, None for what is not trained, and its parts; see `update`."""
    parameters, fixed = eqx.partition(model, eqx.is_inexact_array)

    def cost(parameters: Any) -> tuple[Scalar, Parts]:
        return objective(eqx.combine(parameters, fixed), x, row_weights, key)

    return jax.grad(cost, has_aux=True)(parameters)


def descend(
    model: Model, optimizer_state: optax.OptState, transformation: optax.GradientTransformation, gradient: Any
) -> tuple[Model, optax.OptState]:
    """The model and the optimiser's state after a step along a gradient of `gradient_of`."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    updates, optimizer_state = transformation.update(gradient, optimizer_state, parameters)
    return eqx.apply_updates(model, updates), optimizer_state


class Minibatch(NamedTuple):
    """What `update` takes of one minibatch."""

    x: Rows
    row_weights: RowWeights
    key: RandomKey


def minibatch_of(
    number: Int[Array, ""],
    stored: StoredRows,
    scale: Scalar,
    weights: Float[Array, " rows"] | None,
    order: UInt32[Array, "minibatches batch"],
    bounds: Int[Array, " 4"],
    keys: UInt32[Array, "epoch_minibatches 2"],
    dtype: np.dtype,
    batch_size: int,
    first_slot: Int[Array, ""] | int,
) -> Minibatch:
    """The rows of one minibatch, or one device's part of it.

    Args:
        number: which of those in `order`.
        stored: the rows; this and the next five as for `steps_of_chunk`.
        scale: what a uint8 value is divided by.
        weights: what each stored row counts.
        order: rows of each minibatch.
        bounds: of the chunk.
        keys: what each minibatch of the epoch draws from.
        dtype: of the arithmetic.
        batch_size: rows of a minibatch in all.
        first_slot: which of them the first one in `order` is.
    """
    _, _, n_rows, offset = bounds
    chosen = jax.lax.dynamic_index_in_dim(order, number, keepdims=False)
    size = jnp.minimum(batch_size, n_rows - number * batch_size)  # the last minibatch may be short
    row_weights = (first_slot + jnp.arange(order.shape[1]) < size).astype(dtype) / size.astype(dtype)
    if weights is not None:
        row_weights = row_weights * weights.at[chosen].get(mode="promise_in_bounds")
    x = as_floats(stored.at[chosen].get(mode="promise_in_bounds"), scale, dtype)
    words = jax.lax.dynamic_index_in_dim(keys, offset + number, keepdims=False)
    return Minibatch(x, row_weights, jax.random.wrap_key_data(words, impl="threefry2x32"))


def steps_of_chunk(
    state: TrainingState,
    objective: Objective,
    transformation: optax.GradientTransformation,
    stored: StoredRows,
    scale: Scalar,
    weights: Float[Array, " rows"] | None,
    order: UInt32[Array, "minibatches batch"],
    bounds: Int[Array, " 4"],
    keys: UInt32[Array, "epoch_minibatches 2"],
    share: Share | None = None,
) -> TrainingState:
    """Train on some minibatches of an epoch's order; any bounds run the same compiled code.

    Args:
        state: where to start; given up.
        objective: what is minimised.
        transformation: an optax optimiser.
        stored: the rows.
        scale: what a uint8 value is divided by.
        weights: what each stored row counts, 1 on average; None for all the same.
        order: rows of each minibatch.
        bounds: the first minibatch and the one after the last, both in `order`; how many places of `order` hold a
            row; and which minibatch of the epoch the first one in `order` is.
        keys: what each minibatch of the epoch draws from, as the words of a key.
        share: where `stored`, `weights` and `order` are those of one of several devices; None for one alone.
    """
    start, stop, _, offset = bounds
    n_slots, dtype = order.shape[1], state.model.dtype
    batch_size, axis = (n_slots, None) if share is None else (share.batch_size, share.axis)
    first_slot = 0 if axis is None else n_slots * jax.lax.axis_index(axis)

    def step(number: Int[Array, ""], state: TrainingState) -> TrainingState:
        chosen = minibatch_of(number, stored, scale, weights, order, bounds, keys, dtype, batch_size, first_slot)
        model, optimizer_state, parts = update(
            state.model, state.optimizer_state, objective, transformation, *chosen, axis
        )
        costs = jax.lax.dynamic_update_index_in_dim(state.costs, jnp.stack(parts), offset + number, axis=0)
        return TrainingState(model, optimizer_state, costs)

    return jax.lax.fori_loop(start, stop, step, state)


run_chunk: Callable[..., TrainingState] = jax.jit(
    steps_of_chunk, static_argnames="transformation", donate_argnames="state", compiler_options=COMPILER_OPTIONS
)
