"""The one interface of rows that are read a block at a time, and reading files that must not change meanwhile."""

from __future__ import annotations

import abc
import math
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["ArrayRows", "FileStamp", "RowReader", "aligned_empty", "paged_empty", "read_bytes"]

_ALIGNMENT = 64  # bytes


class RowReader(abc.ABC):
    """Rows that are read a block at a time, with the shape and the slices of an array.

    A subclass sets the attributes and reads; nothing of the data need be in memory before. Reading is safe from
    several threads, as rows are read ahead while others are trained on.

    Attributes:
        name: what messages call it: the path.
        shape: (n_rows, n_features), both >= 1.
        dtype: of what is read, a plain number's.
        image_shape: height and width of the picture that a row is, in pixels, and 3 if it has colours; or None.
        read_ahead: windows that are read before they are needed when it is trained on, >= 1; the bits do not depend
            on it.

    Example:
        >>> import numpy as np
        >>> class Squares(RowReader):
        ...     name, shape, dtype = "squares", (1000, 1), np.dtype("float64")
        ...     def read(self, start, stop):
        ...         return np.arange(start, stop, dtype=float)[:, None] ** 2
        >>> rows = Squares()
        >>> rows[2:4].tolist(), rows[[5, 3]].tolist(), len(rows)
        ([[4.0], [9.0]], [[25.0], [9.0]], 1000)
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype
    ndim = 2
    image_shape: tuple[int, ...] | None = None
    read_ahead: int = 1

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from `start` up to `stop`, 0 <= start < stop <= n_rows, of shape (rows, features).

        What is returned is not written to, and is C-contiguous.

        Raises:
            OSError: if they cannot be read.
            ValueError: if the file has changed since it was opened, or holds there what is no row; names it.
        """

    def read_into(self, buffer: np.ndarray, start: int) -> np.ndarray:
        """As many rows from `start` on as a buffer has: in it where the reader can do so, else as `read` gives them.

        Args:
            buffer: of shape (rows, features), 1 <= rows <= n_rows - start, C-contiguous and of the reader's dtype.
            start: the first row.

        Raises:
            OSError, ValueError: as for `read`.
        """
        return self.read(start, start + len(buffer))

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """Where blocks of about `n_rows` rows that are best read at one go begin and end.

        Returns:
            Increasing whole numbers from 0 to the number of rows, one more than there are blocks.
        """
        return np.append(np.arange(0, len(self), max(1, n_rows)), len(self))

    def place(self, row: int) -> str:
        """Where a row is, in words for a message."""
        return f"row {row}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row as it is read."""
        return self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | int | list[int] | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self.read(start, stop) if start < stop else np.empty((0, self.shape[1]), self.dtype)
            return self[np.arange(start, stop, step)]
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        if not numbers.ndim:
            return self[numbers[None]][0]
        return self._take(np.where(numbers < 0, numbers + len(self), numbers).astype(np.int64))

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        whole = self.read(0, len(self))
        return whole if dtype is None else whole.astype(dtype, copy=False)  # type: ignore[call-overload]

    def _take(self, numbers: np.ndarray) -> np.ndarray:
        """Some rows by number, neighbours read at one go."""
        if numbers.size and not (0 <= numbers.min() and numbers.max() < len(self)):
            raise IndexError(f"row numbers must lie within 0 and {len(self) - 1} in {self.name!r}.")
        taken = np.empty((len(numbers), self.shape[1]), self.dtype)
        order = np.argsort(numbers, kind="stable")
        runs = np.split(order, np.flatnonzero(np.diff(numbers[order]) > 1) + 1) if len(order) else []
        for run in runs:
            first = int(numbers[run[0]])
            taken[run] = self.read(first, int(numbers[run[-1]]) + 1)[numbers[run] - first]
        return taken


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that is not filled yet, at an address from which JAX takes it over without a copy on a CPU."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    content = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    start = -content.ctypes.data % _ALIGNMENT
    return content[start : start + n_bytes].view(dtype).reshape(shape)


def paged_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that is not filled yet, in pages of its own, as few and as large as the system gives."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    pages = mmap.mmap(-1, max(1, n_bytes))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # of a kernel that has none
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8, n_bytes).view(dtype).reshape(shape)


class ArrayRows(RowReader):
    """An array in memory, or mapped, among readers.

    Args:
        name: what messages call it.
        array: of shape (n_rows, n_features), both >= 1.
        place: where a row is, in words; None for its number.
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype

    def __init__(self, name: str, array: np.ndarray, place: Callable[[int], str] | None = None):
        self.name, self.shape, self.dtype = name, (array.shape[0], array.shape[1]), array.dtype
        self._array, self._place = array, place

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        return np.ascontiguousarray(self._array[start:stop])

    def place(self, row: int) -> str:
        """As for `RowReader`."""
        return super().place(row) if self._place is None else self._place(row)


class FileStamp(NamedTuple):
    """What tells that a file is still the one that was opened: its size, its time and its number on the disk."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, path: str | Path | int) -> FileStamp:
        """The stamp of a file by path or descriptor.

        Raises:
            OSError: if it is not there.
        """
        found = os.stat(path)
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)

    def check(self, name: str, path: str | Path | int) -> None:
        """Refuse a file that has changed.

        Raises:
            OSError: if it is gone.
            ValueError: if it was written to, or another file has its name.
        """
        if FileStamp.of(path) != self:
            raise ValueError(f"{name!r} must not change while it is read; it did. Start again when it is whole.")


def read_bytes(path: str | Path, stamp: FileStamp, offset: int, buffer: memoryview) -> None:
    """Fill a buffer from a file at an offset, once the file is known to be the one that was opened.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it has changed, or ends before the buffer is full.
    """
    with Path(path).open("rb", buffering=0) as stream:
        stamp.check(str(path), stream.fileno())
        stream.seek(offset)
        done = 0
        while done < len(buffer):
            count = stream.readinto(buffer[done:])
            if not count:
                raise ValueError(
                    f"{str(path)!r} must have {offset + len(buffer)} bytes; it ends after {offset + done}."
                )
            done += count
