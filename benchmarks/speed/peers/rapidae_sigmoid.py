"""The package `rapidae` on TensorFlow: its `CAE`, with the tutorial's encoder and decoder given to it.

Otherwise than in the tutorial: squared error averaged over the pixels, the only kind it has; SGD by Keras, as its
training pipeline knows Adam alone. Its loss is a vector, one entry a row, which TensorFlow sums on the way back.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402
from protocol import (  # noqa: E402
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)
from rapidae.models.base import BaseDecoder, BaseEncoder  # noqa: E402
from rapidae.models.cae import CAE  # noqa: E402


class SigmoidEncoder(BaseEncoder):
    """The tutorial's; its layer has the name under which the penalty looks for it."""

    def __init__(self) -> None:
        super().__init__(N_FEATURES, N_HIDDEN)
        self.enc_layer = keras.layers.Dense(N_HIDDEN, activation="sigmoid")

    def call(self, x: Any) -> Any:
        """The hidden representation."""
        return self.enc_layer(x)


class TiedDecoder(BaseDecoder):
    """The tutorial's, with the encoder's weight."""

    def __init__(self, encoder: SigmoidEncoder) -> None:
        super().__init__(N_FEATURES, N_HIDDEN, name="decoder")
        self._encoder = encoder
        self._bias = self.add_weight(shape=(N_FEATURES,), initializer="zeros", name="bias")

    def call(self, h: Any) -> Any:
        """The reconstruction."""
        return ops.sigmoid(ops.matmul(h, ops.transpose(self._encoder.enc_layer.kernel)) + self._bias)


class RapidaeSigmoid(Contender):
    """`CAE.fit`, which its training pipeline calls, over the rows of a span."""

    def prepare(self) -> dict[str, str]:
        self.reset()
        backend = keras.backend.backend()
        used = {name: version(name) for name in ("rapidae", "keras", "numpy")}
        return {**used, backend: version("tensorflow-cpu" if backend == "tensorflow" else backend)}

    def layers(self) -> tuple[Any, Any]:
        """The encoder and the decoder."""
        encoder = SigmoidEncoder()
        return encoder, TiedDecoder(encoder)

    def reset(self) -> None:
        self._encoder, decoder = self.layers()
        self._model = CAE(
            input_dim=N_FEATURES,
            latent_dim=N_HIDDEN,
            encoder=self._encoder,
            decoder=decoder,
            lambda_=self.contraction,
        )
        self._model(np.zeros((1, N_FEATURES), np.float32))  # makes the weights
        self._encoder.enc_layer.kernel.assign(initial_weight())
        self._model.compile(optimizer=keras.optimizers.SGD(self.learning_rate))

    def run_span(self, start: int, stop: int) -> Totals:
        n = self.batch_size
        rows = self.data[start * n : stop * n]
        self._model.fit(rows, batch_size=n, epochs=1, shuffle=False, verbose=0)
        error = float(self._model.reconstruction_loss_tracker.result())
        penalty = float(self._model.contractive_loss_tracker.result())  # times lambda
        return error * (stop - start), penalty / self.contraction * (stop - start) if self.contraction else 0.0

    def weight(self) -> np.ndarray:
        return np.asarray(self._encoder.enc_layer.kernel)


if __name__ == "__main__":
    main(RapidaeSigmoid)
