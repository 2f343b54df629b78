"""The two-sided tangent distance: how far apart two tangent planes are."""

import jax
import jax.numpy as jnp

from .._typing import Array, Float, Scalar, Tangents, Visible

__all__ = ["two_sided_tangent_distance_sq"]


def two_sided_tangent_distance_sq(
    x: Visible, x_tangents: Tangents, y: Visible, y_tangents: Float[Array, "others features"]
) -> Scalar:
    """The squared distance of two tangent planes: min over a, b of ||(x + A^T a) - (y + B^T b)||^2.

    With orthonormal rows A, B and d = x - y it is ||d||^2 less the squared length of d's projection on the span of
    both: first on A, then of what is left on the part of B that A does not span, by a Cholesky factorization of
    I - C C^T with C = B A^T. Directions common to both planes make that matrix singular, hence a hundred times the
    rounding unit on its diagonal: a ridge on b, by which the distance is too large where planes meet at a small angle,
    below about 1/100 in float32.

    Args:
        x: one example.
        x_tangents: A, orthonormal rows.
        y: the other example.
        y_tangents: B, orthonormal rows, as many or not.

    Returns:
        A squared distance >= 0, in squared units of x, up to that ridge; never more than ||x - y||^2.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([0.0, 0.0, 1.0]), jnp.array([5.0, 7.0, 0.0])
        >>> print(f"{two_sided_tangent_distance_sq(x, jnp.eye(3)[:1], y, jnp.eye(3)[1:2]):.2f}")
        1.00

    References:
        Simard, LeCun and Denker, Efficient pattern recognition using a new transformation distance, NIPS 1993,
        equation (4).
    """
    d = x - y
    on_x = x_tangents @ d
    common = y_tangents @ x_tangents.T
    left = y_tangents @ d - common @ on_x  # B (d - A^T A d)
    ridge = 100 * jnp.finfo(d.dtype).eps
    gram = (1 + ridge) * jnp.eye(len(y_tangents), dtype=d.dtype) - common @ common.T
    half = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(gram), left, lower=True)
    return jnp.maximum(d @ d - on_x @ on_x - half @ half, 0)
