"""The JAX contender without the penalty: its memory is that one's floor."""

from __future__ import annotations

from deep_jax_jacrev import DeepJaxJacrev, plain_cost
from protocol import main


class DeepJaxPlain(DeepJaxJacrev):
    """Everything as in `DeepJaxJacrev` but the cost."""

    cost = staticmethod(plain_cost)


if __name__ == "__main__":
    main(DeepJaxPlain)
