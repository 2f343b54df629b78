"""A restricted Boltzmann machine as a representation: scikit-learn trains it, an auto-encoder holds its weights."""

from __future__ import annotations

import time
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neural_network import BernoulliRBM

from contractive import ContractiveAutoencoder
from contractive.models import AutoEncoder

__all__ = ["BinaryMachine"]


class BinaryMachine:
    """An RBM with binary units, trained by persistent contrastive divergence.

    Its hidden units' probabilities s(W x + c) are an auto-encoder's code, so that it can be measured, fine-tuned and
    saved as the other representations are.

    Args:
        parameters: of a `ContractiveAutoencoder`, of which only the size, the learning rate, the minibatches, the
            epochs and the seed count.
    """

    def __init__(self, **parameters: Any):
        self._holder: Any = ContractiveAutoencoder(**parameters)

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters."""
        self._holder.set_params(**parameters)
        return self

    def fit(self, X: np.ndarray) -> ContractiveAutoencoder:
        """Train the RBM on pixels or on values in [0, 1]; the auto-encoder that holds its weights."""
        holder = self._holder
        rows = np.asarray(X, np.float32) / (holder.uint8_scale if X.dtype == np.uint8 else 1)
        began = time.perf_counter()
        machine = BernoulliRBM(
            holder.n_components,
            learning_rate=holder.learning_rate,
            batch_size=holder.batch_size,
            n_iter=holder.max_epochs,
            random_state=holder.random_state,
        ).fit(rows)
        seconds = time.perf_counter() - began
        epochs = holder.max_epochs
        # One short epoch, for every attribute of a fitted estimator; then its weights are replaced.
        holder.set_params(max_epochs=1).fit(X[: max(2, holder.batch_size)]).set_params(max_epochs=epochs)
        weights = machine.components_, machine.intercept_hidden_, machine.intercept_visible_
        arrays = (jnp.asarray(array, jnp.float32) for array in weights)
        holder.model_ = jax.tree.map(np.asarray, AutoEncoder(*arrays, activation="sigmoid", loss="cross_entropy"))
        holder.history_ = [holder.history_[0]._replace(seconds=seconds)]
        return holder
