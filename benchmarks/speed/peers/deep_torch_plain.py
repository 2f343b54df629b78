"""The eager contender without the penalty: its memory is the eager one's floor."""

from __future__ import annotations

from deep_torch import DeepTorch, plain_cost
from protocol import main


class DeepTorchPlain(DeepTorch):
    """Everything as in `DeepTorch` but the cost."""

    cost = staticmethod(plain_cost)


if __name__ == "__main__":
    main(DeepTorchPlain)
