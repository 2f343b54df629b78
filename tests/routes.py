"""Second routes to the package's formulas: finite differences and plain NumPy. Shared by the tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from contractive.models import AutoEncoder

STEP = 1e-6


def finite_differences(function: Callable[[np.ndarray], Any], at: ArrayLike) -> np.ndarray:
    """The gradient of a scalar function by central differences, one entry at a time, in float64."""
    at = np.array(at, np.float64)
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = STEP
        gradient[index] = (float(function(at + step)) - float(function(at - step))) / (2 * STEP)
    return gradient


def random_model(rng: np.random.RandomState, *, tied: bool, activation: str, loss: str) -> AutoEncoder:
    """A float64 model of 5 features and 3 units with no zero anywhere."""
    import jax.numpy as jnp

    shapes = [(3, 5), (3,), (5,)] + ([] if tied else [(5, 3)])
    return AutoEncoder(*(jnp.asarray(rng.normal(size=shape)) for shape in shapes), activation=activation, loss=loss)


def sigmoid(a: np.ndarray) -> np.ndarray:
    """The logistic function as textbooks write it."""
    return 1 / (1 + np.exp(-a))
