"""The deep job in plain NumPy, float64, its gradient by hand: the numbers that every contender must come near."""

from __future__ import annotations

from typing import Any

import numpy as np
from deep_job import BATCH_SIZE, CONTRACTION, LEARNING_RATE, check_values, initial_parameters

__all__ = ["deep_check"]

LAYERS = 3
Arrays = list[np.ndarray]


def deep_check(data: np.ndarray, minibatches: int, *, penalty: bool = True) -> dict[str, Any]:
    """The values after so many minibatches from the initial state.

    Args:
        data: Rows in [0, 1], of shape (n, features).
        minibatches: How many, in order from the first row.
        penalty: Whether the cost has the penalty; without it nothing is said of the Jacobian.
    """
    parameters = [parameter.astype(np.float64) for parameter in initial_parameters(data.shape[1])]
    error = frobenius_sq = 0.0
    for index in range(minibatches):
        x = data[index * BATCH_SIZE : (index + 1) * BATCH_SIZE].astype(np.float64)
        parts, gradients = _step(parameters, x, penalty)
        error, frobenius_sq = error + parts[0], frobenius_sq + parts[1]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= LEARNING_RATE * gradient
    values = check_values((error, frobenius_sq), minibatches, parameters)
    if not penalty:
        del values["jacobian_frobenius_sq"]
    return values


def _step(parameters: Arrays, x: np.ndarray, penalty: bool) -> tuple[tuple[float, float], Arrays]:
    """The means over the rows of the cost's two parts, and the gradient of their weighted sum."""
    n, weights = len(x), parameters[:LAYERS]
    hidden, visible = _forward(parameters, x)
    difference = visible[-1] - x
    d_weights = [np.zeros_like(weight) for weight in weights]
    d_code, d_visible_biases = _back_through_decoder(weights, visible, 2 / n * difference, d_weights)
    frobenius_sq, d_hidden = _penalty(weights, hidden, d_weights) if penalty else (0.0, [0.0] * LAYERS)
    d_h, d_hidden_biases = d_code, Arrays()
    for layer in reversed(range(LAYERS)):
        d_a = (d_h + d_hidden[layer]) * (1 - hidden[layer + 1] ** 2)
        d_weights[layer] += hidden[layer].T @ d_a
        d_hidden_biases.insert(0, d_a.sum(axis=0))
        d_h = d_a @ weights[layer].T
    return (float(np.sum(difference**2)) / n, frobenius_sq), d_weights + d_hidden_biases + d_visible_biases


def _forward(parameters: Arrays, x: np.ndarray) -> tuple[Arrays, Arrays]:
    """The input with what each encoder layer makes of it, and the code with what each decoder layer makes of it."""
    weights, hidden = parameters[:LAYERS], [x]
    for weight, bias in zip(weights, parameters[LAYERS : 2 * LAYERS], strict=True):
        hidden.append(np.tanh(hidden[-1] @ weight + bias))
    visible = [hidden[-1]]
    for weight, bias in zip(weights[::-1], parameters[2 * LAYERS :], strict=True):
        z = visible[-1] @ weight.T + bias
        visible.append(np.tanh(z) if len(visible) < LAYERS else z)
    return hidden, visible


def _back_through_decoder(
    weights: Arrays, visible: Arrays, d_z: np.ndarray, d_weights: Arrays
) -> tuple[np.ndarray, Arrays]:
    """The derivatives with respect to the code and the visible biases, from that with respect to the output.

    Args:
        weights: W_i of shape (inputs, outputs).
        visible: The code and what each decoder layer made of it.
        d_z: The derivative with respect to the output.
        d_weights: Take the derivatives with respect to the weights.
    """
    d_biases = Arrays()
    d_h = d_z
    for layer in range(LAYERS):  # the decoder's last layer has the first weight
        below = visible[LAYERS - 1 - layer]
        d_weights[layer] += d_z.T @ below
        d_biases.insert(0, d_z.sum(axis=0))
        d_h = d_z @ weights[layer]
        d_z = d_h * (1 - below**2)
    return d_h, d_biases


def _penalty(weights: Arrays, hidden: Arrays, d_weights: Arrays) -> tuple[float, Arrays]:
    """The mean of ||J||_F^2 and lambda times its derivatives.

    With s_i the slope of layer i at one row, J = M_0 where M_3 = 1, M_{i-1} = M_i diag(s_i) W_i'. One row after the
    other, since M_0 is as large as a weight.

    Args:
        weights: W_i of shape (inputs, outputs).
        hidden: The input and what each layer made of it.
        d_weights: Take the derivatives with respect to the weights.

    Returns:
        The mean and the derivatives with respect to the three layers' outputs.
    """
    n, total = len(hidden[0]), 0.0
    slopes = [1 - h**2 for h in hidden[1:]]
    d_hidden = [np.empty_like(h) for h in hidden[1:]]
    for row in range(n):
        m = np.eye(len(slopes[-1][row]))
        before, scaled = [], []
        for weight, slope in zip(weights[::-1], slopes[::-1], strict=True):
            before.append(m)
            scaled.append(m * slope[row])
            m = scaled[-1] @ weight.T
        total += float(np.sum(m**2))
        d_m = 2 * CONTRACTION / n * m
        for layer in range(LAYERS):
            d_scaled = d_m @ weights[layer]
            d_weights[layer] += d_m.T @ scaled[LAYERS - 1 - layer]
            d_slope = np.sum(d_scaled * before[LAYERS - 1 - layer], axis=0)
            d_hidden[layer][row] = -2 * hidden[layer + 1][row] * d_slope
            d_m = d_scaled * slopes[layer][row]
    return total / n, d_hidden
