"""Functions of one example applied to many rows, in blocks that bound the memory and whose sizes are few."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ._typing import Array, Float, Rows, Scalar, StoredRows, Visible
from .models import Classifier, Model

__all__ = ["MAX_BLOCK_FLOATS", "as_floats", "floats_held", "map_rows"]

MAX_BLOCK_FLOATS = 1 << 22
"""Floats that a block of rows may hold: 16 MiB in float32."""

Mapped = Model | Classifier
Example = Callable[[Any, Visible], Float[Array, "..."]]


def as_floats(stored: StoredRows, scale: Scalar, dtype: DTypeLike) -> Rows:
    """Stored rows as floats: uint8 k becomes k / scale, floats only change their dtype."""
    if stored.dtype == jnp.uint8:
        return stored.astype(dtype) / scale.astype(dtype)
    return stored.astype(dtype)


def map_rows(
    function: Example, model: Mapped, rows: Any, *, uint8_scale: float = 1, floats: int | None = None
) -> np.ndarray:
    """Apply a function of (model, one example) to every row.

    Compiles once for each function, model shape and power of two, whatever the number of rows.

    Args:
        function: (model, x) -> array; the same object for the same function, because compiled code is kept by it.
        model: its first argument; its dtype is the dtype of the arithmetic.
        rows: the data, of shape (n_rows, n_features), n_rows >= 1; scipy's CSR is made dense block by block.
        uint8_scale: what a uint8 value is divided by.
        floats: about how many floats the function holds for one row; None for what `floats_held` says.

    Returns:
        Array of shape (n_rows, ...), what the function returns for each row.

    Example:
        >>> import numpy as np
        >>> from contractive.models import Model, initialize
        >>> model = initialize(4, 2, rng=np.random.RandomState(0))
        >>> map_rows(Model.encode, model, np.eye(4, dtype="float32")).shape
        (4, 2)
    """
    scale = np.asarray(uint8_scale, model.dtype)
    floats = floats or floats_held(function, model, rows.shape[1])
    block = _power_of_two_up_to(max(1, MAX_BLOCK_FLOATS // floats))
    if rows.shape[0] > block:
        model = jax.device_put(model)  # once for all blocks
    made: Any = None
    for start in range(0, rows.shape[0], block):
        part = rows[start : start + block]
        part = part.toarray() if hasattr(part, "toarray") else part
        padding = _power_of_two_from(len(part)) - len(part)
        padded = np.pad(part, ((0, padding), (0, 0))) if padding else part
        output = np.asarray(_apply(function, model, padded, scale))[: len(part)]
        if len(part) == rows.shape[0]:
            return output
        made = np.empty((rows.shape[0], *output.shape[1:]), output.dtype) if made is None else made
        made[start : start + len(part)] = output
    return made


@lru_cache
def _floats_of_shapes(
    function: Example, structure: Any, arrays: tuple[tuple[Any, Any], ...], n_inputs: int, dtype: np.dtype
) -> int:
    model = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*array) for array in arrays])
    traced = jax.make_jaxpr(function)(model, jax.ShapeDtypeStruct((n_inputs,), dtype)).jaxpr
    grown = {traced.invars[-1]}
    for equation in traced.eqns:
        if any(isinstance(variable, type(traced.invars[-1])) and variable in grown for variable in equation.invars):
            grown.update(equation.outvars)
    return sum(variable.aval.size for variable in grown)


def floats_held(function: Example, model: Mapped, n_inputs: int | None = None) -> int:
    """How many floats a function of (model, one example) makes on its way, the example included: an upper bound.

    What depends on the weights alone is not counted, as it is not made once a row.

    Args:
        function: (model, x) -> array.
        model: its first argument.
        n_inputs: entries of x; None for the model's features.
    """
    leaves, structure = jax.tree.flatten(model)
    arrays = tuple((leaf.shape, leaf.dtype) for leaf in leaves)  # quickly compared, as one row is soon done
    return _floats_of_shapes(function, structure, arrays, n_inputs or model.n_features, model.dtype)


@partial(jax.jit, static_argnames="function")
def _apply(function: Example, model: Mapped, stored: StoredRows, scale: Scalar) -> Float[Array, "batch ..."]:
    return jax.vmap(partial(function, model))(as_floats(stored, scale, model.dtype))


def _power_of_two_up_to(n: int) -> int:
    return 1 << (n.bit_length() - 1)


def _power_of_two_from(n: int) -> int:
    return 1 << (n - 1).bit_length()
