"""How good samples are: the Parzen log-likelihood of rows that the model has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from contractive.sampling import choose_parzen_std, parzen_log_likelihood, sample_walk

from .data import BYTE_SCALE, Split
from .fits import measured_geometry
from .trial import Trial

__all__ = ["draw_training_rows", "sample"]

_WHITE = 255  # the papers' pixels are k/255: a density depends on the unit of its rows


class Sampled:
    """Samples of pixels k/255, each the center of a window."""

    def __init__(self, samples: np.ndarray, std: float, facts: dict[str, Any]):
        self._samples, self._std = samples, std
        self.facts = {**facts, "parzen_std": std, "n_samples": len(samples)}

    def measure(self, rows: Split) -> dict[str, float]:
        """The mean log-likelihood of rows of bytes in nats, and its standard error."""
        found = parzen_log_likelihood(self._samples, rows.X / _WHITE, self._std)
        return {"log_likelihood": found.mean, "standard_error": found.standard_error}


def sample(trial: Trial) -> Sampled:
    """Pretrain, walk along the tangents from training rows, choose the width of the windows by validation rows."""
    representation = trial.representation()
    facts = measured_geometry(trial, representation)
    walk = dict(trial.settings["walk"])
    starts = _drawn(trial, walk.pop("n_chains"))
    with trial.clock("sampling"):
        chains = sample_walk(representation.model_, trial.train.X[starts] / BYTE_SCALE, seed=trial.seed, **walk)
        samples = chains.reshape(-1, chains.shape[-1]).astype(np.float64) * (BYTE_SCALE / _WHITE)
        return _with_windows(trial, samples, facts)


def draw_training_rows(trial: Trial) -> Sampled:
    """Training rows as if they were samples: what a model reaches that gives back what it was shown."""
    with trial.clock("sampling"):
        return _with_windows(trial, trial.train.X[_drawn(trial, trial.settings["n_samples"])] / _WHITE, {})


def _drawn(trial: Trial, count: int) -> np.ndarray:
    """Which training rows, none twice."""
    return np.random.default_rng([trial.seed, 2]).choice(len(trial.train.y), count, replace=False)


def _with_windows(trial: Trial, samples: np.ndarray, facts: dict[str, Any]) -> Sampled:
    std = choose_parzen_std(samples, trial.valid.X / _WHITE, trial.settings["parzen_stds"])
    return Sampled(samples, std, facts)
