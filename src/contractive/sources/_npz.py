"""Arrays of .npz archives: in memory where they are small, else rows that are decompressed once to a temporary file."""

from __future__ import annotations

import errno
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import numpy as np

from .._validation import shortened
from ._npy import NpyHeader, read_header
from ._spool import MOST_EXPANSION, SpooledRows, exactly, spool

__all__ = ["open_npz"]

_MOST_IN_MEMORY = 64 << 20  # bytes of an array
_MOST_TABLE = 8 << 20  # bytes of an archive's table of contents: some 100,000 names
_MOST_TAIL = 1 << 17  # bytes: an archive's comment and what says where the table is
# What `zipfile`, NumPy and `zlib` raise of damaged archives; `RuntimeError` is for encryption and unknown methods.
_DAMAGE = (ValueError, EOFError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error)


class _Bounded(io.BufferedReader):
    """A file of which no more is taken into memory at one go than a table of contents may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As for a file; `zipfile` names no size for an archive's last bytes only."""
        wanted = _MOST_TAIL if size is None or size < 0 else size
        if wanted > _MOST_TABLE:
            raise zipfile.BadZipFile(f"a table of contents of {wanted:,} bytes")
        return super().read(wanted)


def open_npz(path: str, choose: Callable[[list[str]], str], kinds: str = "numbers") -> SpooledRows | np.ndarray:
    """Open one array of a `.npz` archive; nothing of the archive is ever unpickled or written under a name of its own.

    Args:
        path: the archive.
        choose: gets the names of its arrays, as `np.load(path).files` gives them, and returns one of them.
        kinds: what the messages ask for.

    Returns:
        The array, in memory; or a reader, in the machine's byte order, of a table of numbers of more than 64 MiB that
        is stored row by row.

    Raises:
        OSError: if the archive cannot be read, or if the disk has no room for what it decompresses to.
        ValueError: if it is no such archive, or if the array is damaged, encrypted, there twice, compressed in a way
            that NumPy does not, or of objects; and whatever `choose` raises.
    """
    with ExitStack() as stack:
        with _refusing(path, f"must be a NumPy file of plain {kinds}; it is truncated or foreign"):
            stream = stack.enter_context(_Bounded(io.FileIO(path)))
            archive = stack.enter_context(zipfile.ZipFile(stream))
        name = choose([member.removesuffix(".npy") for member in archive.namelist()])
        with _refusing(path, f"must hold plain {kinds} in {name!r}; it does not"):
            return _read(path, archive, _member(archive, name, stream.seek(0, io.SEEK_END)))


@contextmanager
def _refusing(path: str, rule: str) -> Iterator[None]:
    """Say which file it is that raises something, and which rule it breaks."""
    try:
        yield
    except (OSError, *_DAMAGE) as error:
        # An archive that sends its reader to a place before its start is damaged too.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            error.filename = error.filename or path
            raise
        raise ValueError(f"{path!r} {rule} ({shortened(error, 200)}).") from error


def _member(archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    """What the archive of so many bytes says of an array, once it can be true."""
    found = [info for info in archive.infolist() if info.filename.removesuffix(".npy") == name]
    if len(found) > 1:
        raise ValueError(f"there are {len(found)} arrays of that name")
    member = found[0]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others cannot be decompressed within bounds by `zipfile`.
        raise ValueError(f"compression method {member.compress_type}; np.savez_compressed writes what can be read")
    expansion = MOST_EXPANSION if member.compress_type == zipfile.ZIP_DEFLATED else 1
    if member.file_size > expansion * min(member.compress_size, size):
        raise ValueError(f"{member.compress_size:,} bytes cannot hold the {member.file_size:,} that are claimed")
    return member


def _read(path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> SpooledRows | np.ndarray:
    """A member's values, once its header agrees with the archive."""
    with archive.open(member) as stream:
        header = read_header(stream)
    if member.file_size != header.n_bytes + header.values_bytes:
        got = member.file_size - header.n_bytes
        raise ValueError(f"shape {header.shape} asks for {header.values_bytes:,} bytes; there are {got:,}")
    is_table = len(header.shape) == 2 and header.dtype.kind in "buif" and not header.is_fortran
    with archive.open(member) as stream:
        stream.read(header.n_bytes)
        if is_table and header.values_bytes > _MOST_IN_MEMORY:
            spooled = spool(path, stream, header.values_bytes)
            return SpooledRows(path, spooled, (header.shape[0], header.shape[1]), header.dtype)
        return _in_memory(stream, header)


def _in_memory(stream: IO[bytes], header: NpyHeader) -> np.ndarray:
    content, done = np.empty(header.values_bytes, np.uint8), 0
    for chunk in exactly(stream, header.values_bytes):
        content[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    return content.view(header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")
