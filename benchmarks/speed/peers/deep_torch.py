"""The deep job in PyTorch: what the contenders `deep_torch_*` share; no contender itself."""

from __future__ import annotations

import numpy as np
import torch
from deep_job import CONTRACTION, LEARNING_RATE, DeepContender, initial_parameters
from protocol import Totals
from torch import Tensor
from torch.func import jacrev, vmap

LAYERS = 3


def code_twice(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The code of one row or of many, twice: `jacrev` differentiates the first and hands on the second."""
    h = x
    for weight, bias in zip(parameters[:LAYERS], parameters[LAYERS : 2 * LAYERS], strict=True):
        h = torch.tanh(h @ weight + bias)
    return h, h


def reconstruction(parameters: list[Tensor], code: Tensor) -> Tensor:
    """What the decoder makes of codes, of shape (rows, 100)."""
    third, second, first = parameters[2 * LAYERS :]
    h = torch.tanh(code @ parameters[2].T + third)
    h = torch.tanh(h @ parameters[1].T + second)
    return h @ parameters[0].T + first


def cost_with_jacobian(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The cost and, detached, its two parts."""
    jacobian, code = vmap(jacrev(lambda row: code_twice(parameters, row), has_aux=True))(x)
    error = ((x - reconstruction(parameters, code)) ** 2).sum() / len(x)
    frobenius_sq = (jacobian**2).sum() / len(x)
    return error + CONTRACTION * frobenius_sq, torch.stack((error, frobenius_sq)).detach()


def plain_cost(parameters: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The same without the penalty."""
    error = ((x - reconstruction(parameters, code_twice(parameters, x)[0])) ** 2).sum() / len(x)
    return error, torch.stack((error, torch.zeros(()))).detach()


class DeepTorch(DeepContender):
    """Eager: the cost, `torch.autograd.grad`, nine updates in place."""

    cost = staticmethod(cost_with_jacobian)

    def prepare(self) -> dict[str, str]:
        self._data = torch.tensor(self.data)
        self.reset()
        return {"torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        arrays = initial_parameters(self.n_features)
        self._parameters = [torch.tensor(array, requires_grad=True) for array in arrays]

    def run_span(self, start: int, stop: int) -> Totals:
        totals, n = torch.zeros(2), self.batch_size
        for index in range(start, stop):
            totals += self.step(self._parameters, self._data[index * n : (index + 1) * n])
        error, frobenius_sq = totals.tolist()
        return error, frobenius_sq

    def step(self, parameters: list[Tensor], x: Tensor) -> Tensor:
        """Updates the parameters and returns the two parts of the cost."""
        cost, parts = self.cost(parameters, x)
        gradients = torch.autograd.grad(cost, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=LEARNING_RATE)
        return parts

    def parameters(self) -> list[np.ndarray]:
        return [parameter.detach().numpy() for parameter in self._parameters]


class DeepTorchCompiled(DeepTorch):
    """The whole step compiled; it differentiates by `torch.func.grad`, which `torch.compile` can look into."""

    def prepare(self) -> dict[str, str]:
        cost = self.cost

        def step(parameters: list[Tensor], x: Tensor) -> Tensor:
            gradients, parts = torch.func.grad(cost, has_aux=True)(parameters, x)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(LEARNING_RATE * gradient)
            return parts

        self._compiled = torch.compile(step, fullgraph=True, dynamic=False)
        return super().prepare()

    def reset(self) -> None:
        self._parameters = [torch.tensor(array) for array in initial_parameters(self.n_features)]

    def step(self, parameters: list[Tensor], x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._compiled(parameters, x)
