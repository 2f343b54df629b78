"""The package `autoencoders`: its contractive model and its trainer, with the tutorial's two layers given to it.

Its penalty is one backward pass a hidden unit, 500 a minibatch. Otherwise than in the tutorial: squared error averaged
over rows and pixels, the only kind it has beside the absolute one. Its own perceptron of this size has a linear code.
"""

from __future__ import annotations

import autoencoders
import numpy as np
import torch
from autoencoders.data.base import TensorSpec
from autoencoders.models.cae import ContractiveAutoencoderConfig, ContractiveAutoencoderModel
from autoencoders.training.trainer import AETrainer, TrainingConfig
from protocol import (
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)
from torch import Tensor, nn


class Encoder(nn.Module):
    """The tutorial's; the weight is (features, hidden)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(initial_weight()))
        self.bias = nn.Parameter(torch.zeros(N_HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        """The hidden representation."""
        return torch.sigmoid(x @ self.weight + self.bias)


class Decoder(nn.Module):
    """The tutorial's, with the encoder's weight."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.weight = encoder.weight
        self.bias = nn.Parameter(torch.zeros(N_FEATURES))

    def forward(self, h: Tensor) -> Tensor:
        """The reconstruction."""
        return torch.sigmoid(h @ self.weight.T + self.bias)


class AutoencodersCae(Contender):
    """`AETrainer.train_epoch` over minibatches that are slices of one tensor."""

    def prepare(self) -> dict[str, str]:
        self._data = torch.tensor(self.data)
        self.reset()
        return {"autoencoders": autoencoders.__version__, "torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._encoder = Encoder()
        model = ContractiveAutoencoderModel(
            ContractiveAutoencoderConfig(contractive_weight=self.contraction),
            sample_spec=TensorSpec(shape=(N_FEATURES,)),
            encoder=self._encoder,
            decoder=Decoder(self._encoder),
        )
        settings = TrainingConfig(learning_rate=self.learning_rate, optimizer_name="sgd", device="cpu")
        self._trainer = AETrainer(model, settings)

    def run_span(self, start: int, stop: int) -> Totals:
        n = self.batch_size
        minibatches = torch.split(self._data[start * n : stop * n], n)
        means = self._trainer.train_epoch(minibatches)
        return means["reconstruction_loss"] * len(minibatches), means["contractive_loss"] * len(minibatches)

    def weight(self) -> np.ndarray:
        return self._encoder.weight.detach().numpy()


if __name__ == "__main__":
    main(AutoencodersCae)
