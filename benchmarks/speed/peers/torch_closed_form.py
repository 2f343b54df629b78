"""What a plain PyTorch user writes: a module, autograd, the closed-form penalty, SGD."""

from __future__ import annotations

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
from torch import Tensor, nn
from torch.nn import functional as F


class AutoEncoder(nn.Module):
    """Tied sigmoid auto-encoder; the weight is (features, hidden), as in the tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(initial_weight()))
        self.hidden_bias = nn.Parameter(torch.zeros(N_HIDDEN))
        self.visible_bias = nn.Parameter(torch.zeros(N_FEATURES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden representation and the logits of the reconstruction."""
        h = torch.sigmoid(x @ self.weight + self.hidden_bias)
        return h, h @ self.weight.T + self.visible_bias


class TorchClosedForm(Contender):
    """`zero_grad`, `backward`, `step`; the two numbers are summed as tensors."""

    def prepare(self) -> dict[str, str]:
        self._data = torch.tensor(self.data)
        self.reset()
        return {"torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._model = AutoEncoder()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=self.learning_rate)

    def run_span(self, start: int, stop: int) -> Totals:
        reconstruction_error = jacobian_frobenius_sq = torch.zeros(())
        n = self.batch_size
        for index in range(start, stop):
            error, frobenius_sq = self._step(self._data[index * n : (index + 1) * n])
            reconstruction_error = reconstruction_error + error
            jacobian_frobenius_sq = jacobian_frobenius_sq + frobenius_sq
        return reconstruction_error.item(), jacobian_frobenius_sq.item()

    def _step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._optimizer.zero_grad()
        h, logits = self._model(x)
        error = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        slope = h * (1 - h)
        frobenius_sq = (slope**2 @ (self._model.weight**2).sum(dim=0)).mean()
        (error + self.contraction * frobenius_sq).backward()
        self._optimizer.step()
        return error.detach(), frobenius_sq.detach()

    def weight(self) -> np.ndarray:
        return self._model.weight.detach().numpy()


if __name__ == "__main__":
    main(TorchClosedForm)
