"""One file of rows that several processes write, each its own rows of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .._files import bring_to_disk
from ._plain import PlainWriter
from ._tables import require_pyarrow
from ._writers import RowWriter, checked_writer, npy_header, row_writer, table_shape

__all__ = ["PartedFile"]

_JOINED_BYTES = 1 << 23  # of rows that are taken over at a time


class PartedFile:
    """A .npy or .parquet file that processes which share a disk make together.

    All write into one hidden file of plain rows, as `numpy.save` lays them out, which one of them begins and in the end
    publishes: by its name as .npy, written once more as .parquet. Either has the bytes of what `open_writer` writes.

    Args:
        path: the file to make or replace; its folder must exist.
        n_rows: as for `open_writer`.
        n_columns: likewise.
        dtype: likewise.
        names: likewise.

    Raises:
        ImportError: if pyarrow is not installed, for .parquet.
    """

    def __init__(self, path: Path, n_rows: int, n_columns: int, dtype: np.dtype, names: Sequence[str] | None = None):
        if path.suffix == ".parquet":
            require_pyarrow(str(path))
        self._path, self._shape, self._dtype = path, table_shape(n_rows, n_columns), np.dtype(dtype)
        self._names, self._header = names, npy_header(self._shape, self._dtype)

    @property
    def _row_bytes(self) -> int:
        return self._dtype.itemsize * (*self._shape, 1)[1]

    def begin(self, hidden: Path) -> None:
        """Make the hidden file.

        Raises:
            OSError: if the folder cannot be written.
        """
        with hidden.open("xb") as stream:
            stream.write(self._header)
            # At full length from the start: where a file grows, a network's file system may fill gaps with zeros late.
            stream.truncate(len(self._header) + self._shape[0] * self._row_bytes)
            bring_to_disk(stream)

    @contextmanager
    def open(self, hidden: Path, start: int, stop: int) -> Iterator[RowWriter]:
        """Write the rows from `start` up to `stop`; they are on the disk when the `with` block has ended.

        Raises:
            OSError: if the hidden file is not there or the disk is full.
            RuntimeError: if other rows were written than announced.
        """

        def as_it_is(name: str, flags: int) -> int:
            return os.open(name, os.O_WRONLY)  # neither emptied nor read, as pages of a network's disk would be, whole

        shape = (stop - start, *self._shape[1:])
        with open(hidden, "wb", opener=as_it_is) as stream:
            stream.seek(len(self._header) + start * self._row_bytes)
            with checked_writer(str(self._path), shape, PlainWriter(stream, self._dtype)) as writer:
                yield writer
            bring_to_disk(stream)

    def publish(self, hidden: Path, other: Path) -> None:
        """Give the file its name, once all rows are in it.

        Args:
            hidden: the file of rows.
            other: where .parquet is written before it has its name.

        Raises:
            OSError: if the disk is full.
        """
        if self._path.suffix == ".npy":
            hidden.replace(self._path)
            return
        n_rows = max(1, _JOINED_BYTES // self._row_bytes)
        with hidden.open("rb") as stream, other.open("xb") as joined:
            stream.seek(len(self._header))
            with row_writer(joined, self._path, self._shape, self._dtype, self._names) as writer:
                for start in range(0, self._shape[0], n_rows):
                    shape = (min(n_rows, self._shape[0] - start), *self._shape[1:])
                    writer.write(np.fromfile(stream, self._dtype, int(np.prod(shape))).reshape(shape))
            bring_to_disk(joined)
        other.replace(self._path)
