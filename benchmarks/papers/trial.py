"""One trial: training and validation rows, settings, a seed; the estimators that settings name; what is kept of them.

A trial holds no test rows. Pretrained representations are kept in the user's cache, as rows of a table share them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import contractive
from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive._files import cache_folder, write_atomically
from contractive.estimators import draw_evenly

from .data import Split
from .rbm import BinaryMachine

__all__ = ["UNLABELED", "Trial", "few_labels"]

UNLABELED = -1
_LAYERS = {"cae": ContractiveAutoencoder, "dae": DenoisingAutoencoder, "rbm": BinaryMachine}


class Trial:
    """What a row's `fit` is given.

    Args:
        data: the name of the data set.
        train: rows to train on.
        valid: rows to choose by.
        settings: of the row.
        seed: seed of all that is random.
        is_refit: whether the validation rows are among the training rows, everything having been chosen before.
        cache: where pretrained representations are kept; None for `papers` in the package's cache folder.
        on_event: called by every estimator while it trains; raises to end it.
    """

    def __init__(
        self,
        data: str,
        train: Split,
        valid: Split,
        settings: Mapping[str, Any],
        seed: int,
        *,
        is_refit: bool = False,
        cache: Path | None = None,
        on_event: Callable[[], None] = lambda: None,
    ):
        if is_refit:
            train = Split(np.concatenate([train.X, valid.X]), np.concatenate([train.y, valid.y]))
        self.data, self.train, self.valid, self.settings, self.seed = data, train, valid, settings, seed
        self.is_refit = is_refit
        self.cache = cache_folder() / "papers" if cache is None else cache
        self.seconds: dict[str, float] = {}
        self.callbacks = [lambda estimator, event: on_event()]

    @property
    def validation_data(self) -> Split | None:
        """The rows by which a classifier chooses its best epoch; None in a refit."""
        return None if self.is_refit else self.valid

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Count the seconds inside as the phase's."""
        began = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0) + time.perf_counter() - began

    def representation(self) -> Any:
        """The representation that the settings' `layers` name, fitted on the training rows or taken from the cache."""
        path = self._path(".safetensors")
        representation = _kept(path)
        if representation is None:
            representation = self._build().set_params(callbacks=self.callbacks).fit(self.train.X)
            path.parent.mkdir(parents=True, exist_ok=True)
            representation.set_params(callbacks=None).save(path)
        self.seconds["pretraining"] = sum(record.seconds for record in representation.history_)
        return representation

    def facts(self, name: str, find: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What `find` returns of the representation; kept beside it, as many draws of labels share one."""
        path = self._path(f".{name}.json")
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            facts = find()
            write_atomically(path, lambda stream: stream.write(json.dumps(facts).encode()))
            return facts

    def _path(self, ending: str) -> Path:
        return self.cache / f"{self._digest()}{ending}"

    def _build(self) -> Any:
        layers = []
        for settings in self.settings["layers"]:
            parameters = dict(settings)
            layers.append(_LAYERS[parameters.pop("kind")](**parameters))
        if len(layers) == 1:
            return layers[0].set_params(random_state=self._pretraining_seed)
        return StackedAutoencoder(layers, random_state=self._pretraining_seed)

    @property
    def _pretraining_seed(self) -> int:
        """The trial's own, unless its settings let many draws of labels share one pretraining."""
        return self.settings.get("pretraining_seed", self.seed)

    def _digest(self) -> str:
        parts = [
            contractive.__version__,
            self.data,
            list(self.train.X.shape),
            self.settings["layers"],
            self._pretraining_seed,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def few_labels(rows: Split, n_labels: int | None, seed: int) -> np.ndarray:
    """The labels of `n_labels` rows, as many of each class as can be, and `UNLABELED` for the others.

    They are those that `contractive classify --n-labels` keeps.

    Args:
        rows: the rows.
        n_labels: how many are kept; None for all.
        seed: draws which.
    """
    if n_labels is None:
        return rows.y
    kept = draw_evenly(rows.y, n_labels, seed)
    labels = np.full(len(rows.y), UNLABELED)
    labels[kept] = rows.y[kept]
    return labels


def _kept(path: Path) -> Any:
    """The representation in a file of the cache; None where there is none, or it is altered or of another version."""
    try:
        return contractive.load(path)
    except (OSError, ValueError):
        return None
