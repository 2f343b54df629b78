"""NumPy's .npy files, read a block at a time: what is mapped would count as memory of the process."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from .._validation import shortened
from ._base import FileStamp, RowReader, aligned_empty, read_bytes

__all__ = ["NpyHeader", "open_npy", "read_header"]

_MOST_HEADER = 12 + 10_000  # bytes: the longest that NumPy believes, and the magic before it
_MOST_SIZE = np.iinfo(np.intp).max  # of a dimension
_PARSERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpyHeader(NamedTuple):
    """What a file says of itself, and its own length in bytes."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    n_bytes: int

    @property
    def values_bytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpyRows(RowReader):
    """The rows of an array that lies in a file row by row.

    Args:
        path: the file.
        stamp: of the file before its header was read.
        offset: where the first row begins.
        shape: of the array.
        dtype: of its values.
    """

    def __init__(self, path: str, stamp: FileStamp, offset: int, shape: tuple[int, int], dtype: np.dtype):
        self.name, self.shape, self.dtype = path, shape, dtype
        self._path, self._offset, self._stamp = Path(path), offset, stamp

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        return self.read_into(aligned_empty((stop - start, self.shape[1]), self.dtype), start)

    def read_into(self, buffer: np.ndarray, start: int) -> np.ndarray:
        """As for `RowReader`."""
        content = buffer.reshape(-1).view(np.uint8)
        read_bytes(self._path, self._stamp, self._offset + start * self.row_bytes, content.data)
        return buffer


def open_npy(path: str) -> NpyRows | np.ndarray:
    """The rows of a `.npy` file, or the array, mapped, where it is no table that is stored row by row.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no such file of plain values, or a truncated one.
    """
    with Path(path).open("rb") as stream:
        stamp = FileStamp.of(stream.fileno())
        header = read_header(stream)
    if (got := stamp.size - header.n_bytes) < header.values_bytes:
        raise ValueError(f"shape {header.shape} asks for {header.values_bytes:,} bytes; there are {got:,}")
    is_table = len(header.shape) == 2 and header.values_bytes and not header.is_fortran
    if is_table and header.dtype.kind in "buif":
        return NpyRows(path, stamp, header.n_bytes, (header.shape[0], header.shape[1]), header.dtype)
    if not header.values_bytes:  # there is nothing to map
        return np.empty(header.shape, header.dtype)
    order = "F" if header.is_fortran else "C"
    return np.memmap(path, header.dtype, "r", header.n_bytes, header.shape, order)


def read_header(stream: IO[bytes]) -> NpyHeader:
    """Read the header of an array of anything but objects.

    Args:
        stream: gives the file's first bytes; some more than the header's are taken.

    Raises:
        ValueError: if there is none, or one that asks for no plain values; the message names no file.
    """
    # No more than this is taken, as a header may claim four billion bytes for itself.
    content = io.BytesIO(stream.read(_MOST_HEADER))
    if not content.getvalue().startswith(npy.MAGIC_PREFIX):
        raise ValueError("it is no NumPy array")
    version = npy.read_magic(content)
    if version not in _PARSERS:
        raise ValueError(f"version {version[0]}.{version[1]} of the format, which plain values do not need")
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd numbers, and of files by Python 2
            shape, is_fortran, dtype = _PARSERS[version](content)
    except Exception as error:  # the parser of literals runs out of stack and memory, dtypes raise whatever they meet
        raise ValueError(shortened(error, 200) or type(error).__name__) from error
    is_plain = not dtype.hasobject and not dtype.subdtype and dtype.itemsize > 0
    if not is_plain or not all(0 <= size <= _MOST_SIZE for size in shape):
        raise ValueError(f"dtype {dtype} of shape {shape}; object arrays and the like are not plain")
    return NpyHeader(shape, is_fortran, dtype, content.tell())
