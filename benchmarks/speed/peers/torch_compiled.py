"""An expert's PyTorch: forward, penalty, gradient and update in one compiled function."""

from __future__ import annotations

from collections.abc import Callable

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
from torch import Tensor
from torch.nn import functional as F

Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]


def _loss(
    weight: Tensor, hidden_bias: Tensor, visible_bias: Tensor, x: Tensor, contraction: float
) -> tuple[Tensor, Tensor]:
    """The cost and, detached, its two parts; the weight is (hidden, features)."""
    h = torch.sigmoid(F.linear(x, weight, hidden_bias))
    logits = F.linear(h, weight.T, visible_bias)
    error = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    slope = h * (1 - h)
    frobenius_sq = (slope**2 @ (weight**2).sum(dim=1)).mean()
    return error + contraction * frobenius_sq, torch.stack((error, frobenius_sq)).detach()


def _make_step(contraction: float, learning_rate: float) -> Step:
    """What updates the parameters and adds the two numbers to `totals`, all in place."""

    def step(weight: Tensor, hidden_bias: Tensor, visible_bias: Tensor, totals: Tensor, x: Tensor) -> None:
        parameters = weight, hidden_bias, visible_bias
        gradients, parts = torch.func.grad(_loss, argnums=(0, 1, 2), has_aux=True)(*parameters, x, contraction)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(learning_rate * gradient)
        totals.add_(parts)

    return step


class TorchCompiled(Contender):
    """One call of the compiled step a minibatch.

    Short trials on two cores, microseconds a minibatch at batch 10 / 100: this layout of the
    weight 690 / 3080, the tutorial's (features, hidden) 740 / 3310; `max-autotune-no-cudagraphs`
    measured the same as the default mode with either layout, so the default it is.
    """

    def prepare(self) -> dict[str, str]:
        self._data = torch.tensor(self.data)
        self._compiled = torch.compile(_make_step(self.contraction, self.learning_rate), fullgraph=True, dynamic=False)
        self.reset()
        return {"torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        weight = torch.from_numpy(initial_weight()).t().contiguous()
        self._parameters = weight, torch.zeros(N_HIDDEN), torch.zeros(N_FEATURES)

    def run_span(self, start: int, stop: int) -> Totals:
        totals, n = torch.zeros(2), self.batch_size
        with torch.no_grad():
            for index in range(start, stop):
                self._compiled(*self._parameters, totals, self._data[index * n : (index + 1) * n])
        reconstruction_error, jacobian_frobenius_sq = totals.tolist()
        return reconstruction_error, jacobian_frobenius_sq

    def weight(self) -> np.ndarray:
        return self._parameters[0].numpy().T


if __name__ == "__main__":
    main(TorchCompiled)
