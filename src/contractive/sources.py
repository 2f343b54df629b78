"""Anything that yields rows: a data set by name, or a NumPy file by path."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .datasets import DATASETS

__all__ = ["RowSource", "open_rows"]


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
    path = Path(data)
    if array is not None and path.suffix != ".npz":
        raise ValueError(f"--array must go with a .npz file; got {data!r}.")
    if data in DATASETS:
        info = DATASETS[data]
        return RowSource(data, info.load()[0][0], info.image_shape)
    if not path.exists():
        raise FileNotFoundError(
            f"{data!r} is neither a data set nor a file. Known data sets: {', '.join(sorted(DATASETS))}; "
            "files must end in .npy or .npz."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{data!r} must be a file; got a folder. Name a .npy or .npz file in it.")
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"{data!r} must end in .npy or .npz; got {path.suffix or 'no ending'!r}.")
    try:
        if path.suffix == ".npz":
            # Opened here, because NumPy leaves a file open that turns out to be no archive.
            with path.open("rb") as stream, zipfile.ZipFile(stream), np.load(stream, allow_pickle=False) as archive:
                return RowSource(data, _pick(archive, data, array), None)
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{data!r} must be a NumPy file of plain numbers; it is truncated or foreign ({error})."
        ) from error
    if isinstance(loaded, np.ndarray):
        return RowSource(data, loaded, None)
    with loaded:
        return RowSource(data, _pick(loaded, data, array), None)


def _pick(archive: "np.lib.npyio.NpzFile", data: str, array: str | None) -> np.ndarray:
    """The named array of a `.npz` file, or the only one."""
    names = archive.files
    if array is None and len(names) == 1:
        array = names[0]
    if array not in names:
        got = "several arrays" if array is None else repr(array)
        raise ValueError(f"{data!r} holds {', '.join(sorted(names)) or 'no array'}; got {got}. Name one with --array.")
    try:
        rows = archive[array]
        if not isinstance(rows, np.ndarray):
            raise ValueError("a member that is no NumPy array")
        return rows
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{data!r} must hold plain numbers in {array!r}; it does not ({error}).") from error
