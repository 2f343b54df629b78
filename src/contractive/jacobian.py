"""The Jacobian of the encoder, J_f(x) = dh/dx, and its squared Frobenius norm. All functions take one example."""

import jax.numpy as jnp

from ._typing import Array, Float, Hidden, JacobianMatrix, Scalar, Visible
from .models import AutoEncoder

__all__ = ["jacobian", "jacobian_frobenius_sq", "row_norms_sq", "scaled_frobenius_sq"]


def jacobian(model: AutoEncoder, x: Visible) -> JacobianMatrix:
    """J = diag(s'(W x + b)) W, equation (2).

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        The matrix dh/dx, one row a hidden unit.

    Example:
        >>> import jax.numpy as jnp
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(jacobian(model, jnp.zeros(2)))
        [[0.25 0.25]]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 3.
    """
    return model.nonlinearity.derivative(model.preactivation(x))[:, None] * model.weight


def row_norms_sq(weight: Float[Array, "hidden features"]) -> Float[Array, " hidden"]:
    """The squared length of each filter, sum_j W_ij^2."""
    return jnp.sum(weight**2, axis=1)


def scaled_frobenius_sq(slope: Hidden, norms_sq: Hidden) -> Scalar:
    """|| diag(s') W ||_F^2 = sum_i s'_i^2 sum_j W_ij^2, from the slopes and the filters' squared lengths."""
    return jnp.sum(slope**2 * norms_sq)


def jacobian_frobenius_sq(model: AutoEncoder, x: Visible) -> Scalar:
    """||J_f(x)||_F^2 = sum_i s'(a_i)^2 sum_j W_ij^2, the penalty of equation (4), without forming J.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        The sum of the squared entries of J: a square, not a norm.

    Example:
        >>> import jax.numpy as jnp
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(jacobian_frobenius_sq(model, jnp.zeros(2)))  # 2 / 16
        0.125

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 3 (the sigmoid's closed form).
    """
    slope = model.nonlinearity.derivative(model.preactivation(x))
    return scaled_frobenius_sq(slope, row_norms_sq(model.weight))
