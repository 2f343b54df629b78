"""The deep job as its contenders see it: the draw of the parameters and what to report.

Imported by every peer inside its own environment, so: the standard library and NumPy only.

An encoder d-1000-500-100 with tanh after each layer; a decoder with the transposed weights and biases of its own, tanh
after its first two layers. The cost of a minibatch is the mean over its rows x of

    sum_j (x_j - r_j)^2 + lambda ||J||_F^2,     J = d code / d x, of shape (100, d),

and a step is plain SGD on all weights and biases.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from protocol import Totals, Trainer

__all__ = [
    "BATCH_SIZE",
    "CONTRACTION",
    "HIDDEN_SIZES",
    "LEARNING_RATE",
    "N_FEATURES",
    "DeepContender",
    "check_values",
    "initial_parameters",
    "training_rows",
]

N_FEATURES = (784, 3072)
HIDDEN_SIZES = (1000, 500, 100)
N_ROWS = 2000
BATCH_SIZE = 100
LEARNING_RATE = 1e-4
CONTRACTION = 0.1
PARAMETER_NAMES = (
    *("weight_1", "weight_2", "weight_3"),
    *("hidden_bias_1", "hidden_bias_2", "hidden_bias_3"),
    *("visible_bias_3", "visible_bias_2", "visible_bias_1"),
)


def training_rows(n_features: int) -> np.ndarray:
    """The data: float32 rows, uniform in [0, 1]."""
    return np.random.RandomState(0).uniform(0, 1, (N_ROWS, n_features)).astype(np.float32)


def initial_parameters(n_features: int) -> list[np.ndarray]:
    """The nine arrays of `PARAMETER_NAMES`, float32.

    Weights are (inputs, outputs); visible biases come in the order in which the decoder adds them, so the last one
    has `n_features` entries.
    """
    rng = np.random.RandomState(123)
    sizes = n_features, *HIDDEN_SIZES
    weights = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        radius = np.sqrt(6 / (n_in + n_out))
        weights.append(rng.uniform(-radius, radius, (n_in, n_out)).astype(np.float32))
    return weights + [np.zeros(size, np.float32) for size in (*sizes[1:], *sizes[-2::-1])]


def check_values(totals: Totals, minibatches: int, parameters: list[np.ndarray]) -> dict[str, Any]:
    """What the contenders must agree on: the means of the cost's two parts and how each parameter has moved.

    Args:
        totals: Sums over the minibatches of the mean error and of the mean ||J||_F^2.
        minibatches: How many.
        parameters: The nine arrays after them.

    Returns:
        The two means and, for each parameter, the root mean square of its change and some of the change's entries.
    """
    values: dict[str, Any] = {
        "reconstruction_error": float(totals[0]) / minibatches,
        "jacobian_frobenius_sq": float(totals[1]) / minibatches,
    }
    # The weights move by a thousandth of their size; only the change itself tells a wrong gradient.
    starts = initial_parameters(len(parameters[-1]))
    for name, start, parameter in zip(PARAMETER_NAMES, starts, parameters, strict=True):
        change = np.asarray(parameter, np.float64) - start
        values[name] = [float(np.sqrt(np.mean(change**2))), *change.ravel()[:: change.size // 7].tolist()]
    return values


class DeepContender(Trainer):
    """One implementation of the deep job; the number of features is its data's."""

    @property
    def n_features(self) -> int:
        """The length d of a row."""
        return self.data.shape[1]

    @abstractmethod
    def parameters(self) -> list[np.ndarray]:
        """The nine arrays now, in the order and shapes of `initial_parameters`."""

    def check(self, minibatches: int) -> dict[str, Any]:
        """Trains from the initial state and reports what came of it."""
        return check_values(self.run_afresh(minibatches), minibatches, self.parameters())
