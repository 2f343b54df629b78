"""The Jacobian of the encoder or of the reconstruction and its norms, exact or estimated, at one example."""

from .._typing import JacobianMatrix, Scalar, Visible
from ..models import Model
from ._chain import Plan, cheapest_plan, count_flops
from ._differential import (
    Differential,
    Prepared,
    encoder_differential,
    floats_for_frobenius_sq,
    frobenius_sq,
    hutchinson_frobenius_sq,
    largest_singular_value,
    matrix,
    prepare_frobenius_sq,
    reconstruction_differential,
    squared_distance,
)

__all__ = [
    "Differential",
    "Plan",
    "Prepared",
    "cheapest_plan",
    "count_flops",
    "encoder_differential",
    "floats_for_frobenius_sq",
    "frobenius_sq",
    "hutchinson_frobenius_sq",
    "jacobian",
    "jacobian_frobenius_sq",
    "largest_singular_value",
    "matrix",
    "prepare_frobenius_sq",
    "reconstruction_differential",
    "squared_distance",
]


def jacobian(model: Model, x: Visible) -> JacobianMatrix:
    """J = dh/dx: diag(s'(W x + b)) W for one layer, equation (2), the product of the layers' for several.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        The matrix dh/dx, one row a hidden unit.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(jacobian(model, jnp.zeros(2)))
        [[0.25 0.25]]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 3.
    """
    return matrix(encoder_differential(model, model.forward(x)))


def jacobian_frobenius_sq(model: Model, x: Visible) -> Scalar:
    """||J_f(x)||_F^2 of one example, without forming J where there is a cheaper way.

    For one layer it is sum_i s'(a_i)^2 sum_j W_ij^2, the penalty of equation (4).

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        The sum of the squared entries of J: a square, not a norm.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(jacobian_frobenius_sq(model, jnp.zeros(2)))  # 2 / 16
        0.125

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 3 (the sigmoid's closed form).
    """
    # Prepared for many rows, as this function mostly is mapped over them.
    prepared = prepare_frobenius_sq(model, batch=_MANY_ROWS)
    return frobenius_sq(encoder_differential(model, model.forward(x)), prepared)


_MANY_ROWS = 128
