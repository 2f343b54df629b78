"""The job in plain NumPy, float64: the numbers that every contender must come near."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from protocol import (
    CONTRACTION,
    LEARNING_RATE,
    N_FEATURES,
    N_HIDDEN,
    Check,
    check_values,
    initial_weight,
)

__all__ = ["TOLERANCE", "check", "disagreements"]

TOLERANCE = 1e-3  # relative; float32 against float64 over tens of minibatches


def check(data: np.ndarray, batch_size: int, minibatches: int, *, as_published: bool = False) -> Check:
    """The values after so many minibatches from the initial state.

    Args:
        data: Rows in [0, 1], of shape (n, N_FEATURES).
        batch_size: Rows a minibatch.
        minibatches: How many, in order from the first row.
        as_published: The tutorial's `//`: the penalty has no gradient and each minibatch's mean
            ||J||_F^2 is rounded down.
    """
    contraction = 0.0 if as_published else CONTRACTION
    weight = initial_weight(np.float64)
    hidden_bias, visible_bias = np.zeros(N_HIDDEN), np.zeros(N_FEATURES)
    reconstruction_error = jacobian_frobenius_sq = 0.0
    for index in range(minibatches):
        x = data[index * batch_size : (index + 1) * batch_size].astype(np.float64)
        parts, gradient = _step(x, weight, hidden_bias, visible_bias, contraction)
        reconstruction_error += parts[0]
        jacobian_frobenius_sq += np.floor(parts[1]) if as_published else parts[1]
        weight -= LEARNING_RATE * gradient[0]
        hidden_bias -= LEARNING_RATE * gradient[1]
        visible_bias -= LEARNING_RATE * gradient[2]
    return check_values((reconstruction_error, jacobian_frobenius_sq), minibatches, weight)


def _step(
    x: np.ndarray,
    weight: np.ndarray,
    hidden_bias: np.ndarray,
    visible_bias: np.ndarray,
    contraction: float,
) -> tuple[tuple[float, float], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """One minibatch's two means and the gradient of their weighted sum, by hand."""
    n = len(x)
    h = 1 / (1 + np.exp(-(x @ weight + hidden_bias)))
    z = h @ weight.T + visible_bias
    # -x log r - (1 - x) log(1 - r) on logits
    reconstruction_error = np.sum(np.logaddexp(0, z) - x * z) / n
    slope = h * (1 - h)
    column_sq = np.sum(weight**2, axis=0)
    jacobian_frobenius_sq = np.sum(slope**2 * column_sq) / n

    d_z = (1 / (1 + np.exp(-z)) - x) / n
    d_slope = 2 * contraction / n * slope * column_sq
    d_a = (d_z @ weight + d_slope * (1 - 2 * h)) * slope
    d_weight = x.T @ d_a + d_z.T @ h + 2 * contraction / n * weight * np.sum(slope**2, axis=0)
    parts = float(reconstruction_error), float(jacobian_frobenius_sq)
    return parts, (d_weight, d_a.sum(axis=0), d_z.sum(axis=0))


def disagreements(got: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float = TOLERANCE) -> list[str]:
    """One line for each expected value that is off by more than `tolerance`, relative; none is well."""
    lines = []
    for name, value in expected.items():
        a, b = np.asarray(got[name]), np.asarray(value)
        error = np.max(np.abs(a - b)) / np.max(np.abs(b))
        if not error <= tolerance:  # also true of NaN
            lines.append(f"{name}: off by {error:.1e} relative (allowed {tolerance:.0e})")
    return lines
