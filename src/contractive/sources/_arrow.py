"""Parquet files by row groups, and Arrow IPC files by record batches."""

from __future__ import annotations

import abc
import json
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .._validation import shortened
from ._base import FileStamp, RowReader
from ._columns import Layout, fill, find_layout
from ._ipc import Batch, decoded_bytes, find_batches
from ._tables import require_pyarrow, watched

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["open_feather", "open_parquet"]

_PARQUET, _FEATHER = "a Parquet file", "an Arrow IPC file"
_MAX_GROUP = 1 << 30  # bytes of the features of a group once they are decoded
_MAX_STORED = 2 * _MAX_GROUP  # bytes that all columns of a group may take, in whatever types they are stored
# What a damaged header may claim: strings of so many bytes, lists of so many entries.
_MAX_STRING, _MAX_ENTRIES = 1 << 26, 1 << 18
_SMALLER_GROUPS = "Write it with smaller row groups (row_group_size=...)."
_SMALLER_BATCHES = "Write it with smaller record batches (chunksize=...)."
_AT_ONCE = 1 << 20  # bytes of a column that are read at a time
# Bytes of rows that are decoded at a time. Of lists fewer, as numbers and levels take 18 times what bytes in them do.
_DECODED, _DECODED_LISTS = 1 << 22, 1 << 20


def open_parquet(path: str, columns: Sequence[str] | None) -> RowReader:
    """The rows of a Parquet file.

    Columns that pandas says are the index are no features unless `columns` names them.

    Args:
        path: the file.
        columns: which columns are features, in that order; None: all, in the file's order. Either all are numbers, or
            the only one holds lists of numbers of one length.

    Returns:
        The rows: of the columns' dtype if all have the same, else float32 or float64 that holds them all. A null in
        a column of floats is NaN. Blocks follow the row groups, the last of which is kept where it is read in parts.

    Raises:
        ImportError: if pyarrow is not installed.
        OSError: if it cannot be read.
        ValueError: if it is damaged, has other columns, no rows, or a row group of more than 1 GiB.
    """
    require_pyarrow(path)
    stamp = FileStamp.of(path)
    with watched(path, stamp) as stream:
        with _parsing(path, _PARQUET):
            file = _parquet_file(stream, buffer_size=_AT_ONCE)
            schema, metadata = file.schema_arrow, file.metadata
            fields = list(zip(schema.names, schema.types, strict=True))
            counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            if min(counts, default=0) < 0:
                raise ValueError("a row group of a negative number of rows")
            if sum(counts) != metadata.num_rows:  # the rows that a damaged count leaves out would be missed by nobody
                raise ValueError(f"row groups of {sum(counts):,} rows in a file of {metadata.num_rows:,}")
        _refuse_empty(path, counts)

        def first_row(name: str) -> pa.ChunkedArray:
            filled = int(np.flatnonzero(counts)[0])
            with _parsing(path, _PARQUET):
                batch = next(file.iter_batches(1, row_groups=[filled], columns=[name], use_threads=False))
                return _validated([batch]).column(name)

        layout = find_layout(path, fields, columns, _index_columns(schema), first_row)
        return _ParquetRows(path, stamp, layout, counts, metadata)


def open_feather(path: str, columns: Sequence[str] | None) -> RowReader:
    """The rows of an Arrow IPC file, also called Feather, compressed or not.

    Args:
        path: the file.
        columns: as for `open_parquet`.

    Returns:
        The rows, as for `open_parquet`; blocks follow the record batches.

    Raises:
        ImportError: if pyarrow is not installed.
        OSError: if it cannot be read.
        ValueError: if it is damaged, has other columns, no rows, or a record batch of more than 1 GiB.
    """
    require_pyarrow(path)
    import pyarrow as pa

    stamp = FileStamp.of(path)
    with watched(path, stamp) as stream:
        with _parsing(path, _FEATHER):
            batches, dictionaries = find_batches(stream)
            stream.seek(0)
            schema = pa.ipc.open_file(stream).schema
            fields = list(zip(schema.names, schema.types, strict=True))
        counts = [batch.n_rows for batch in batches]
        _refuse_empty(path, counts)

        def first_row(name: str) -> pa.ChunkedArray:
            number = next(number for number, count in enumerate(counts) if count)
            return _read_batch(path, stream, batches, dictionaries, number, [schema.get_field_index(name)]).column(name)

        layout = find_layout(path, fields, columns, _index_columns(schema), first_row)
        features = [schema.get_field_index(name) for name in layout.names]
        for number in np.flatnonzero(np.array(counts) == 0).tolist():
            # It is never read again, and a damaged one that only claims to be empty would be missed by nobody.
            _read_batch(path, stream, batches, dictionaries, number, features)
        return _FeatherRows(path, stamp, layout, batches, dictionaries, features)


class _GroupedRows(RowReader):
    """Rows that a file holds in groups, each of which is decoded at one go.

    Args:
        path: the file.
        stamp: of the file before its header was read.
        layout: which columns are features.
        counts: the rows of each group, one at least.
        remedy: how to write smaller groups.
    """

    def __init__(self, path: str, stamp: FileStamp, layout: Layout, counts: Sequence[int], remedy: str):
        self.name, self.dtype, self._stamp, self._layout = path, layout.dtype, stamp, layout
        largest = max(counts) * layout.n_features * layout.dtype.itemsize
        if largest > _MAX_GROUP:
            raise _too_large(path, largest, remedy)
        self._groups = np.flatnonzero(counts)  # those that hold rows
        self._starts = np.concatenate([[0], np.cumsum(np.array(counts)[self._groups])])
        self.shape = int(self._starts[-1]), layout.n_features
        self._kept: tuple[int, np.ndarray] | None = None
        self._lock = threading.Lock()

    @abc.abstractmethod
    def _tables(self, stream: BinaryIO, number: int) -> Iterator[pa.Table]:
        """The columns of a group, some rows after others."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        with watched(self.name, self._stamp) as stream:
            for number in range(int(first), int(last) + 1):
                begin, end = self._starts[number : number + 2]
                low, high = max(start, begin), min(stop, end)
                wanted = rows[low - start : high - start]
                if high - low == end - begin:
                    self._decode(stream, number, wanted)
                else:
                    wanted[:] = self._whole(stream, number)[low - begin : high - begin]
        return rows

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """As for `RowReader`: small neighboring groups together, and each larger one as it is."""
        bounds = [0]
        for begin, end in pairwise(self._starts.tolist()):
            if begin > bounds[-1] and end - bounds[-1] > n_rows:
                bounds.append(begin)
        return np.array([*bounds, len(self)], np.int64)

    def _whole(self, stream: BinaryIO, number: int) -> np.ndarray:
        """All rows of a group, decoded once while its parts are read one after the other."""
        with self._lock:
            if self._kept is None or self._kept[0] != number:
                self._kept = None  # two groups are never in memory
                rows = np.empty((self._starts[number + 1] - self._starts[number], self.shape[1]), self.dtype)
                self._decode(stream, number, rows)
                self._kept = number, rows
            return self._kept[1]

    def _decode(self, stream: BinaryIO, number: int, rows: np.ndarray) -> None:
        done, place = 0, int(self._starts[number])
        for table in self._tables(stream, int(self._groups[number])):
            part = rows[done : done + table.num_rows]
            fill(part, table, self._layout, self.name, place + done)
            done += len(part)


class _ParquetRows(_GroupedRows):
    """The rows of a Parquet file."""

    def __init__(self, path: str, stamp: FileStamp, layout: Layout, counts: Sequence[int], metadata: Any):
        self._metadata = metadata
        super().__init__(path, stamp, layout, counts, _SMALLER_GROUPS)

    def _tables(self, stream: BinaryIO, number: int) -> Iterator[pa.Table]:
        group = self._metadata.row_group(number)
        missing = group.num_rows
        at_once = min(missing, max(1, (_DECODED_LISTS if self._layout.length else _DECODED) // self.row_bytes))
        # What lists hold is not known from the number of rows. No more is asked of `group`: pyarrow 26 ends the
        # process where the metadata of a column is damaged, unless it meets it while it reads.
        if self._layout.length and group.total_byte_size > _MAX_STORED:
            raise _too_large(self.name, group.total_byte_size, _SMALLER_GROUPS)
        with _parsing(self.name, _PARQUET):
            file = _parquet_file(stream, metadata=self._metadata, buffer_size=_AT_ONCE)
            # Not `read_row_groups`, which decodes as many values as the pages claim.
            # One column has nothing to share out, and each thread that has allocated keeps some memory.
            has_columns = not self._layout.length
            parts = file.iter_batches(
                at_once, row_groups=[number], columns=list(self._layout.names), use_threads=has_columns
            )
        while missing > 0:
            with _parsing(self.name, _PARQUET):
                table = _validated([next(parts)])
            missing -= table.num_rows
            yield table


class _FeatherRows(_GroupedRows):
    """The rows of an Arrow IPC file."""

    def __init__(
        self,
        path: str,
        stamp: FileStamp,
        layout: Layout,
        batches: Sequence[Batch],
        dictionaries: Sequence[Batch],
        fields: Sequence[int],
    ):
        self._batches, self._dictionaries, self._fields = batches, dictionaries, fields
        super().__init__(path, stamp, layout, [batch.n_rows for batch in batches], _SMALLER_BATCHES)

    def _tables(self, stream: BinaryIO, number: int) -> Iterator[pa.Table]:
        yield _read_batch(self.name, stream, self._batches, self._dictionaries, number, self._fields)


def _parquet_file(stream: BinaryIO, **options: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        stream,
        page_checksum_verification=True,
        thrift_string_size_limit=_MAX_STRING,
        thrift_container_size_limit=_MAX_ENTRIES,
        **options,
    )


def _read_batch(
    path: str,
    stream: BinaryIO,
    batches: Sequence[Batch],
    dictionaries: Sequence[Batch],
    number: int,
    fields: Sequence[int],
) -> pa.Table:
    """Some columns of a record batch, once what it decodes to is known to be within bounds.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged or too large.
    """
    import pyarrow as pa

    with _parsing(path, _FEATHER):
        # Dictionaries are decoded with the first batch, whether a feature needs them or not.
        stored = max(max(batch.body, decoded_bytes(stream, batch)) for batch in (batches[number], *dictionaries))
    if stored > _MAX_STORED:
        raise _too_large(path, stored, _SMALLER_BATCHES)
    with _parsing(path, _FEATHER):
        stream.seek(0)
        options = pa.ipc.IpcReadOptions(included_fields=list(fields))
        return _validated([pa.ipc.open_file(stream, options=options).get_batch(number)])


def _validated(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """A table that can be trusted to point to nothing outside its memory."""
    import pyarrow as pa

    table = pa.Table.from_batches(batches)
    table.validate(full=True)
    return table


def _refuse_empty(path: str, counts: Sequence[int]) -> None:
    if not any(counts):
        raise ValueError(f"{path!r} must hold rows; it holds none.")


def _too_large(path: str, n_bytes: int, remedy: str) -> ValueError:
    return ValueError(
        f"{path!r} must hold no more than {_MAX_GROUP >> 30} GiB of rows in one piece; "
        f"it holds {n_bytes / (1 << 30):,.1f} GiB. {remedy}"
    )


def _index_columns(schema: pa.Schema) -> frozenset[str]:
    """The columns in which pandas keeps an index: they number the rows."""
    try:
        described = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return frozenset(name for name in described if isinstance(name, str))
    except (KeyError, TypeError, ValueError):  # not of pandas, or damaged
        return frozenset()


@contextmanager
def _parsing(path: str, kind: str) -> Iterator[None]:
    """Say in one line what pyarrow says of a damaged file in several.

    Raises:
        OSError: the system's, with the file's name.
        ValueError: for everything else.
    """
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or path
            raise
        raise _damaged(path, kind, error) from error
    except (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, StopIteration, struct.error) as error:
        raise _damaged(path, kind, error) from error


def _damaged(path: str, kind: str, error: Exception) -> ValueError:
    reason = shortened(error, 200) or type(error).__name__
    return ValueError(f"{path!r} must be {kind}; it is truncated, altered or foreign ({reason.rstrip('.')}).")
