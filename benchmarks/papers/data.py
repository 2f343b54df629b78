"""The rows of a job: those to train on, those to choose by, and test rows that can be read once.

Nothing that trains or chooses is ever given a `HeldOut`: `Trial`, which is what a row's `fit` and the search see, holds
training and validation rows only. The final run reads the test rows after everything has been chosen and trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from contractive.datasets import DATASETS

__all__ = ["BYTE_SCALE", "Data", "HeldOut", "Split", "load_data", "title"]

BYTE_SCALE = 256  # what the estimators divide pixels by, unless told otherwise
QUICK_ROWS = 300, 150, 150
COVERTYPE_ROWS = 100_000, 10_000, 50_000  # of 581,012, in an order of our own


class Split(NamedTuple):
    """Rows with their labels."""

    X: np.ndarray
    y: np.ndarray


class HeldOut:
    """Test rows, to be read once, at the very end, and never while settings are being chosen.

    Args:
        load: gives the rows.
        n_rows: how many there are.
        is_sealed: whether they may not be read at all, as in a search.
    """

    def __init__(self, load: Callable[[], Split], n_rows: int, *, is_sealed: bool = False):
        self._load, self._is_sealed = load, is_sealed
        self._read_for: str | None = None
        self.n_rows = n_rows

    def read_once(self, reason: str) -> Split:
        """The test rows.

        Args:
            reason: the final run that they are read for.

        Raises:
            RuntimeError: if they are sealed, or have been read before.
        """
        if self._is_sealed:
            raise RuntimeError(
                f"test rows must not be read by a search, which chooses on validation rows; got {reason!r}."
            )
        if self._read_for is not None:
            raise RuntimeError(
                f"test rows must be read once; they were read for {self._read_for!r}, now again for {reason!r}."
            )
        self._read_for = reason
        return self._load()


class Data(NamedTuple):
    """A data set, split."""

    train: Split
    valid: Split
    test: HeldOut


def load_data(name: str, *, quick: bool = False, searching: bool = False) -> Data:
    """A data set with its test rows put away.

    Args:
        name: a key of `DATASETS`.
        quick: whether a few hundred rows are enough.
        searching: whether settings are being chosen: the test rows are then sealed.

    Raises:
        OSError: if it has to be fetched and cannot be.
    """
    loaded = _stand_in() if quick and name == "covertype" else DATASETS[name].load()
    splits = [Split(X, np.asarray(y, np.int64)) for X, y in loaded]
    if quick:
        splits = [Split(X[:size], y[:size]) for (X, y), size in zip(splits, QUICK_ROWS, strict=True)]
    if name == "covertype":
        splits = _shuffled_and_scaled(splits, QUICK_ROWS if quick else COVERTYPE_ROWS)
    train, valid, test = splits
    return Data(train, valid, HeldOut(lambda: test, len(test.y), is_sealed=searching))


def title(name: str) -> str:
    """How the page calls a data set."""
    return {"mnist": "MNIST", "covertype": "forest cover type (own split)"}.get(name, DATASETS[name].title)


def _stand_in() -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of cover type's shape, for quick runs, which fetch nothing."""
    from sklearn.datasets import make_classification

    made = make_classification(sum(QUICK_ROWS), 54, n_informative=10, n_classes=7, random_state=0)
    X, y = np.asarray(made[0], np.float32), np.asarray(made[1])
    first, second = QUICK_ROWS[0], sum(QUICK_ROWS[:2])
    return [(X[:first], y[:first]), (X[first:second], y[first:second]), (X[second:], y[second:])]


def _shuffled_and_scaled(splits: list[Split], sizes: tuple[int, int, int]) -> list[Split]:
    """The rows of all parts in an order of their own; columns of mean 0 and deviation 1 over the training rows."""
    X, y = np.concatenate([split.X for split in splits]), np.concatenate([split.y for split in splits])
    order = np.random.default_rng(0).permutation(len(X))[: sum(sizes)]
    X, y = X[order], y[order]
    mean, deviation = X[: sizes[0]].mean(axis=0), X[: sizes[0]].std(axis=0)
    X = (X - mean) / np.where(deviation > 0, deviation, 1)
    ends = np.cumsum((0, *sizes))
    return [Split(X[start:end], y[start:end]) for start, end in zip(ends[:-1], ends[1:], strict=True)]
