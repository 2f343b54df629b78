"""IDX files, the format of MNIST, read a block at a time; gzip files are decompressed once, into a temporary file."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from .._validation import shown
from ._base import FileStamp, RowReader, read_bytes
from ._spool import MOST_EXPANSION, SpooledRows, native, spool

__all__ = ["IdxRows", "open_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_COLORS = 3


class _Header(NamedTuple):
    """What an IDX file says of itself: how its values are stored, (n_rows, n_features), and its own length in bytes."""

    stored: np.dtype
    shape: tuple[int, int]
    image_shape: tuple[int, ...] | None
    n_bytes: int

    @property
    def values_bytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.stored.itemsize


class IdxRows(RowReader):
    """The rows of an IDX file that is not compressed.

    Args:
        path: the file.
        header: what it says of itself.
        stamp: of the file before its header was read.
    """

    def __init__(self, path: str, header: _Header, stamp: FileStamp):
        self.name, self.shape, self.image_shape = path, header.shape, header.image_shape
        self.dtype = header.stored.newbyteorder("=")
        self._header, self._stamp = header, stamp

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        rows = np.empty((stop - start, self.shape[1]), self._header.stored)
        offset = self._header.n_bytes + start * self.row_bytes
        read_bytes(self.name, self._stamp, offset, rows.data.cast("B"))
        return native(rows)


def open_idx(path: str) -> IdxRows | SpooledRows:
    """Open an IDX file, compressed by gzip or not, whatever its name.

    The first dimension counts the rows; what the others hold is one row. Their sizes are kept as `image_shape` where
    they are height and width, or these and three colors.

    Args:
        path: the file.

    Returns:
        Its rows, in the machine's byte order.

    Raises:
        OSError: if it cannot be read, or if the disk has no room for what it decompresses to.
        ValueError: if it is no IDX file of rows, or is truncated, too long or damaged.
    """
    with Path(path).open("rb") as stream:
        stamp = FileStamp.of(stream.fileno())
        is_compressed = stream.read(len(_GZIP)) == _GZIP
        stream.seek(0)
        if is_compressed:
            return _decompressed(path, stream, stamp.size)
        header = _header(path, stream)
    expected = header.n_bytes + header.values_bytes
    if stamp.size != expected:
        raise ValueError(
            f"{path!r} must have {_count(expected)} bytes, as its header says; got {stamp.size:,}. "
            "It is truncated or no IDX file."
        )
    return IdxRows(path, header, stamp)


def _decompressed(path: str, stream: IO[bytes], size: int) -> SpooledRows:
    """The rows of a gzip file of so many bytes."""
    with gzip.GzipFile(fileobj=stream) as unzipped:
        values = cast(IO[bytes], unzipped)
        try:
            header = _header(path, values)
            expected = header.n_bytes + header.values_bytes
            if expected > MOST_EXPANSION * size:
                raise ValueError(
                    f"{path!r} must have {_count(expected)} bytes when decompressed, as its header says; "
                    f"got a gzip file of {size:,}, which cannot hold as many."
                )
            spooled = spool(path, values, header.values_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path!r} must be a whole gzip file; it is truncated or damaged ({error}).") from error
    return SpooledRows(path, spooled, header.shape, header.stored, header.image_shape)


def _count(number: int) -> str:
    """A number in a message: 255 dimensions make one of two thousand digits."""
    return f"{number:,}" if number < 1 << 64 else "2^64 or more"


def _header(path: str, stream: IO[bytes]) -> _Header:
    """Read the header of a file of two dimensions or more."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(f"{path!r} must be an IDX file; it is truncated or foreign (it starts with {magic!r}).")
    n_dimensions = magic[3]
    content = stream.read(4 * n_dimensions)
    if len(content) < 4 * n_dimensions:
        raise ValueError(f"{path!r} must be an IDX file; it is truncated or foreign (its header is cut off).")
    sizes = struct.unpack(f">{n_dimensions}I", content)
    if n_dimensions < 2:
        raise ValueError(
            f"{path!r} must have rows of at least two dimensions together; "
            f"it holds labels or one number a row, of shape {sizes}."
        )
    n_features = math.prod(sizes[1:])
    if not sizes[0] or not n_features:
        raise ValueError(f"{path!r} must have at least one row and one feature; got shape {shown(sizes)}.")
    is_picture = len(sizes) == 3 or (len(sizes) == 4 and sizes[3] == _COLORS)
    return _Header(
        np.dtype(_DTYPES[magic[2]]), (sizes[0], n_features), sizes[1:] if is_picture else None, 4 + len(content)
    )
