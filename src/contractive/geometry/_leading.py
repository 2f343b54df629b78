"""The leading singular values of one dense layer at many rows: block Lanczos by the Gram matrix of its weights.

With J = diag(s) W, J J^T = diag(s) (W W^T) diag(s): a step needs one product with a matrix that all rows share, and no
tangents are made on the way. In NumPy and in threads of its own: XLA's products of many small matrices on the CPU, and
its calls of LAPACK, keep to one core.
"""

from concurrent.futures import Executor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Hidden, Visible
from ..models import DenseLayer, Model
from ._tangents import Method, cheapest_method, max_tangents, scaled, start_of_chain

__all__ = [
    "default_steps_by_gram",
    "leading_by_gram",
    "many_digits",
    "prepare",
    "settled",
    "slopes_at",
    "suits",
]

TOLERANCE = 1e-3
"""What the last two steps may have added to a value, of itself, for it to count as found to a thousandth."""

_BLOCK = 5  # directions in a block of the Krylov space
_MORE_STEPS = 4  # than values
_MOST_VALUES = 20  # beyond, the small eigenproblem is the dear part
_NOISE = 1e-4
_EXHAUSTED = 100  # rounding errors of a block's image, of which no more than these is left
_WHOLE = 1 - 1e-4  # of the length of a direction
_MAX_FLOATS = 1 << 20  # in the Krylov spaces of a thread: of more rows they leave the processor's cache
_DIGITS = 4096  # rounding errors of the largest square that a square must exceed for 1e-3 of itself


class Prepared(NamedTuple):
    """What all rows share.

    Args:
        gram: W W^T of the weights over `scale`.
        scale: the largest weight in magnitude; 1 where all are 0.
        start: about the leading left singular vectors of W, one a row.
        noise: fixed random directions.
    """

    gram: Float[np.ndarray, "hidden hidden"]
    scale: Float[np.ndarray, ""]
    start: Float[np.ndarray, "block hidden"]
    noise: Float[np.ndarray, "block hidden"]


def suits(model: Model, n_values: int) -> bool:
    """Whether this is the fast way: for one dense layer too large for the exact one, not much wider than its input."""
    layers = model.encoder_layers
    return (
        jax.default_backend() == "cpu"
        and layers is not None
        and len(layers) == 1
        and n_values <= _MOST_VALUES
        and model.n_hidden <= 2 * model.n_features
        and 3 * _BLOCK * default_steps_by_gram(n_values) <= max_tangents(model)
        and cheapest_method(model, n_values) == Method.KRYLOV
    )


def default_steps_by_gram(n_values: int) -> int:
    """How many blocks of the Krylov space there are at first."""
    return n_values + _MORE_STEPS


def prepare(model: Model) -> Prepared:
    """Compute once what all rows share.

    Args:
        model: an auto-encoder whose encoder is one dense layer.
    """
    gram, scale, start, noise = map(np.asarray, _prepared(jax.tree.map(jnp.asarray, model)))
    return Prepared(gram, scale, start, noise)


@jax.jit
def _prepared(model: Model) -> tuple[Array, ...]:
    weight = _only_layer(model).weight
    largest = jnp.max(jnp.abs(weight))
    shape = _BLOCK, len(weight)
    start = start_of_chain((scaled(weight).T,), jax.random.normal(jax.random.key(0), shape, weight.dtype))
    noise = jax.random.normal(jax.random.key(1), shape, weight.dtype) / np.sqrt(np.prod(shape)).astype(weight.dtype)
    weight = scaled(weight)
    return weight @ weight.T, jnp.where(largest > 0, largest, 1), start, noise


def slopes_at(model: Model, x: Visible) -> Hidden:
    """s'(a) of the only layer at one example: J = diag(s'(a)) W."""
    layer = _only_layer(model)
    return layer.activation.derivative(layer.preactivation(x))


def leading_by_gram(
    prepared: Prepared, slopes: Float[np.ndarray, "batch hidden"], n_values: int, n_steps: int, pool: Executor
) -> Float[np.ndarray, "batch 2 values"]:
    """The largest singular values of J at each row, and what they were found to be two steps before.

    They are square roots of the Ritz values of J J^T in the span of S, (J J^T) S, (J J^T)^2 S, ... for a fixed S, so
    none is above the true one by more than rounding errors. A little of fixed random directions joins each block, in
    whose place else were none once a direction is exhausted.

    Args:
        prepared: of the model.
        slopes: of every row, as `slopes_at` has them.
        n_values: as `suits` says.
        n_steps: blocks of the Krylov space.
        pool: its threads go through some rows at a time each.

    Returns:
        For each row two rows of `n_values`, each the largest first; NaN where a slope is.

    References:
        Golub and Underwood, The block Lanczos method for computing eigenvalues, Mathematical Software III, 1977.
    """
    at_a_time = max(1, _MAX_FLOATS // (_BLOCK * n_steps * slopes.shape[1]))
    parts = [slopes[start : start + at_a_time] for start in range(0, len(slopes), at_a_time)]
    found = pool.map(lambda part: _leading(prepared, part, n_values, n_steps), parts)
    return prepared.scale * np.concatenate([*found])


def _leading(
    prepared: Prepared, slopes: Float[np.ndarray, "batch hidden"], n_values: int, n_steps: int
) -> Float[np.ndarray, "batch 2 values"]:
    known = np.isfinite(slopes.sum(axis=1, keepdims=True))
    slopes = np.where(known, slopes, 0)[:, None]  # the same for each direction of a block
    steepest = _largest(slopes)
    slopes = slopes / steepest
    n_rows, _, n_hidden = slopes.shape
    basis = np.empty((n_rows, _BLOCK * n_steps, n_hidden), slopes.dtype)
    ritz = np.zeros((n_rows, basis.shape[1], basis.shape[1]), slopes.dtype)  # below the diagonal blocks, and these
    rest = prepared.start * slopes
    for step in range(n_steps):
        held, holds = _BLOCK * step, _BLOCK * (step + 1)
        block = rest / _largest(rest)
        block /= np.maximum(np.linalg.norm(block, axis=(1, 2), keepdims=True), 1)
        block = _whitened(block + _NOISE * np.roll(prepared.noise, step, axis=1) * slopes)
        # Again, as where little was left of a direction, much of it is rounding errors.
        block -= (block @ _transposed(basis[:, :held])) @ basis[:, :held]
        shorter = np.linalg.norm(block, axis=2).min(axis=1) < _WHOLE
        if shorter.any():  # else values would be too small by what their directions have lost
            block[shorter] = _whitened(block[shorter])
        basis[:, held:holds] = block
        image = ((block * slopes).reshape(-1, n_hidden) @ prepared.gram).reshape(block.shape) * slopes
        ritz[:, held:holds, :holds] = image @ _transposed(basis[:, :holds])
        rest = image - ritz[:, held:holds, :holds] @ basis[:, :holds]
        rest *= _largest(rest) > _EXHAUSTED * np.finfo(rest.dtype).eps * _largest(image)  # not only rounding errors
    largest = _largest(ritz)
    ritz /= largest
    before = len(ritz[0]) - 2 * _BLOCK
    squares = [np.linalg.eigvalsh(part)[:, : -n_values - 1 : -1] for part in (ritz, ritz[:, :before, :before])]
    values = steepest * np.sqrt(largest * np.maximum(np.stack(squares, axis=1), 0))
    return np.where(known[:, None], values, np.nan)


def _whitened(blocks: Float[np.ndarray, "batch block hidden"]) -> Float[np.ndarray, "batch block hidden"]:
    """Orthonormal rows with the same spans, as `_tangents._whitened` has them at one example."""
    blocks = blocks / _largest(blocks)
    gram = blocks @ _transposed(blocks)
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))[:, :, None]
    lengths = np.where(lengths > 0, lengths, 1)
    values, vectors = np.linalg.eigh(gram / lengths / _transposed(lengths))
    # Of a direction that depends on others only rounding errors are left: made of no length.
    roots = np.sqrt(np.where(values > _BLOCK * np.finfo(values.dtype).eps, values, np.inf))
    return _transposed(vectors / roots[:, None] / lengths) @ blocks


def _largest(blocks: Float[np.ndarray, "batch rows columns"]) -> Float[np.ndarray, "batch 1 1"]:
    """The largest magnitude of each; 1 where all are 0."""
    largest = np.abs(blocks).max(axis=(1, 2), keepdims=True)
    return np.where(largest > 0, largest, 1)


def _transposed(blocks: np.ndarray) -> np.ndarray:
    return np.swapaxes(blocks, 1, 2)


def settled(values: np.ndarray) -> np.ndarray:
    """Whether the last two steps changed no value of a row by more than `TOLERANCE` of itself.

    Args:
        values: of shape (n_rows, 2, n_values), what `leading_by_gram` says of each row.

    Returns:
        Booleans of shape (n_rows,).
    """
    found, before = np.moveaxis(values, 1, 0)
    return (found - before <= TOLERANCE * found).all(axis=1)


def many_digits(values: np.ndarray) -> np.ndarray:
    """Whether the squares of all values of a row have digits enough beside the largest: not of a very steep spectrum.

    Args:
        values: of shape (n_rows, n_values), each row the largest first.

    Returns:
        Booleans of shape (n_rows,).
    """
    return values[:, -1] > np.sqrt(_DIGITS * np.finfo(values.dtype).eps) * values[:, 0]


def _only_layer(model: Model) -> DenseLayer:
    layers = model.encoder_layers
    assert layers is not None
    return layers[0]
