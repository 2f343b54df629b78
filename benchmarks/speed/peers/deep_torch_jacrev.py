"""What a PyTorch user writes: `vmap(jacrev(encode))`, autograd through it, eager."""

from __future__ import annotations

from deep_torch import DeepTorch
from protocol import main


class DeepTorchJacrev(DeepTorch):
    """Everything as in `DeepTorch`."""


if __name__ == "__main__":
    main(DeepTorchJacrev)
