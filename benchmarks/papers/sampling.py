"""How good samples are: the Parzen log-likelihood of rows that the model has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from .data import Split
from .fits import geometry_of
from .trial import Trial

__all__ = ["sample"]


class Sampled:
    """Samples, as the centers of a Parzen window."""

    def __init__(self, samples: np.ndarray, std: float, scale: float, facts: dict[str, Any]):
        self._samples, self._std, self._scale = samples, std, scale
        self.facts = {**facts, "parzen_std": std}

    def measure(self, rows: Split) -> dict[str, float]:
        """The mean log-likelihood of rows in nats."""
        from contractive.sampling import parzen_log_likelihood

        values = parzen_log_likelihood(self._samples, _floats(rows.X, self._scale), std=self._std)
        return {"log_likelihood": float(np.mean(values))}


def sample(trial: Trial) -> Sampled:
    """Pretrain, walk along the tangents, and choose the width of the window by the validation rows."""
    from contractive.sampling import choose_parzen_std, sample_walk

    representation = trial.representation()
    walk, scale = trial.settings["walk"], representation._uint8_scale
    with trial.clock("measuring"):
        facts = geometry_of(representation, trial.valid.X)
    with trial.clock("sampling"):
        samples = np.asarray(sample_walk(representation.model_, seed=trial.seed, **walk))
        std = float(choose_parzen_std(samples, _floats(trial.valid.X, scale)))
    return Sampled(samples, std, scale, facts)


def _floats(X: np.ndarray, scale: float) -> np.ndarray:
    return X.astype(np.float32) / (scale if X.dtype == np.uint8 else 1)
