"""This package's loop on the deep job without a penalty: what the exact one costs, and its memory's floor."""

from __future__ import annotations

from deep_exact import DeepExact
from protocol import main

from contractive.objectives import Objective


class DeepPlain(DeepExact):
    """Everything as in `DeepExact` but the objective."""

    objective = Objective()


if __name__ == "__main__":
    main(DeepPlain)
