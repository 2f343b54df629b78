"""A restricted Boltzmann machine as a representation: scikit-learn trains it, an auto-encoder holds its weights."""

from __future__ import annotations

import time
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from sklearn.neural_network import BernoulliRBM

from contractive import ContractiveAutoencoder
from contractive.models import AutoEncoder

__all__ = ["BinaryMachine"]


class BinaryMachine(ContractiveAutoencoder):
    """A contractive auto-encoder in all but its training, which is an RBM's: persistent contrastive divergence.

    Its hidden units' probabilities sigma(W x + c) are an auto-encoder's code, so that the RBM can be fine-tuned as the
    other representations are. It is saved and loaded as a `ContractiveAutoencoder`.
    """

    def fit(self, X: Any, y: object = None, sample_weight: Any = None) -> Self:
        """Train the RBM on rows of pixels k/256 or of values in [0, 1]."""
        rows = np.asarray(X, np.float32) / (256 if X.dtype == np.uint8 else 1)
        began = time.perf_counter()
        machine = BernoulliRBM(
            self.n_components,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            n_iter=self.max_epochs,
            random_state=self.random_state,
        ).fit(rows)
        seconds = time.perf_counter() - began
        epochs, self.max_epochs = self.max_epochs, 1
        super().fit(X[: max(2, self.batch_size)])  # for every attribute of a fitted one
        self.max_epochs = epochs
        weights = machine.components_, machine.intercept_hidden_, machine.intercept_visible_
        arrays = (np.asarray(jnp.asarray(array, jnp.float32)) for array in weights)
        self.model_ = AutoEncoder(*arrays, activation="sigmoid", loss="cross_entropy")
        self.history_ = [self.history_[0]._replace(seconds=seconds)]
        return self
