"""NumPy's .npy files, read a block at a time: what is mapped would count as memory of the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ._base import FileStamp, RowReader, aligned_empty, read_bytes

__all__ = ["open_npy"]


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
        rows = aligned_empty((stop - start, self.shape[1]), self.dtype)
        content = rows.reshape(-1).view(np.uint8)
        read_bytes(self._path, self._stamp, self._offset + start * self.row_bytes, content.data)
        return rows


def open_npy(path: str) -> NpyRows | np.ndarray:
    """The rows of a `.npy` file, or the array, mapped, where it is no table that is stored row by row.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be read.
        ValueError, EOFError: if it is no such file of plain values, or a truncated one.
    """
    stamp = FileStamp.of(path)
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    is_table = isinstance(mapped, np.memmap) and mapped.ndim == 2 and mapped.size and mapped.flags.c_contiguous
    if not is_table or mapped.dtype.kind not in "buif":
        return mapped
    return NpyRows(path, stamp, int(mapped.offset), (mapped.shape[0], mapped.shape[1]), mapped.dtype)
