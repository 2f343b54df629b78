"""An expert's PyTorch: forward pass, `vmap(jacrev(encode))`, gradient and update in one compiled function."""

from __future__ import annotations

from deep_torch import DeepTorchCompiled
from protocol import main


class DeepTorchCompiledJacrev(DeepTorchCompiled):
    """One call of the compiled step a minibatch.

    Short trials on two busy cores, least milliseconds a step at 784 / 3072 features: code and Jacobian from two passes
    480 / 1390; from one, as here, 460–500 / 1350; weights kept as (outputs, inputs) 490 / 1430; `chunk_size=10`
    490 / 1390; only the cost compiled, with autograd outside 480 / 1280; `max-autotune-no-cudagraphs` 500. All of them
    are within what the same one varies from trial to trial.
    """


if __name__ == "__main__":
    main(DeepTorchCompiledJacrev)
