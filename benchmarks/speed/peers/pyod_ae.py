"""The package `pyod`, which has no contractive model: its auto-encoder for outliers and its training loop.

Otherwise than in the tutorial: no penalty, squared error averaged over rows and pixels, a decoder of its own weight
with a linear output, weights drawn by the package. Standardising, batch normalisation, dropout, weight decay and
shuffling, which it does unless told otherwise, are off.
"""

from __future__ import annotations

import numpy as np
import pyod
import torch
from protocol import N_FEATURES, N_HIDDEN, Contender, Totals, main
from pyod.models.auto_encoder import AutoEncoder
from pyod.utils.torch_utility import TorchDataset
from torch.utils.data import DataLoader


class PyodAe(Contender):
    """`AutoEncoder.train`, which `fit` calls, over the loader that `fit` makes."""

    def prepare(self) -> dict[str, str]:
        self.reset()
        return {"pyod": pyod.__version__, "torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._detector = AutoEncoder(
            preprocessing=False,
            lr=self.learning_rate,
            epoch_num=1,
            batch_size=self.batch_size,
            optimizer_name="sgd",
            optimizer_params={},
            device="cpu",
            verbose=0,
            hidden_neuron_list=[N_HIDDEN],
            hidden_activation_name="sigmoid",
            batch_norm=False,
            dropout_rate=0,
        )
        self._detector.feature_size = N_FEATURES
        self._detector.build_model()
        self._detector.training_prepare()

    def run_span(self, start: int, stop: int) -> Totals:
        rows = TorchDataset(X=self.data[start * self.batch_size : stop * self.batch_size])
        self._detector.train(DataLoader(rows, batch_size=self.batch_size, drop_last=True))
        return 0.0, 0.0  # it says nothing of its loss unless it prints it

    def weight(self) -> np.ndarray:
        return self._detector.model.encoder[0].linear.weight.detach().numpy().T


if __name__ == "__main__":
    main(PyodAe)
