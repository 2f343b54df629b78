"""Functions of one example applied to many rows, in blocks that bound the memory and whose sizes are few."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ._typing import Array, Float, Rows, Scalar, StoredRows, Visible
from .models import AutoEncoder

__all__ = ["as_floats", "map_rows"]

_BLOCK_ENTRIES = 1 << 22  # floats that the input or the output of one block may hold: 16 MiB in float32

Example = Callable[[AutoEncoder, Visible], Float[Array, "..."]]


def as_floats(stored: StoredRows, scale: Scalar, dtype: DTypeLike) -> Rows:
    """Stored rows as floats: uint8 k becomes k / scale, floats only change their dtype."""
    if stored.dtype == jnp.uint8:
        return stored.astype(dtype) / scale.astype(dtype)
    return stored.astype(dtype)


def map_rows(function: Example, model: AutoEncoder, rows: np.ndarray, *, uint8_scale: float = 1) -> np.ndarray:
    """Apply a function of (model, one example) to every row.

    Compiles once for each function, model shape and power of two, whatever the number of rows.

    Args:
        function: (model, x) -> array; the same object for the same function, because compiled code is kept by it.
        model: its first argument; its dtype is the dtype of the arithmetic.
        rows: the data, of shape (n_rows, n_features), n_rows >= 1.
        uint8_scale: what a uint8 value is divided by.

    Returns:
        Array of shape (n_rows, ...), what the function returns for each row.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(4, 2, rng=np.random.RandomState(0))
        >>> map_rows(AutoEncoder.encode, model, np.eye(4, dtype="float32")).shape
        (4, 2)
    """
    dtype = model.weight.dtype
    scale = jnp.asarray(uint8_scale, dtype)
    output = jax.eval_shape(partial(function, model), jax.ShapeDtypeStruct(rows.shape[1:], dtype))
    block = _power_of_two_up_to(max(1, _BLOCK_ENTRIES // max(output.size, rows.shape[1])))
    outputs: list[np.ndarray] = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        padding = _power_of_two_from(len(part)) - len(part)
        padded = np.pad(part, ((0, padding), (0, 0))) if padding else part
        outputs.append(np.asarray(_apply(function, model, jnp.asarray(padded), scale))[: len(part)])
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


@partial(jax.jit, static_argnames="function")
def _apply(function: Example, model: AutoEncoder, stored: StoredRows, scale: Scalar) -> Float[Array, "batch ..."]:
    return jax.vmap(partial(function, model))(as_floats(stored, scale, model.weight.dtype))


def _power_of_two_up_to(n: int) -> int:
    return 1 << (n.bit_length() - 1)


def _power_of_two_from(n: int) -> int:
    return 1 << (n - 1).bit_length()
