"""Training in several processes of one machine, with a device each: gradients are added up outside of JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._typing import Array, Int
from ..models import Model
from ..objectives import Objective, Parts
from ._step import COMPILER_OPTIONS, Chunk, TrainingState, descend, gradient_of, minibatch_of, on_device

__all__ = ["Adder", "LocalEngine", "summed_bytes"]

Adder = Callable[..., list[np.ndarray]]
"""Of some arrays of each process, of one dtype, their sums over the processes."""

_compiled = partial(jax.jit, compiler_options=COMPILER_OPTIONS)


def summed_bytes(model: Model) -> int:
    """Bytes of what is added up: the gradient and the two costs."""
    parameters = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return sum(leaf.nbytes for leaf in parameters) + 2 * model.dtype.itemsize


class LocalEngine:
    """The steps of `steps_of_chunk`, in two calls each, between which the processes add up their gradients.

    Not in one call, as JAX's own sums go through the network's layers, and a function of the host that it calls in the
    middle may wait for ever for the very thread that it runs in.

    Args:
        objective: what is minimised.
        transformation: an optax optimiser.
        scale: what a uint8 value is divided by, in the dtype of the model.
        batch_size: rows of a minibatch in all.
        place: of this process's device among all.
        adder: what adds up.
    """

    name = "jax"

    def __init__(
        self,
        objective: Objective,
        transformation: optax.GradientTransformation,
        scale: np.ndarray,
        batch_size: int,
        place: int,
        adder: Adder,
    ):
        self._dtype, self._adder = scale.dtype, adder
        self._gradient = partial(
            _gradient, objective=objective, scale=jnp.asarray(scale), batch_size=batch_size, place=place
        )
        self._descend = partial(_descend, transformation=transformation)

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        """As for `Engine`: on the device."""
        return on_device(rows, weights, self._dtype)

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """As for `Engine`; the order holds the slots of this process."""
        stored, weights = loaded
        arrays = {"order": chunk.order, "bounds": chunk.limits, "keys": chunk.keys}
        given = {"stored": stored, "weights": weights} | {name: jnp.asarray(array) for name, array in arrays.items()}
        for number in range(*chunk.bounds):
            part = self._gradient(state.model, **given, number=np.int32(number))
            leaves, structure = jax.tree.flatten(part)
            summed = jax.tree.unflatten(structure, self._adder(*leaves))
            state = self._descend(state, summed, number=np.int32(chunk.offset + number))
        return state


@partial(_compiled, static_argnames=("batch_size", "place"))
def _gradient(
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


@partial(_compiled, static_argnames="transformation", donate_argnames="state")
def _descend(
    state: TrainingState, summed: Any, transformation: optax.GradientTransformation, number: Int[Array, ""]
) -> TrainingState:
    """The state after a minibatch of the epoch, of which all processes have the same sums."""
    gradient, parts = summed
    model, optimizer_state = descend(state.model, state.optimizer_state, transformation, gradient)
    costs = jax.lax.dynamic_update_index_in_dim(state.costs, jnp.stack(parts), number, axis=0)
    return TrainingState(model, optimizer_state, costs)
