"""How much a code contracts, at an example and at a distance from it, and how saturated it is."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Hidden, RandomKey, RandomKeys, Scalar, StoredRows, Visible
from .._validation import check_interval
from ..batched import MAX_BLOCK_FLOATS, as_floats
from ..jacobian import jacobian_frobenius_sq
from ..models import Model

__all__ = ["contraction_curve", "contraction_ratio", "mean_squared_entry", "on_sphere", "saturation"]


def saturation(h: Hidden, *, low: float = 0.05, high: float = 0.95) -> Scalar:
    """The share of units of a code that are below `low` or above `high`.

    Args:
        h: a code of units in [0, 1].
        low: what a unit that is off stays below.
        high: what a unit that is on exceeds.

    Returns:
        The mean over units, in [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> print(saturation(jnp.array([0.01, 0.5, 0.99, 0.06])))
        0.5

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, table 1, column SAT.
    """
    return jnp.mean(((h < low) | (h > high)).astype(h.dtype))


def mean_squared_entry(model: Model, x: Visible) -> Scalar:
    """||J||_F^2 / (d_x d_h) at x: what the column "||J_f(x)||_F" of the paper's table 1 holds.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        The mean over the entries of J of their squares.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(mean_squared_entry(model, jnp.zeros(2)))  # (1/4)^2
        0.0625

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, table 1.
    """
    return jacobian_frobenius_sq(model, x) / (model.n_features * model.n_hidden)


def on_sphere(x: Visible, radius: Scalar, *, key: RandomKey) -> Visible:
    """A point drawn uniformly from the sphere around x.

    Args:
        x: the center.
        radius: of the sphere, in units of x.
        key: what the direction, but not its length, depends on.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> print(on_sphere(jnp.zeros(1), jnp.float32(2), key=jax.random.key(0)))
        [2.]
    """
    direction = jax.random.normal(key, x.shape, x.dtype)
    return x + radius * direction / jnp.linalg.norm(direction)


def contraction_ratio(model: Model, x: Visible, radius: Scalar, *, key: RandomKey) -> Scalar:
    """||f(x0) - f(x1)|| / ||x0 - x1|| with x1 on a sphere around x0: below 1 the code contracts.

    As the radius goes to 0 it tends to ||J u|| for the direction u, whose mean square is ||J||_F^2 / d_x.

    Args:
        model: the auto-encoder.
        x: one example, x0.
        radius: > 0, in units of x; where it is so small that x + radius u rounds to x, the ratio is 0.
        key: what u depends on.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(3 * jnp.eye(2), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> print(f"{contraction_ratio(model, jnp.ones(2), jnp.float32(0.5), key=jax.random.key(0)):.3f}")
        3.000

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 5.2 and figure 1.
    """
    other = on_sphere(x, radius, key=key)
    # By the distance of the rounded points, not by the radius, of which at small radii much is rounded off.
    distance = jnp.linalg.norm(other - x)
    moved = jnp.linalg.norm(model.encode(other) - model.encode(x))
    return jnp.where(distance > 0, moved / jnp.where(distance > 0, distance, 1), 0)


def contraction_curve(
    model: Model, rows: Any, radii: Sequence[float] | np.ndarray, *, seed: int, uint8_scale: float = 1
) -> np.ndarray:
    """The mean over rows of the contraction ratio, for each radius; along the same directions for all radii.

    Args:
        model: the auto-encoder.
        rows: the data, of shape (n_rows, n_features), n_rows >= 1: floats, uint8, or scipy's CSR.
        radii: each > 0, in units of x.
        seed: what the direction at each row depends on.
        uint8_scale: what a uint8 value is divided by.

    Returns:
        float64 array of shape (n_radii,).

    Raises:
        ValueError: if a radius is not > 0.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(6, 4, rng=np.random.RandomState(0), activation="linear")
        >>> curve = contraction_curve(model, np.eye(6, dtype="float32"), [1.0, 2.0], seed=0)
        >>> bool(abs(curve[0] - curve[1]) < 1e-6)  # a linear code contracts alike at every distance
        True

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, figure 1.
    """
    distances = np.asarray(radii, model.dtype).reshape(-1)
    for radius in distances:
        check_interval("radii", radius, low=0, strict=True)
    model = jax.tree.map(jnp.asarray, model)
    scale = jnp.asarray(np.asarray(uint8_scale, model.dtype))
    held = len(distances) * 4 * (model.n_features + model.n_hidden)
    n_rows = rows.shape[0]
    block = min(1 << max(1, MAX_BLOCK_FLOATS // held).bit_length() - 1, 1 << (n_rows - 1).bit_length())
    total = np.zeros(len(distances))
    for start in range(0, n_rows, block):
        part = rows[start : start + block]
        part = part.toarray() if hasattr(part, "toarray") else part
        padded = jnp.asarray(np.pad(part, ((0, block - len(part)), (0, 0))))
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), np.arange(start, start + block))
        ratios = _ratios(model, padded, scale, jnp.asarray(distances), keys)
        total += np.asarray(ratios)[: len(part)].sum(axis=0, dtype=np.float64)
    return total / n_rows


@jax.jit
def _ratios(
    model: Model, stored: StoredRows, scale: Scalar, radii: Float[Array, " radii"], keys: RandomKeys
) -> Float[Array, "batch radii"]:
    def at(x: Visible, key: RandomKey) -> Float[Array, " radii"]:
        return jax.vmap(lambda radius: contraction_ratio(model, x, radius, key=key))(radii)

    return jax.vmap(at)(as_floats(stored, scale, model.dtype), keys)
