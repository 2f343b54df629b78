"""The package `pythae`, which has no contractive model: its plain auto-encoder and its trainer.

Otherwise than in the tutorial: no penalty, squared error summed over the pixels, rows in random order, as its trainer
draws them.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version

import numpy as np
import torch
from protocol import (
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)
from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """The tutorial's; the weight is (features, hidden)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(initial_weight()))
        self.bias = nn.Parameter(torch.zeros(N_HIDDEN))

    def forward(self, x: Tensor) -> ModelOutput:
        """The hidden representation."""
        return ModelOutput(embedding=torch.sigmoid(x @ self.weight + self.bias))


class Decoder(BaseDecoder):
    """The tutorial's, with the encoder's weight."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.weight = encoder.weight
        self.bias = nn.Parameter(torch.zeros(N_FEATURES))

    def forward(self, z: Tensor) -> ModelOutput:
        """The reconstruction."""
        return ModelOutput(reconstruction=torch.sigmoid(z @ self.weight.T + self.bias))


class PythaeAe(Contender):
    """`BaseTrainer.train_step` over the rows of a span."""

    def prepare(self) -> dict[str, str]:
        self._data = torch.tensor(self.data)
        self._folder = tempfile.TemporaryDirectory()
        self.reset()
        return {"pythae": version("pythae"), "torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._encoder = Encoder()
        config = AEConfig(input_dim=(N_FEATURES,), latent_dim=N_HIDDEN)
        model = AE(config, encoder=self._encoder, decoder=Decoder(self._encoder))
        settings = BaseTrainerConfig(
            output_dir=self._folder.name,
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer_cls="SGD",
            no_cuda=True,
        )
        self._trainer = BaseTrainer(model, self._rows(0, 1), training_config=settings)
        self._trainer.prepare_training()

    def _rows(self, start: int, stop: int) -> BaseDataset:
        rows = self._data[start * self.batch_size : stop * self.batch_size]
        return BaseDataset(rows, torch.zeros(len(rows)))

    def run_span(self, start: int, stop: int) -> Totals:
        self._trainer.train_loader = self._trainer.get_train_dataloader(self._rows(start, stop))
        return self._trainer.train_step(1) * (stop - start), 0.0

    def weight(self) -> np.ndarray:
        return self._encoder.weight.detach().numpy()


if __name__ == "__main__":
    main(PythaeAe)
