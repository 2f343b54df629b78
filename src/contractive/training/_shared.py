"""Training on all devices of all processes of a JAX run: each has some slots of every minibatch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..objectives import Objective
from ._local import Exchange
from ._step import COMPILER_OPTIONS, Chunk, Share, TrainingState, steps_of_chunk
from ._stream import Slots

__all__ = ["Peers", "SharedEngine", "own_places", "own_slots"]

_AXIS = "data"


@runtime_checkable
class Peers(Protocol):
    """The processes that train together."""

    def gather(self, values: Sequence[float]) -> np.ndarray:
        """What each process says, of shape (processes, values); all must call it."""
        ...

    def exchange(self, n_bytes: int) -> Exchange | None:
        """What shows all the arrays of each, of at most so many bytes, or None where nothing does; all must call it."""
        ...


def own_slots(batch_size: int) -> Slots:
    """The slots that the devices of this process hold of each minibatch.

    Raises:
        ValueError: if there are fewer rows in a minibatch than devices.
    """
    devices = jax.devices()
    if batch_size < len(devices):
        raise ValueError(
            f"`batch_size` must be at least {len(devices)}, a row for each device of all processes; got {batch_size}. "
            "Raise it, or start fewer processes."
        )
    each = -(-batch_size // len(devices))
    bounds = [min(place * each, batch_size) for place in range(len(devices) + 1)]
    return Slots(each, [(bounds[place], bounds[place + 1]) for place in own_places()])


def own_places() -> list[int]:
    """Which of all devices are this process's."""
    return [place for place, device in enumerate(jax.devices()) if device.process_index == jax.process_index()]


class SharedEngine:
    """`steps_of_chunk` on all devices; each sees its own rows, and all hold the state and change it alike.

    Args:
        objective: what is minimised.
        transformation: an optax optimiser.
        scale: what a uint8 value is divided by, in the dtype of the model.
        batch_size: rows of a minibatch in all.
    """

    name = "jax"

    def __init__(
        self, objective: Objective, transformation: optax.GradientTransformation, scale: np.ndarray, batch_size: int
    ):
        self._dtype, devices = scale.dtype, jax.devices()
        self._mesh, self._own = Mesh(np.array(devices), (_AXIS,)), [devices[i] for i in own_places()]
        self._run = partial(
            _run_shared,
            objective=self._everywhere(objective),
            scale=self._everywhere(scale),
            transformation=transformation,
            mesh=self._mesh,
            batch_size=batch_size,
        )

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        """As for `Engine`: an equal part of the rows on each device of this process."""
        weights = None if weights is None else np.asarray(weights, self._dtype)
        with jax.enable_x64(True) if self._dtype.itemsize == 8 else nullcontext():
            return self._dealt(rows, 0), None if weights is None else self._dealt(weights, 0)

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """As for `Engine`; the order holds the slots of this process's devices, one device's after the other's."""
        stored, weights = loaded
        return self._run(
            self._everywhere(state),
            stored=stored,
            weights=weights,
            order=self._dealt(chunk.order, 1),
            bounds=self._everywhere(chunk.limits),
            keys=self._everywhere(chunk.keys),
        )

    def _dealt(self, array: np.ndarray, axis: int) -> jax.Array:
        """An array of all devices of which each has its part along an axis, this process's ones those given here."""
        parts = np.split(array, len(self._own), axis)
        shape = list(array.shape)
        shape[axis] = parts[0].shape[axis] * self._mesh.size
        spec = PartitionSpec(*[None] * axis, _AXIS)
        placed = [jax.device_put(part, device) for part, device in zip(parts, self._own, strict=True)]
        return jax.make_array_from_single_device_arrays(tuple(shape), NamedSharding(self._mesh, spec), placed)

    def _everywhere(self, tree: Any) -> Any:
        """The same numbers on all devices, which all processes have; what is there already stays."""
        sharding = NamedSharding(self._mesh, PartitionSpec())

        def place(leaf: Any) -> Any:
            if not isinstance(leaf, jax.Array | np.ndarray) or getattr(leaf, "sharding", None) == sharding:
                return leaf
            placed = [jax.device_put(np.asarray(leaf), device) for device in self._own]
            return jax.make_array_from_single_device_arrays(np.shape(leaf), sharding, placed)

        return jax.tree.map(place, tree)


@partial(
    jax.jit,
    static_argnames=("transformation", "mesh", "batch_size"),
    donate_argnames="state",
    compiler_options=COMPILER_OPTIONS,
)
def _run_shared(
    state: TrainingState,
    objective: Objective,
    transformation: optax.GradientTransformation,
    stored: Any,
    scale: Any,
    weights: Any,
    order: Any,
    bounds: Any,
    keys: Any,
    mesh: Mesh,
    batch_size: int,
) -> TrainingState:
    """As for `steps_of_chunk`."""

    def steps(
        state: Any, objective: Any, stored: Any, scale: Any, weights: Any, order: Any, bounds: Any, keys: Any
    ) -> TrainingState:
        share = Share(_AXIS, batch_size)
        return steps_of_chunk(
            state, objective, transformation, stored, scale, weights, order, bounds, keys, share=share
        )

    same, rows, slots = PartitionSpec(), PartitionSpec(_AXIS), PartitionSpec(None, _AXIS)
    # Without `check_vma`, gradients with respect to what all devices share are those of each device's own rows.
    return jax.shard_map(
        steps, mesh=mesh, in_specs=(same, same, rows, same, rows, slots, same, same), out_specs=same, check_vma=False
    )(state, objective, stored, scale, weights, order, bounds, keys)
