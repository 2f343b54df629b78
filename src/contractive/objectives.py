"""The objective of a minibatch: reconstruction plus weighted penalties. The only place that averages over rows."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ._typing import Rows, RowWeights, Scalar, Visible
from .jacobian import frobenius_sq_at
from .models import AutoEncoder
from .penalties import Penalty

__all__ = ["Objective", "Parts"]


class Parts(NamedTuple):
    """The two numbers of the tutorial, each a weighted mean over the rows of a minibatch.

    Args:
        reconstruction_error: mean of L(x, r), itself a sum over features (nats, or squared units of x).
        jacobian_norm: mean of ||J_f(x)||_F, the norm and not its square.
    """

    reconstruction_error: Scalar
    jacobian_norm: Scalar


class Objective(eqx.Module):
    """Mean over the rows of L(x, g(f(x))) + sum of the penalties at x.

    Args:
        penalties: the terms to add, each with its coefficient; empty for the plain auto-encoder.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.penalties import Contraction
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> cost, parts = Objective((Contraction(0.1),))(model, jnp.zeros((4, 2)), jnp.full(4, 1 / 4))
        >>> print(f"{cost:.4f} = {parts.reconstruction_error:.4f} + 0.1 * {parts.jacobian_norm**2:.4f}")
        0.5125 = 0.5000 + 0.1 * 0.1250

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (7).
    """

    penalties: tuple[Penalty, ...] = ()

    def example(self, model: AutoEncoder, x: Visible) -> tuple[Scalar, Scalar, Scalar]:
        """The cost of one example, its reconstruction error and its Jacobian's Frobenius norm."""
        forward = model.forward(x)
        error = model.reconstruction_loss.error(x, forward.output)
        cost = error + sum(penalty(model, forward) for penalty in self.penalties)
        return cost, error, jnp.sqrt(frobenius_sq_at(model, forward.preactivation))

    def __call__(self, model: AutoEncoder, x: Rows, row_weights: RowWeights) -> tuple[Scalar, Parts]:
        """The weighted mean of the cost over the rows of a minibatch, and its named parts.

        Args:
            model: the auto-encoder.
            x: the minibatch.
            row_weights: what each row counts, >= 0, summing to 1 for a mean; 0 leaves a row out.
        """
        cost, error, norm = jax.vmap(self.example, in_axes=(None, 0))(model, x)
        return row_weights @ cost, Parts(row_weights @ error, row_weights @ norm)
