"""This package's loop on the deep job with the penalty estimated from one random probe a row."""

from __future__ import annotations

from deep_exact import DeepExact
from deep_job import CONTRACTION, DeepContender
from protocol import main

from contractive.objectives import Objective
from contractive.penalties import Contraction


class DeepHutchinson(DeepExact):
    """Everything as in `DeepExact` but the penalty."""

    objective = Objective((Contraction(CONTRACTION, estimator="hutchinson", n_probes=1),))
    check = DeepContender.check  # the squared norm that the loop itself reports: the root of a mean of estimates


if __name__ == "__main__":
    main(DeepHutchinson)
