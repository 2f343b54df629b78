"""Files of rows that are written a block at a time, and are there whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from .._files import atomic_stream
from ._plain import PlainWriter
from ._tables import require_pyarrow

__all__ = [
    "RowWriter",
    "checked_writer",
    "npy_header",
    "open_writer",
    "row_writer",
    "table_shape",
]

_GROUP_BYTES = 1 << 26  # of the rows of a row group


class RowWriter(Protocol):
    """What `open_writer` gives."""

    def write(self, rows: np.ndarray) -> None:
        """Write some rows after those before.

        Args:
            rows: of shape (n, n_columns), or (n,) where the file is 1-d.

        Raises:
            OSError: if the disk is full.
            RuntimeError: if they have another shape or are more than were announced.
        """
        ...


@contextmanager
def open_writer(
    path: Path, n_rows: int, n_columns: int, dtype: np.dtype, names: Sequence[str] | None = None
) -> Iterator[RowWriter]:
    """Write rows to a file, under a temporary name until the last one is on the disk.

    Args:
        path: the file to make or replace, .npy or .parquet; its folder must exist.
        n_rows: how many rows will be written, >= 0.
        n_columns: how many columns they have; 0 for numbers instead of rows.
        dtype: of the numbers in the file.
        names: of the columns of a .parquet file, one each, of which the first is that of numbers; None: 0, 1 and so on.

    Returns:
        The writer, for the `with` block; if an exception ends the block, `path` is as it was.

    Raises:
        ImportError: if pyarrow is not installed, for .parquet.
        OSError: if the folder cannot be written or the disk is full.
        RuntimeError: if other rows were written than announced.
        ValueError: if the path has another ending.
    """
    if path.suffix not in _KINDS:
        raise ValueError(f"{str(path)!r} must end in .npy or .parquet; got {path.suffix or 'no ending'!r}.")
    if path.suffix == ".parquet":
        require_pyarrow(str(path))
    with (
        atomic_stream(path) as stream,
        row_writer(stream, path, table_shape(n_rows, n_columns), np.dtype(dtype), names) as writer,
    ):
        yield writer


@contextmanager
def row_writer(
    stream: BinaryIO, path: Path, shape: tuple[int, ...], dtype: np.dtype, names: Sequence[str] | None = None
) -> Iterator[RowWriter]:
    """Write rows to a stream, as the file that `path` names; the rest is as for `open_writer`."""
    with checked_writer(str(path), shape, _KINDS[path.suffix](stream, shape, dtype, names)) as writer:
        yield writer


@contextmanager
def checked_writer(name: str, shape: tuple[int, ...], writer: PlainWriter | _ParquetWriter) -> Iterator[RowWriter]:
    """Count what a writer is given, and end it.

    Raises:
        RuntimeError: if other rows were written than make the shape.
    """
    checked = _Checked(name, shape, writer)
    try:
        yield checked
        checked.finish()
    finally:
        writer.abandon()


def table_shape(n_rows: int, n_columns: int) -> tuple[int, ...]:
    """The shape of rows of so many columns, of which 0 stand for numbers instead of rows."""
    return (n_rows, n_columns) if n_columns else (n_rows,)


def npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What `numpy.save` writes before the rows."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


class _Checked:
    """A writer that counts what it is given."""

    def __init__(self, name: str, shape: tuple[int, ...], writer: PlainWriter | _ParquetWriter):
        self._name, self._shape, self._writer, self._done = name, shape, writer, 0

    def write(self, rows: np.ndarray) -> None:
        """As for `RowWriter`."""
        if rows.shape[1:] != self._shape[1:] or rows.ndim != len(self._shape):
            raise RuntimeError(f"{self._name!r} must be given rows of shape {self._shape[1:]}; got {rows.shape[1:]}.")
        self._done += len(rows)
        if self._done > self._shape[0]:
            raise self._miscounted()
        self._writer.write(rows)

    def finish(self) -> None:
        """Write what is left, once all rows are there."""
        if self._done != self._shape[0]:
            raise self._miscounted()
        self._writer.finish()

    def _miscounted(self) -> RuntimeError:
        return RuntimeError(f"{self._name!r} must be given {self._shape[0]} rows; got {self._done}.")


class _ParquetWriter:
    """Writes one column each, in row groups of about 64 MiB whatever is written at a time."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, names: Sequence[str] | None):
        import pyarrow as pa
        import pyarrow.parquet as pq

        n_columns, dtype = (*shape, 1)[1], dtype.newbyteorder("=")
        fields = list(names)[:n_columns] if names is not None else [str(number) for number in range(n_columns)]
        self._schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name in fields])
        group = max(1, min(shape[0], _GROUP_BYTES // (n_columns * dtype.itemsize)))
        self._rows, self._filled = np.empty((group, n_columns), dtype), 0
        self._file = pq.ParquetWriter(stream, self._schema)

    def write(self, rows: np.ndarray) -> None:
        rows = rows.reshape(len(rows), self._rows.shape[1])
        while len(rows):
            part = rows[: len(self._rows) - self._filled]
            self._rows[self._filled : self._filled + len(part)] = part
            self._filled, rows = self._filled + len(part), rows[len(part) :]
            if self._filled == len(self._rows):
                self._flush()

    def finish(self) -> None:
        if self._filled:
            self._flush()
        self._file.close()

    def abandon(self) -> None:
        """Close what an exception left open, as pyarrow would do it later, when the stream is closed."""
        with suppress(Exception):
            self._file.close()
        self._file.is_open = False

    def _flush(self) -> None:
        import pyarrow as pa

        columns = np.ascontiguousarray(self._rows[: self._filled].T)
        self._file.write_table(pa.table(list(map(pa.array, columns)), schema=self._schema), self._filled)
        self._filled = 0


def _npy_writer(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, names: Sequence[str] | None) -> PlainWriter:
    stream.write(npy_header(shape, dtype))
    return PlainWriter(stream, dtype)


_KINDS = {".npy": _npy_writer, ".parquet": _ParquetWriter}
