"""Rows by name or by path: a data set, one file, many that go on from each other, or a folder of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._validation import check_shape
from ..datasets import DATASETS
from ._arrow import open_feather, open_parquet
from ._base import ArrayRows, RowReader
from ._compose import Shards
from ._csv import open_csv
from ._idx import open_idx
from ._images import is_picture, open_images, pictures_in
from ._npy import open_npy
from ._npz import open_npz
from ._tables import listed

__all__ = ["RowSource", "open_array", "open_rows", "pick"]

_TABLES = {
    ".parquet": open_parquet,
    ".pq": open_parquet,
    ".arrow": open_feather,
    ".feather": open_feather,
    ".ipc": open_feather,
}
_TEXTS = (".csv", ".tsv")
_ENDINGS = ".npy, .npz, .csv, .tsv, .parquet, .arrow, .feather, .idx[.gz], -ubyte[.gz] or as pictures do"
_IDX = re.compile(r"(\.idx|-ubyte)(\.gz)?$")


class RowSource(NamedTuple):
    """Rows with what is known about them.

    Args:
        name: the data set's name or the file's path.
        rows: an array, of shape (n_samples, n_features) when it is what it should be, or a `RowReader`; values are not
            yet checked.
        image_shape: height and width of a picture in pixels, and 3 if it has colours, or None when the rows are not
            known to be pictures.
    """

    name: str
    rows: np.ndarray | RowReader
    image_shape: tuple[int, ...] | None

    @property
    def n_features(self) -> int:
        """Values of a row; 0 where there are no rows."""
        return self.rows.shape[-1] if self.rows.ndim else 0


def open_rows(
    data: str, *, array: str | None = None, columns: Sequence[str] | None = None, lenient: bool = False
) -> RowSource:
    """Open a data set: its training rows by name, or the rows of files by path.

    Args:
        data: a key of `DATASETS`; the path of a file: `.npy`, `.npz`, IDX (compressed or not), `.csv`, `.tsv`,
            `.parquet`, `.arrow`, `.feather` or a picture; a pattern such as `"part-*.parquet"`, whose files go on from
            each other in the order of their names; or a folder of such files, of one kind, or of pictures.
        array: which array of a `.npz` file; not needed when it holds one.
        columns: which columns of tables, in this order; None for all.
        lenient: whether what is no number in a text counts as NaN, to be left out by `without_bad_rows`.

    Returns:
        The rows: of a data set or a small `.npz` file as an array, of other files as a `RowReader`, none of which are
        read yet.

    Raises:
        OSError: if a path cannot be read.
        ValueError: if a file is not of its kind, holds no plain numbers or none of what is named, or files do not go
            together.
        ImportError: if the extra that its kind needs is not installed.

    Example:
        >>> open_rows("digits").rows.shape
        (1297, 64)
    """
    if array is not None and Path(data).suffix != ".npz":
        raise ValueError(f"--array must go with a .npz file; got {data!r}.")
    if data in DATASETS:
        _check_columns(data, [data], columns)
        info = DATASETS[data]
        return RowSource(data, info.load()[0][0], info.image_shape)
    rows = _open(data, array, columns, lenient)
    return RowSource(data, rows, rows.image_shape if isinstance(rows, RowReader) else None)


def open_array(data: str, choose: Callable[[list[str]], str], kinds: str = "numbers") -> np.ndarray | RowReader:
    """The array of a NumPy file.

    Args:
        data: the path.
        choose: says which array of a `.npz` file.
        kinds: what the messages ask for.

    Raises:
        OSError: if the path cannot be read.
        ValueError: if the file is no NumPy file of plain values.
    """
    if Path(data).suffix == ".npz":
        return open_npz(data, choose, kinds)
    try:
        return open_npy(data)
    except ValueError as error:
        raise ValueError(
            f"{data!r} must be a NumPy file of plain {kinds}; it is truncated or foreign ({error})."
        ) from error


def pick(data: str, array: str | None, option: str, names: list[str]) -> str:
    """The array that was named, or the only one.

    Raises:
        ValueError: if there is no such array, or none was named among several.
    """
    if array is None and len(names) == 1:
        return names[0]
    if array is None or array not in names:
        got = "several arrays" if array is None else repr(array)
        raise ValueError(
            f"{data!r} holds {listed(sorted(names)) if names else 'no array'}; got {got}. Name one with {option}."
        )
    return array


def _open(data: str, array: str | None, columns: Sequence[str] | None, lenient: bool) -> np.ndarray | RowReader:
    """What a path, a pattern or a folder holds."""
    path = Path(data)
    if data and path.is_dir():
        files = _in_folder(path)
    elif path.exists() or not glob.has_magic(data):
        return _open_file(data, array, columns, lenient)
    else:
        files = sorted(glob.glob(data))
        if not files:
            raise FileNotFoundError(f"{data!r} matches no file.")
    _check_columns(data, files, columns)
    if all(map(is_picture, files)):
        return open_images(files, data)
    readers = [_open_file(file, None, columns, lenient) for file in files]
    return Shards(data, [_as_shard(file, reader) for file, reader in zip(files, readers, strict=True)])


def _in_folder(path: Path) -> list[str]:
    """The files of a folder that go on from each other, or all of its pictures.

    Raises:
        ValueError: if it holds none, or of several kinds.
    """
    found = sorted(str(file) for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    kinds = {kind: [file for file in found if _kind(file) == kind] for kind in map(_kind, found) if kind}
    pictures = pictures_in(path)
    kinds |= {"pictures": pictures} if pictures else {}
    if len(kinds) != 1:
        got = f"{', '.join(sorted(kinds))}; name the files with a pattern" if kinds else "none; name another"
        raise ValueError(f"{str(path)!r} must hold files of one kind, which end in {_ENDINGS}; got {got}.")
    return next(iter(kinds.values()))


def _kind(file: str) -> str | None:
    """What tells kinds of data files apart; None for what is none, and for pictures."""
    if _IDX.search(file):
        return "idx"
    suffix = Path(file).suffix
    return suffix if suffix in (".npy", ".npz", *_TABLES, *_TEXTS) else None


def _check_columns(data: str, files: Sequence[str], columns: Sequence[str] | None) -> None:
    """Refuse columns of what has none.

    Raises:
        ValueError: if some are named and not all of the files are tables.
    """
    if columns is not None and not all(Path(file).suffix in (*_TABLES, *_TEXTS) for file in files):
        raise ValueError(f"--columns must go with tables; got {data!r}.")


def _open_file(data: str, array: str | None, columns: Sequence[str] | None, lenient: bool) -> np.ndarray | RowReader:
    """What one file holds, by its ending."""
    path = Path(data)
    if not data or not path.exists():
        raise FileNotFoundError(
            f"{data!r} is neither a data set nor a file. Known data sets: {', '.join(sorted(DATASETS))}; "
            f"files must end in {_ENDINGS}."
        )
    _check_columns(data, [data], columns)
    if path.suffix in _TABLES:
        return _TABLES[path.suffix](data, columns)
    if path.suffix in _TEXTS:
        return open_csv(data, columns, lenient=lenient)
    if _IDX.search(data):
        return open_idx(data)
    if is_picture(data):
        return open_images([data], data)
    if path.suffix in (".npy", ".npz"):
        return open_array(data, partial(pick, data, array, "--array"))
    raise ValueError(f"{data!r} must end in {_ENDINGS}; got {path.suffix or 'no ending'!r}.")


def _as_shard(file: str, rows: np.ndarray | RowReader) -> RowReader:
    """The rows of one of several files.

    Raises:
        ValueError: if they are no table, or none.
    """
    check_shape(rows.shape, name=file)
    return rows if isinstance(rows, RowReader) else ArrayRows(file, rows)
