"""How many rows each batch of an Arrow IPC file has and what it decodes to, known without decoding any."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = ["Batch", "decoded_bytes", "find_batches"]

# A file ends with its footer, the footer's length and the magic; the footer says where each message lies.
_MAGIC = b"ARROW1"
_BLOCK = np.dtype([("offset", "<i8"), ("head", "<i4"), ("padding", "<i4"), ("body", "<i8")])
_BUFFER = np.dtype([("offset", "<i8"), ("length", "<i8")])
_MAX_HEAD = 1 << 26  # bytes of what describes one batch; 16 for each column and 16 for each of its buffers
_CONTINUATION = 0xFFFFFFFF
_DICTIONARY = 2  # the number of that kind of message, whose batch lies one level deeper


class Batch(NamedTuple):
    """One batch of a file.

    Args:
        offset: where it begins in the file.
        head: bytes of its description.
        body: bytes of its content as it is stored.
        n_rows: how many rows it says that it has.
    """

    offset: int
    head: int
    body: int
    n_rows: int


def find_batches(stream: BinaryIO) -> tuple[list[Batch], list[Batch]]:
    """The batches of rows of a file, and those of its dictionaries.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no whole Arrow IPC file.
        struct.error: likewise.
    """
    size = stream.seek(0, 2)
    (length,) = struct.unpack("<i", _bytes(stream, size - 10, 10).removesuffix(_MAGIC))
    footer = _bytes(stream, size - 10 - length, length)
    root = _follow(footer, 0)
    dictionaries, rows = (_vector(footer, root, field, _BLOCK) for field in (2, 3))
    return _batches(stream, rows, size), _batches(stream, dictionaries, size)


def decoded_bytes(stream: BinaryIO, batch: Batch) -> int:
    """How many bytes the buffers of a batch take once they are decompressed, all columns together.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the description is damaged.
        struct.error: likewise.
    """
    head, table = _described(stream, batch.offset, batch.head)
    buffers = _vector(head, table, 2, _BUFFER)
    if _field(head, table, 3) is None:
        return sum(buffers["length"].tolist())
    total, body = 0, batch.offset + batch.head
    for offset, length in buffers.tolist():
        if length:  # each begins with its decompressed length, or with -1 where it is stored as it is
            (claimed,) = struct.unpack("<q", _bytes(stream, body + offset, 8))
            total += length if claimed == -1 else claimed
            if claimed < -1:
                raise ValueError("a buffer of negative length")
    return total


def _batches(stream: BinaryIO, blocks: np.ndarray, size: int) -> list[Batch]:
    found = []
    for offset, head, _, body in blocks.tolist():
        if min(offset, head, body) < 0 or offset + head + body > size:
            raise ValueError("a batch that lies outside the file")
        content, table = _described(stream, offset, head)
        place = _field(content, table, 0)
        n_rows = 0 if place is None else _number(content, "<q", place)
        if n_rows < 0:
            raise ValueError("a batch of a negative number of rows")
        found.append(Batch(offset, head, body, n_rows))
    return found


def _described(stream: BinaryIO, offset: int, length: int) -> tuple[bytes, int]:
    """The description of a batch, and where in it the table of the batch begins."""
    content = _bytes(stream, offset, length)
    # Files older than 0.15 have no continuation before the length.
    content = content[8:] if _number(content, "<I", 0) == _CONTINUATION else content[4:]
    message = _follow(content, 0)
    kind, header = _field(content, message, 1), _field(content, message, 2)
    if kind is None or header is None:
        raise ValueError("a message that is no batch")
    table = _follow(content, header)
    if content[kind] == _DICTIONARY:
        inner = _field(content, table, 1)
        if inner is None:  # pragma: no cover - Arrow refuses such a file first, as far as damage has shown
            raise ValueError("a dictionary without values")
        table = _follow(content, inner)
    return content, table


def _bytes(stream: BinaryIO, offset: int, length: int) -> bytes:
    if offset < 0 or not 0 < length <= _MAX_HEAD:
        raise ValueError("a part that lies outside the file")
    stream.seek(offset)
    content = stream.read(length)
    if len(content) < length:
        raise ValueError("a part that lies outside the file")
    return content


# FlatBuffers: a table begins with how far before it its list of fields lies, which says how far after it each is.


def _number(content: bytes, form: str, place: int) -> int:
    return struct.unpack_from(form, content, place)[0]


def _follow(content: bytes, place: int) -> int:
    return place + _number(content, "<I", place)


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where a field of a table lies, or None where it is left out."""
    fields = table - _number(content, "<i", table)
    place = 4 + 2 * number
    offset = _number(content, "<H", fields + place) if place < _number(content, "<H", fields) else 0
    return table + offset if offset else None


def _vector(content: bytes, table: int, number: int, dtype: np.dtype) -> np.ndarray:
    place = _field(content, table, number)
    if place is None:
        return np.empty(0, dtype)
    begin = _follow(content, place)
    count = _number(content, "<I", begin)
    return np.frombuffer(content, dtype, count, begin + 4) if count else np.empty(0, dtype)
