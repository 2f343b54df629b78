"""Elementwise nonlinearities s(a) with their closed-form derivatives s'(a)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp

from ._typing import Array, Float

__all__ = ["ACTIVATIONS", "Activation", "resolve_activation"]

Elementwise = Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]


@dataclass(frozen=True)
class Activation:
    """One nonlinearity: its name, s(a) and s'(a), both elementwise, and how steep it can be.

    Args:
        name: the name by which models, files and the command line call it.
        function: a -> s(a), any shape.
        derivative: a -> s'(a), same shape. At a kink it is the value that JAX's own derivative takes
            (ReLU: 0 at 0), so that both routes to a Jacobian agree everywhere.
        steepest: the largest |s'(a)| over all a; infinity where it is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> ACTIVATIONS["sigmoid"].derivative(jnp.zeros(1))
        Array([0.25], dtype=float32)
    """

    name: str
    function: Elementwise
    derivative: Elementwise
    steepest: float = math.inf


def _sigmoid_derivative(a: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    h = jax.nn.sigmoid(a)
    return h * (1 - h)


_STEEPEST_GELU = 0.5 * (1 + math.erf(1)) + math.exp(-1) / math.sqrt(math.pi)  # at the square root of 2


def _gelu_derivative(a: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    # s(a) = a Phi(a), s'(a) = Phi(a) + a phi(a), with the normal distribution function Phi, not tanh's form.
    return jax.scipy.stats.norm.cdf(a) + a * jax.scipy.stats.norm.pdf(a)


ACTIVATIONS = MappingProxyType(
    {
        activation.name: activation
        for activation in (
            Activation("sigmoid", jax.nn.sigmoid, _sigmoid_derivative, 0.25),
            Activation("tanh", jnp.tanh, lambda a: 1 - jnp.tanh(a) ** 2, 1.0),
            Activation("relu", jax.nn.relu, lambda a: (a > 0).astype(a.dtype), 1.0),
            Activation("softplus", jax.nn.softplus, jax.nn.sigmoid, 1.0),
            Activation("gelu", lambda a: jax.nn.gelu(a, approximate=False), _gelu_derivative, _STEEPEST_GELU),
            Activation("linear", lambda a: a, jnp.ones_like, 1.0),
        )
    }
)
"""Every nonlinearity by name."""


def resolve_activation(choice: str | Elementwise) -> Activation:
    """The named nonlinearity, or a user's elementwise function with the derivative that JAX finds for it.

    Args:
        choice: a key of `ACTIVATIONS`, or a function that maps each entry of an array by itself.

    Raises:
        KeyError: if the name is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> print(resolve_activation(jnp.sin).derivative(jnp.zeros(2)))
        [1. 1.]
    """
    if isinstance(choice, str):
        return ACTIVATIONS[choice]
    function: Elementwise = choice
    return Activation(
        getattr(function, "__name__", "callable"),
        function,
        lambda a: jax.jvp(function, (a,), (jnp.ones_like(a),))[1],
    )
