"""Rows of compressed files: decompressed once, no further than was declared, into a file without a name."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import numpy as np

from ._base import RowReader

__all__ = ["MOST_EXPANSION", "SpooledRows", "exactly", "native", "spool"]

# DEFLATE says no more than 258 bytes in two bits (RFC 1951, 3.2.5): a header that claims more is no honest one.
MOST_EXPANSION = 1032
_CHUNK = 1 << 20


class SpooledRows(RowReader):
    """The rows of a temporary file, which no other process can change.

    Args:
        name: what messages call them: the path of what was decompressed.
        spooled: the file, which holds them one after the other and nothing else; closed when nobody holds the
            reader any more.
        shape: (n_rows, n_features), both >= 1.
        stored: the dtype in the file, of either byte order; rows are given in the machine's.
        image_shape: height and width of the picture that a row is, in pixels, where that is known.
    """

    def __init__(
        self,
        name: str,
        spooled: IO[bytes],
        shape: tuple[int, int],
        stored: np.dtype,
        image_shape: tuple[int, ...] | None = None,
    ):
        self.name, self.shape, self.dtype, self.image_shape = name, shape, stored.newbyteorder("="), image_shape
        self._spooled, self._stored = spooled, stored
        weakref.finalize(self, spooled.close)

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        rows = np.empty((stop - start, self.shape[1]), self._stored)
        buffer, begin, done = rows.data.cast("B"), start * self.row_bytes, 0
        while done < len(buffer):
            # At a position of its own: threads would move a common one under each other's feet.
            count = os.preadv(self._spooled.fileno(), [buffer[done:]], begin + done)
            if not count:
                raise OSError(f"the temporary file of {self.name!r} must hold {begin + len(buffer)} bytes; it was cut.")
            done += count
        return native(rows)


def native(rows: np.ndarray) -> np.ndarray:
    """An array of one's own in the machine's byte order, turned in place.

    Example:
        >>> native(np.array([1, 256], ">i2")).tolist()
        [1, 256]
    """
    return rows if rows.dtype.isnative else rows.byteswap(inplace=True).view(rows.dtype.newbyteorder("="))


def spool(name: str, stream: IO[bytes], n_bytes: int) -> IO[bytes]:
    """Decompress a stream into a temporary file, a bounded part at a time.

    Args:
        name: what messages call the stream.
        stream: gives the decompressed bytes.
        n_bytes: how many it must hold.

    Returns:
        The file, which vanishes when it is closed.

    Raises:
        OSError: if there is no room for them; names the folder, which is `$TMPDIR` where that is set.
        EOFError: if the stream holds more or fewer; and whatever else the stream raises.
    """
    folder = tempfile.gettempdir()
    # Unbuffered, as a buffer would meet a full disk once more when the file is closed.
    spooled: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    try:
        for chunk in exactly(stream, n_bytes):
            try:
                _write(spooled, chunk)
            except OSError as error:
                need = f"for the {n_bytes:,} bytes in {name!r}; set TMPDIR to a folder with more room"
                raise OSError(error.errno, f"{error.strerror} {need}", folder) from error
    except BaseException:
        spooled.close()
        raise
    return spooled


def _write(file: IO[bytes], chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def exactly(stream: IO[bytes], n_bytes: int) -> Iterator[bytes]:
    """All of a stream that must hold so many bytes, a bounded part at a time, up to and including its checksum.

    Args:
        stream: gives the decompressed bytes.
        n_bytes: how many it must hold; no more than one beyond them is read.

    Yields:
        The bytes in order.

    Raises:
        EOFError: if it holds more or fewer; the message names no file.
    """
    left = n_bytes
    while left:
        chunk = stream.read(min(_CHUNK, left))
        if not chunk:
            raise EOFError(f"{n_bytes - left:,} of the {n_bytes:,} bytes of values that the header says")
        left -= len(chunk)
        yield chunk
    # The end has to be met, as checksums stand behind it.
    if stream.read(1):
        raise EOFError(f"more than the {n_bytes:,} bytes of values that the header says")
