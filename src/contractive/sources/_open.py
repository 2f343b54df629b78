"""Anything that yields rows, with or without labels: a data set by name, or a NumPy file by path."""

import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets import DATASETS

__all__ = ["LabeledSource", "RowSource", "open_labeled", "open_rows"]

_Chosen = Callable[[list[str]], str]  # which of the arrays of a .npz file


class RowSource(NamedTuple):
    """Rows with what is known about them.

    Args:
        name: the data set's name or the file's path.
        rows: the array, of shape (n_samples, n_features) when it is what it should be; not yet checked.
        image_shape: height and width of a picture in pixels, or None when the rows are not known to be pictures.
    """

    name: str
    rows: np.ndarray
    image_shape: tuple[int, int] | None

    @property
    def n_features(self) -> int:
        """Values of a row; 0 where there are no rows."""
        return self.rows.shape[-1] if self.rows.ndim else 0


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


def open_rows(data: str, *, array: str | None = None) -> RowSource:
    """Open a data set: its training rows by name, or the rows of a file by path.

    Args:
        data: a key of `DATASETS`, or the path of a `.npy` file (mapped, not read) or a `.npz` file.
        array: which array of a `.npz` file; not needed when it holds one.

    Returns:
        The rows as they are stored.

    Raises:
        OSError: if the path cannot be read.
        ValueError: if the file is no NumPy file of plain numbers, or if `array` names nothing in it.

    Example:
        >>> open_rows("digits").rows.shape
        (1297, 64)
    """
    if array is not None and Path(data).suffix != ".npz":
        raise ValueError(f"--array must go with a .npz file; got {data!r}.")
    if data in DATASETS:
        info = DATASETS[data]
        return RowSource(data, info.load()[0][0], info.image_shape)
    return RowSource(data, _read(data, partial(_pick, data, array, "--array")), None)


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
        known = _read(labels, partial(_pick, labels, None, "--labels"), "numbers or strings")
    elif Path(data).suffix == ".npz":
        name = "y" if labels is None else labels
        known = _read(data, partial(_pick, data, name, "--labels"), "numbers or strings")
        rows = _read(data, lambda names: _pick(data, array, "--array", [other for other in names if other != name]))
        source = RowSource(data, rows, None)
    else:
        open_rows(data, array=array)  # what is wrong with the rows themselves comes first
        got = "none" if labels is None else repr(labels)
        raise ValueError(f"--labels must name a .npy file with the labels of {data!r}; got {got}.")
    return LabeledSource(source, _checked_labels(known, source, labels or "y"), None, None, data)


def _checked_labels(labels: np.ndarray, source: RowSource, name: str) -> np.ndarray:
    """The labels, in memory, once they can be one a row."""
    if labels.dtype.kind not in "biufU":
        raise ValueError(f"--labels must be numbers, strings or booleans; got dtype {labels.dtype} in {name!r}.")
    n_rows = source.rows.shape[0] if source.rows.ndim else 0
    if labels.shape != (n_rows,):
        raise ValueError(f"--labels must be 1-d, one a row, of shape ({n_rows},); got {labels.shape} in {name!r}.")
    return np.array(labels)


def _read(data: str, choose: _Chosen, kinds: str = "numbers") -> np.ndarray:
    """The array of a file; `choose` says which of a `.npz` file, `kinds` what the messages ask for.

    Raises:
        OSError: if the path cannot be read.
        ValueError: if the file is no NumPy file of plain values.
    """
    path = Path(data)
    if not path.exists():
        raise FileNotFoundError(
            f"{data!r} is neither a data set nor a file. Known data sets: {', '.join(sorted(DATASETS))}; "
            "files must end in .npy or .npz."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{data!r} must be a file; got a folder. Name a .npy or .npz file in it.")
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"{data!r} must end in .npy or .npz; got {path.suffix or 'no ending'!r}.")
    with ExitStack() as stack:
        try:
            if path.suffix == ".npz":
                # Opened here, because NumPy leaves a file open that turns out to be no archive.
                stream = stack.enter_context(path.open("rb"))
                stack.enter_context(zipfile.ZipFile(stream))
                loaded = np.load(stream, allow_pickle=False)
            else:
                loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{data!r} must be a NumPy file of plain {kinds}; it is truncated or foreign ({error})."
            ) from error
        if isinstance(loaded, np.ndarray):
            return loaded
        name = choose(stack.enter_context(loaded).files)
        try:
            member = loaded[name]
            if not isinstance(member, np.ndarray):
                raise ValueError("a member that is no NumPy array")
            return member
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{data!r} must hold plain {kinds} in {name!r}; it does not ({error}).") from error


def _pick(data: str, array: str | None, option: str, names: list[str]) -> str:
    """The array that was named, or the only one."""
    if array is None and len(names) == 1:
        return names[0]
    if array is None or array not in names:
        got = "several arrays" if array is None else repr(array)
        raise ValueError(f"{data!r} holds {', '.join(sorted(names)) or 'no array'}; got {got}. Name one with {option}.")
    return array
