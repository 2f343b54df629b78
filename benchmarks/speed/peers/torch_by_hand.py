"""PyTorch as fast as we can write it: the gradient by hand, in place, in buffers made once.

With the weight V of shape (hidden, features), rows x, s = h (1 - h), S_i = sum_j V_ij^2:

    d_z = sigmoid(z) - x                        gradient at the logits, times the batch size n
    d_a = s (d_z V' + 2 lambda s S (1 - 2h))    gradient at the hidden pre-activation, times n
    V  <- diag(1 - 2 lr lambda / n sum_n s^2) V - lr / n [d_a; h]' [x; d_z]

The last line joins both products with respect to the weight into one `addmm_`.
"""

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
from torch import Tensor

# The oneDNN product that torch.compile itself emits: 13 % faster a minibatch at batch 10 than
# `addmm`, which goes to MKL (6 % at batch 100, on two AMD cores); it fuses bias and sigmoid.
_linear = torch.ops.mkldnn._linear_pointwise


class TorchByHand(Contender):
    """About thirty eager operations a minibatch, four of them matrix products.

    Compiling what stands between the products changed nothing (538 against 542 microseconds
    at batch 10), compiling all of it made it slower (622), so it stays eager.
    """

    def prepare(self) -> dict[str, str]:
        n = self.batch_size
        self._data = torch.tensor(self.data)
        self._ones, self._one = torch.ones(n), torch.ones(())
        self._left, self._right = torch.empty(2 * n, N_HIDDEN), torch.empty(2 * n, N_FEATURES)
        self._softplus = torch.empty(n, N_FEATURES)
        self._slope, self._slope_s, self._bend = (torch.empty(n, N_HIDDEN) for _ in range(3))
        self._row_sq, self._slope_sq = torch.empty(N_HIDDEN), torch.empty(N_HIDDEN)
        self.reset()
        return {"torch": torch.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        # Memory of PyTorch's own starts at a multiple of 64 bytes, NumPy's need not.
        self._weight = torch.from_numpy(initial_weight()).t().contiguous()
        self._hidden_bias, self._visible_bias = torch.zeros(N_HIDDEN), torch.zeros(N_FEATURES)
        self._error, self._frobenius_sq = torch.zeros(()), torch.zeros(())

    def run_span(self, start: int, stop: int) -> Totals:
        n = self.batch_size
        self._error.zero_()
        self._frobenius_sq.zero_()
        with torch.inference_mode():
            for index in range(start, stop):
                self._step(self._data[index * n : (index + 1) * n])
        return self._error.item() / n, self._frobenius_sq.item() / n

    def _step(self, x: Tensor) -> None:
        n, weight, rate = self.batch_size, self._weight, self.learning_rate
        d_a, h = self._left[:n], self._left[n:]
        d_z = self._right[n:]
        self._right[:n].copy_(x)
        h.copy_(_linear(x, weight, self._hidden_bias, "sigmoid", [], ""))
        z = _linear(h, weight.t(), self._visible_bias, "none", [], "")
        # sum of softplus(z) - x z
        self._error += torch._C._nn.softplus(z, out=self._softplus).sum()
        self._error -= torch.dot(x.view(-1), z.view(-1))
        torch.sigmoid(z, out=d_z).sub_(x)
        self._hidden_gradient(h, _linear(d_z, weight, None, "none", [], ""), out=d_a)
        decay = torch.add(self._one, self._slope_sq, alpha=-2 * self.contraction * rate / n)
        weight.mul_(decay.unsqueeze_(1))
        weight.addmm_(self._left.t(), self._right, alpha=-rate / n)
        self._hidden_bias.addmv_(d_a.t(), self._ones, alpha=-rate / n)
        self._visible_bias.addmv_(d_z.t(), self._ones, alpha=-rate / n)

    def _hidden_gradient(self, h: Tensor, d_h: Tensor, *, out: Tensor) -> None:
        """Writes d_a to `out`; leaves sum_n s^2 behind and adds up the squared norm."""
        slope, row_sq, slope_sq = self._slope, self._row_sq, self._slope_sq
        torch.addcmul(h, h, h, value=-1, out=slope)
        torch.linalg.vector_norm(self._weight, dim=1, out=row_sq).square_()
        torch.mul(slope, row_sq, out=self._slope_s)
        torch.add(self._one, h, alpha=-2, out=self._bend)
        d_h.addcmul_(self._slope_s, self._bend, value=2 * self.contraction)
        torch.mul(d_h, slope, out=out)
        torch.sum(slope.square_(), 0, out=slope_sq)
        self._frobenius_sq += torch.dot(slope_sq, row_sq)

    def weight(self) -> np.ndarray:
        return self._weight.numpy().T


if __name__ == "__main__":
    main(TorchByHand)
