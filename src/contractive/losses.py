"""Reconstruction errors L(x, r) of one example: sums over its features, never averages."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp

from ._typing import Array, Float, Scalar, Visible
from .activations import ACTIVATIONS, Activation

__all__ = ["LOSSES", "Loss", "cross_entropy_on_logits", "squared_error"]


def cross_entropy_on_logits(x: Visible, z: Visible) -> Scalar:
    """Bernoulli cross-entropy of one example, from the decoder's logits.

    L(x, r) = -sum_j [ x_j log r_j + (1 - x_j) log(1 - r_j) ] with r = sigmoid(z), computed as
    sum_j [ log(1 + exp(z_j)) - x_j z_j ]: no logarithm of zero for any finite z.

    Args:
        x: values in [0, 1].
        z: logits, any finite value.

    Returns:
        The sum over the features, in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{cross_entropy_on_logits(jnp.ones(2), jnp.zeros(2)):.4f}")  # 2 log 2
        1.3863

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 2 (cross-entropy loss).
    """
    return jnp.sum(_log_one_plus_exp(z) - x * z)


@jax.custom_jvp
def _log_one_plus_exp(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # `jax.nn.softplus`, with the derivative that it has on paper instead of the one of its parts.
    return jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


@_log_one_plus_exp.defjvp
def _log_one_plus_exp_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (dz,) = primals, tangents
    return _log_one_plus_exp(z), jax.nn.sigmoid(z) * dz


def squared_error(x: Visible, r: Visible) -> Scalar:
    """Squared error of one example: L(x, r) = sum_j (x_j - r_j)^2.

    Args:
        x: the example, any range.
        r: its reconstruction, in the units of x.

    Returns:
        The sum over the features, not halved, in squared units of x.

    Example:
        >>> import jax.numpy as jnp
        >>> print(squared_error(jnp.array([1.0, 2.0]), jnp.zeros(2)))
        5.0

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 2 (squared error).
    """
    return jnp.sum((x - r) ** 2)


@dataclass(frozen=True)
class Loss:
    """A reconstruction error with the output nonlinearity that belongs to it.

    Args:
        name: the name by which models, files and the command line call it.
        error: (x, z) -> L of one example, where z is the decoder before its output nonlinearity.
        output: the output nonlinearity z -> r with its derivative.
        unit_interval: whether x must lie in [0, 1].
    """

    name: str
    error: Callable[[Visible, Visible], Scalar]
    output: Activation
    unit_interval: bool


LOSSES = MappingProxyType(
    {
        "squared_error": Loss("squared_error", squared_error, ACTIVATIONS["linear"], unit_interval=False),
        "cross_entropy": Loss("cross_entropy", cross_entropy_on_logits, ACTIVATIONS["sigmoid"], unit_interval=True),
    }
)
"""Every reconstruction error by name."""
