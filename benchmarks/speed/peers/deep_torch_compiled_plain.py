"""The compiled contender without the penalty: its memory, the compiler's included, is the compiled one's floor."""

from __future__ import annotations

from deep_torch import DeepTorchCompiled, plain_cost
from protocol import main


class DeepTorchCompiledPlain(DeepTorchCompiled):
    """Everything as in `DeepTorchCompiled` but the cost."""

    cost = staticmethod(plain_cost)


if __name__ == "__main__":
    main(DeepTorchCompiledPlain)
