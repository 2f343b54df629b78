"""The Jacobian of the encoder, J_f(x) = dh/dx, and its squared Frobenius norm. All functions take one example."""

import jax.numpy as jnp

from ._typing import Hidden, JacobianMatrix, Scalar, Visible
from .models import AutoEncoder

__all__ = ["frobenius_sq_at", "jacobian", "jacobian_frobenius_sq"]


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


def frobenius_sq_at(model: AutoEncoder, preactivation: Hidden) -> Scalar:
    """||diag(s'(a)) W||_F^2 = sum_i s'(a_i)^2 sum_j W_ij^2, the penalty of equation (4), without forming J.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        preactivation: a = W x + b of one example.

    Returns:
        The sum of the squared entries of J: a square, not a norm.

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 3 (the sigmoid's closed form).
    """
    return jnp.sum(model.nonlinearity.derivative(preactivation) ** 2 * jnp.sum(model.weight**2, axis=1))


def jacobian_frobenius_sq(model: AutoEncoder, x: Visible) -> Scalar:
    """||J_f(x)||_F^2 of one example, by `frobenius_sq_at` its pre-activation.

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
    """
    return frobenius_sq_at(model, model.preactivation(x))
