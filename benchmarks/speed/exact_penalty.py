"""The mean ||dh/dx||_F^2 and its gradient in float64, and how far a contender's own penalty is from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from contractive.jacobian import jacobian_frobenius_sq
from contractive.models import AutoEncoder

__all__ = ["exact_penalty", "penalty_errors"]


def exact_penalty(weight: np.ndarray, rows: np.ndarray, activation: str = "sigmoid") -> tuple[float, np.ndarray]:
    """The penalty of one layer without bias, by this package's closed form.

    Args:
        weight: Of shape (features, hidden).
        rows: Of shape (n, features).
        activation: The hidden nonlinearity, a key of `contractive.activations.ACTIVATIONS`.

    Returns:
        The mean over the rows of ||dh/dx||_F^2, and its gradient with respect to the weight, of the weight's shape.
    """

    def mean_square(weight: jax.Array, rows: jax.Array) -> jax.Array:
        n_features, n_hidden = weight.shape
        model = AutoEncoder(weight.T, jnp.zeros(n_hidden), jnp.zeros(n_features), activation=activation)
        return jnp.mean(jax.vmap(lambda x: jacobian_frobenius_sq(model, x))(rows))

    with jax.enable_x64(True):
        arrays = (jnp.asarray(array, jnp.float64) for array in (weight, rows))
        value, gradient = jax.jit(jax.value_and_grad(mean_square))(*arrays)
        return float(value), np.asarray(gradient)


def penalty_errors(found: Mapping[str, Any], exact: tuple[float, np.ndarray]) -> dict[str, float]:
    """How far a contender's answer to `Contender.penalty` is from the exact one.

    Args:
        found: Its value and gradient.
        exact: What `exact_penalty` returns.

    Returns:
        `value`: the relative error of the value. `gradient`: the Euclidean norm of the difference of the gradients over
        that of the exact one, which is 1 where there is no gradient at all. `scale`: the multiple of the exact gradient
        that comes nearest. `residue`: what remains of the difference then, over the norm of the exact gradient.
    """
    value, gradient = exact
    theirs = np.asarray(found["gradient"])
    length = np.linalg.norm(gradient)
    scale = np.vdot(theirs, gradient) / length**2
    return {
        "value": abs(found["value"] - value) / abs(value),
        "gradient": float(np.linalg.norm(theirs - gradient) / length),
        "scale": float(scale),
        "residue": float(np.linalg.norm(theirs - scale * gradient) / length),
    }
