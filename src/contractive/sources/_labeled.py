"""Rows with labels: a data set by name, or NumPy files by path, which are taken into memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets import DATASETS
from ._open import RowSource, open_array, open_rows, pick

__all__ = ["LabeledSource", "open_labeled"]


class LabeledSource(NamedTuple):
    """Rows with their labels.

    Args:
        source: the rows to train on.
        labels: one a row, of shape (n_samples,): numbers, strings or booleans.
        validation: rows and labels by which choices are made; None for a file.
        test: rows and labels for one measurement at the very end; None for a file.
        title: what stands beside a number: the name, and that the rows are regenerated where they are.
    """

    source: RowSource
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray] | None
    test: tuple[np.ndarray, np.ndarray] | None
    title: str


def open_labeled(data: str, *, array: str | None = None, labels: str | None = None) -> LabeledSource:
    """Open a data set with labels: all three parts by name, or the rows and labels of files by path.

    Args:
        data: as for `open_rows`.
        array: which array of a `.npz` file holds the rows; not needed when it holds one besides the labels.
        labels: which array of a `.npz` file holds the labels, "y" where it is None; or the path of a `.npy` file of
            labels, which rows in a `.npy` file ask for.

    Returns:
        The rows as they are stored, and their labels.

    Raises:
        OSError: as for `open_rows`.
        ValueError: as for `open_rows`; if there are no labels, not one a row, or they are neither numbers, strings nor
            booleans.

    Example:
        >>> digits = open_labeled("digits")
        >>> digits.labels.shape, digits.validation[1].shape, digits.title
        ((1297,), (250,), 'digits')
    """
    if data in DATASETS:
        if labels is not None or array is not None:
            option, value = ("--labels", labels) if array is None else ("--array", array)
            raise ValueError(f"{option} must go with a file, as {data!r} has labels of its own; got {value!r}.")
        info = DATASETS[data]
        (rows, known), validation, test = info.load()
        return LabeledSource(RowSource(data, rows, info.image_shape), known, validation, test, info.title)
    if labels is not None and Path(labels).suffix == ".npy":
        if not Path(labels).is_file():
            raise FileNotFoundError(f"--labels must name a .npy file or an array; {labels!r} is no file.")
        source = open_rows(data, array=array)
        known = np.asarray(open_array(labels, partial(pick, labels, None, "--labels"), "numbers or strings"))
    elif Path(data).suffix == ".npz":
        name = "y" if labels is None else labels
        known = np.asarray(open_array(data, partial(pick, data, name, "--labels"), "numbers or strings"))
        rows = open_array(data, lambda names: pick(data, array, "--array", [other for other in names if other != name]))
        source = RowSource(data, rows, None)
    else:
        open_rows(data, array=array)  # what is wrong with the rows themselves comes first
        got = "none" if labels is None else repr(labels)
        raise ValueError(f"--labels must name a .npy file with the labels of {data!r}; got {got}.")
    source = source._replace(rows=np.asarray(source.rows))
    return LabeledSource(source, _checked_labels(known, source, labels or "y"), None, None, data)


def _checked_labels(labels: np.ndarray, source: RowSource, name: str) -> np.ndarray:
    """The labels, in memory, once they can be one a row."""
    if labels.dtype.kind not in "biufU":
        raise ValueError(f"--labels must be numbers, strings or booleans; got dtype {labels.dtype} in {name!r}.")
    n_rows = source.rows.shape[0] if source.rows.ndim else 0
    if labels.shape != (n_rows,):
        raise ValueError(f"--labels must be 1-d, one a row, of shape ({n_rows},); got {labels.shape} in {name!r}.")
    return np.array(labels)
