"""Penalties: small frozen objects that map (model, one example's forward pass) to a scalar."""

import abc

import equinox as eqx
import jax.numpy as jnp

from ._typing import Array, Float, Scalar
from .jacobian import frobenius_sq_at
from .models import AutoEncoder, Forward

__all__ = ["Contraction", "Penalty", "WeightDecay"]


class Penalty(eqx.Module):
    """A term of the objective; `penalty(model, model.forward(x))` is its value at one example, coefficient included."""

    coefficient: eqx.AbstractVar[float | Float[Array, ""]]

    @abc.abstractmethod
    def __call__(self, model: AutoEncoder, forward: Forward) -> Scalar:
        """The coefficient times the term at one example."""


class Contraction(Penalty):
    """lambda ||J_f(x)||_F^2, the contractive penalty in closed form.

    Args:
        coefficient: lambda >= 0, called `contraction` by the estimators.

    Example:
        >>> import jax.numpy as jnp
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(Contraction(8.0)(model, model.forward(jnp.zeros(2))))
        1.0

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (7).
    """

    coefficient: float | Float[Array, ""]

    def __call__(self, model: AutoEncoder, forward: Forward) -> Scalar:
        """Lambda times the sum of the squared entries of J_f(x)."""
        return self.coefficient * frobenius_sq_at(model, forward.preactivation)


class WeightDecay(Penalty):
    """alpha (sum_ij W_ij^2 + sum_ji V_ji^2), not halved; a tied weight counts once, biases do not.

    Args:
        coefficient: alpha >= 0, called `weight_decay` by the estimators.

    Example:
        >>> import jax.numpy as jnp
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(WeightDecay(0.5)(model, model.forward(jnp.zeros(2))))
        1.0

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (4) (the AE+wd baseline).
    """

    coefficient: float | Float[Array, ""]

    def __call__(self, model: AutoEncoder, forward: Forward) -> Scalar:
        """Alpha times the sum of the squared weights; the same for every example."""
        total = jnp.sum(model.weight**2)
        if model.decoder_weight is not None:
            total = total + jnp.sum(model.decoder_weight**2)
        return self.coefficient * total
