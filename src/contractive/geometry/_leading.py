"""The leading singular values of one dense layer at many rows: block Lanczos by the Gram matrix of its weights.

With J = diag(s) W, J J^T = diag(s) (W W^T) diag(s): a step needs one product with a matrix that all rows share, and no
tangents are made on the way.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Visible
from ..models import DenseLayer, Model
from ._tangents import Method, cheapest_method, max_tangents, scaled, start_of_chain, whitened

__all__ = [
    "BLOCK",
    "Prepared",
    "default_steps_by_gram",
    "leading_by_gram",
    "many_digits",
    "prepare",
    "settled",
    "suits",
]

TOLERANCE = 1e-3
"""What the last two steps may have added to a value, of itself, for it to count as found to a thousandth."""

BLOCK = 5
"""Directions in a block of the Krylov space."""

_MORE_STEPS = 4  # than values
_MOST_VALUES = 20  # beyond, the small eigenproblem is the dear part
_NOISE = 1e-4
_DIGITS = 4096  # rounding errors of the largest square that a square must exceed for 1e-3 of itself


class Prepared(eqx.Module):
    """What all rows share.

    Args:
        model: the auto-encoder.
        gram: W W^T of the weights over `scale`.
        scale: the largest weight in magnitude; 1 where all are 0.
        start: about the leading left singular vectors of W, one a row.
        noise: fixed random directions.
    """

    model: Model
    gram: Float[Array, "hidden hidden"]
    scale: Float[Array, ""]
    start: Float[Array, "block hidden"]
    noise: Float[Array, "block hidden"]

    @property
    def dtype(self) -> np.dtype:
        """Of the arithmetic."""
        return self.model.dtype

    @property
    def n_features(self) -> int:
        """Entries of x."""
        return self.model.n_features

    @property
    def layer(self) -> DenseLayer:
        """The encoder."""
        return _only_layer(self.model)


def suits(model: Model, n_values: int) -> bool:
    """Whether this is the fast way: for one dense layer too large for the exact one, not much wider than its input."""
    layers = model.encoder_layers
    return (
        layers is not None
        and len(layers) == 1
        and n_values <= _MOST_VALUES
        and model.n_hidden <= 2 * model.n_features
        and 3 * BLOCK * default_steps_by_gram(n_values) <= max_tangents(model)
        and cheapest_method(model, n_values) == Method.KRYLOV
    )


def default_steps_by_gram(n_values: int) -> int:
    """How many blocks of the Krylov space there are at first."""
    return n_values + _MORE_STEPS


@jax.jit
def prepare(model: Model) -> Prepared:
    """Compute once what all rows share.

    Args:
        model: an auto-encoder whose encoder is one dense layer.
    """
    weight = _only_layer(model).weight
    largest = jnp.max(jnp.abs(weight))
    shape = BLOCK, len(weight)
    start = start_of_chain((scaled(weight).T,), jax.random.normal(jax.random.key(0), shape, weight.dtype))
    noise = jax.random.normal(jax.random.key(1), shape, weight.dtype) / np.sqrt(np.prod(shape)).astype(weight.dtype)
    weight = scaled(weight)
    return Prepared(model, weight @ weight.T, jnp.where(largest > 0, largest, 1), start, noise)


def leading_by_gram(prepared: Prepared, x: Visible, n_values: int, n_steps: int) -> Float[Array, "2 values"]:
    """The largest singular values of J at x, and what they were found to be two steps before.

    They are square roots of the Ritz values of J J^T in the span of S, (J J^T) S, (J J^T)^2 S, ... for a fixed S, so
    none is above the true one by more than rounding errors. A little of fixed random directions joins each block, in
    whose place else were none once a direction is exhausted.

    Args:
        prepared: of the model.
        x: one example.
        n_values: as `suits` says.
        n_steps: blocks of the Krylov space.

    Returns:
        Two rows of `n_values`, each the largest first.

    References:
        Golub and Underwood, The block Lanczos method for computing eigenvalues, Mathematical Software III, 1977.
    """
    slopes = prepared.layer.activation.derivative(prepared.layer.preactivation(x))
    steepest, slopes = jnp.max(jnp.abs(slopes)), scaled(slopes)
    basis = jnp.zeros((0, len(slopes)), slopes.dtype)
    rest = prepared.start * slopes
    columns = []
    for step in range(n_steps):
        block = scaled(rest)
        block = (
            block / jnp.maximum(jnp.linalg.norm(block), 1) + _NOISE * jnp.roll(prepared.noise, step, axis=1) * slopes
        )
        block = whitened(block)
        # Again, as where little was left of a direction, much of it is rounding errors.
        block = block - (block @ basis.T) @ basis
        basis = jnp.concatenate([basis, block])
        image = ((block * slopes) @ prepared.gram) * slopes
        columns.append(basis @ image.T)
        rest = image - columns[-1].T @ basis
    ritz = _symmetric(columns)
    largest = jnp.max(jnp.abs(ritz))
    ritz = scaled(ritz)
    # Of a positive matrix they are its eigenvalues; with many threads LAPACK's eigensolver is many times slower.
    found, before = (
        jnp.linalg.svd(part, compute_uv=False)[:n_values] for part in (ritz, ritz[: -2 * BLOCK, : -2 * BLOCK])
    )
    return prepared.scale * steepest * jnp.sqrt(largest * jnp.stack([found, before]))


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


def _symmetric(columns: list[Float[Array, "_ block"]]) -> Float[Array, "held held"]:
    """The symmetric matrix of which each block column is given down to the diagonal."""
    held = len(columns[-1])
    upper = jnp.concatenate([jnp.pad(column, ((0, held - len(column)), (0, 0))) for column in columns], axis=1)
    number = jnp.arange(held) // BLOCK
    return jnp.where(number[:, None] <= number, upper, upper.T)
