"""Training in several processes of one machine, with a device each, which see each other's gradients in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from .._typing import Array, Float, Int
from ..models import Model
from ..objectives import Objective, Parts
from ._step import COMPILER_OPTIONS, Chunk, TrainingState, descend, gradient_of, minibatch_of, on_device

__all__ = ["Exchange", "LocalEngine", "exchanged_bytes"]

Exchange = Callable[..., np.ndarray]
"""Given some arrays of this process, of one dtype: of shape (processes, entries) those of all, which the next call may
overwrite. The entries are those of all arrays, one after the other, and some more."""

_compiled = partial(jax.jit, compiler_options=COMPILER_OPTIONS)


def exchanged_bytes(model: Model) -> int:
    """Bytes of what is exchanged for a minibatch: the gradient and the two costs."""
    parameters = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return sum(leaf.nbytes for leaf in parameters) + 2 * model.dtype.itemsize


class LocalEngine:
    """The steps of `steps_of_chunk`, a call each, between which the processes exchange their gradients.

    Not in one call for all, as JAX's own sums go through the network's layers, and a function of the host that it calls
    in the middle may wait for ever for the very thread that it runs in.

    Args:
        objective: what is minimised.
        transformation: an optax optimiser.
        scale: what a uint8 value is divided by, in the dtype of the model.
        batch_size: rows of a minibatch in all.
        place: of this process's device among all.
        exchange: shows each process the gradients of all.
    """

    name = "jax"

    def __init__(
        self,
        objective: Objective,
        transformation: optax.GradientTransformation,
        scale: np.ndarray,
        batch_size: int,
        place: int,
        exchange: Exchange,
    ):
        self._dtype, self._exchange = scale.dtype, exchange
        self._gradient = partial(
            _gradient, objective=objective, scale=jnp.asarray(scale), batch_size=batch_size, place=place
        )
        self._descend = partial(_descend, transformation=transformation)
        self._go_on = partial(_go_on, transformation=transformation, **self._gradient.keywords)

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        """As for `Engine`: on the device."""
        return on_device(rows, weights, self._dtype)

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """As for `Engine`; the order holds the slots of this process."""
        stored, weights = loaded
        arrays = {"order": chunk.order, "bounds": chunk.limits, "keys": chunk.keys}
        given = {"stored": stored, "weights": weights} | {name: jnp.asarray(array) for name, array in arrays.items()}
        first, last = chunk.bounds
        part = self._gradient(state.model, **given, number=np.int32(first))
        for number in range(first, last):
            # No copy: it is read when the next part is there, and no process writes here before it has that.
            everyones = jax.device_put(self._exchange(*jax.tree.leaves(part)))
            done = np.int32(chunk.offset + number)
            if number + 1 < last:
                state, part = self._go_on(state, everyones, done, **given, number=np.int32(number + 1))
            else:
                state = self._descend(state, everyones, done)
        return jax.block_until_ready(state)  # as others may write to what was seen last


def _gradient_of_minibatch(
    model: Model,
    objective: Objective,
    stored: Any,
    scale: Any,
    weights: Any,
    order: Any,
    bounds: Any,
    keys: Any,
    number: Int[Array, ""],
    batch_size: int,
    place: int,
) -> tuple[Any, Parts]:
    """This process's part of the gradient of a minibatch and of its costs, which are linear in the weights of rows."""
    first_slot = place * order.shape[1]
    minibatch = minibatch_of(number, stored, scale, weights, order, bounds, keys, model.dtype, batch_size, first_slot)
    return gradient_of(model, objective, *minibatch)


def _state_after(
    state: TrainingState,
    everyones: Float[Array, "processes entries"],
    done: Int[Array, ""],
    transformation: optax.GradientTransformation,
) -> TrainingState:
    """The state after a minibatch of the epoch, of which each process has a part; all get the same bits."""
    one, restore = ravel_pytree((eqx.filter(state.model, eqx.is_inexact_array), Parts(*state.costs[0])))
    gradient, parts = restore(everyones[:, : len(one)].sum(axis=0))
    model, optimizer_state = descend(state.model, state.optimizer_state, transformation, gradient)
    costs = jax.lax.dynamic_update_index_in_dim(state.costs, jnp.stack(parts), done, axis=0)
    return TrainingState(model, optimizer_state, costs)


_gradient = _compiled(_gradient_of_minibatch, static_argnames=("batch_size", "place"))
_descend = _compiled(_state_after, static_argnames="transformation", donate_argnames="state")


@partial(_compiled, static_argnames=("transformation", "batch_size", "place"), donate_argnames="state")
def _go_on(
    state: TrainingState,
    everyones: Float[Array, "processes entries"],
    done: Int[Array, ""],
    transformation: optax.GradientTransformation,
    **minibatch: Any,
) -> tuple[TrainingState, tuple[Any, Parts]]:
    """`_state_after` the minibatch that is done, and `_gradient_of_minibatch` of the next, in one call."""
    state = _state_after(state, everyones, done, transformation)
    return state, _gradient_of_minibatch(state.model, **minibatch)
