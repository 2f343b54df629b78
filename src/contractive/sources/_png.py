"""Whether a PNG file has one header and all of its pixels, which Pillow does not ask: what is missing stays black."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["check_png"]

_MAGIC_BYTES = 8
_END = b"", memoryview(b"")
_CHUNK = 1 << 16  # bytes that are decompressed at a time
_PALETTE = 3  # the kind of color whose samples are places in a palette
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the kind of color
# Where a pass begins, and the steps to its next pixel: to the right, down, right, down.
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class _Header(NamedTuple):
    """The fields of IHDR, in its order."""

    width: int
    height: int
    depth: int
    color: int
    compression: int
    filtering: int
    interlacing: int

    @property
    def n_bytes(self) -> int:
        """What all pixels take once they are decompressed, with a byte for each line of each pass."""
        bits = self.depth * _SAMPLES[self.color]
        total = 0
        for left, top, right, down in _ADAM7 if self.interlacing else _WHOLE:
            columns, lines = -((left - self.width) // right), -((top - self.height) // down)
            total += lines * (1 + (columns * bits + 7) // 8) if columns > 0 and lines > 0 else 0
        return total


def check_png(content: bytes | bytearray) -> None:
    """Refuse a PNG file whose data end before its pixels do, though Pillow can open it.

    Args:
        content: of the file.

    Raises:
        ValueError: if pixels or their colors are missing, or it has no header or two; the message names no file.
        zlib.error: if their data are damaged.
    """
    chunks = _chunks(content)
    kind, body = next(chunks, _END)
    if kind != b"IHDR":
        raise ValueError("it does not begin with its header")
    header = _Header._make(struct.unpack(">IIBBBBB", body[:13]))
    has_colors = header.color != _PALETTE
    while kind not in (b"IDAT", b""):
        kind, body = next(chunks, _END)
        has_colors |= kind == b"PLTE"
        if kind == b"IHDR":  # Pillow would go by some of what the first says, and some of what the second does
            raise ValueError("it has two headers")
    if not has_colors:  # Pillow would take all for black
        raise ValueError("it has no palette before its pixels")
    stream, left = zlib.decompressobj(), header.n_bytes
    while kind == b"IDAT":
        rest: bytes | memoryview = body
        while rest and left >= 0 and not stream.eof:
            # After the last pixel a byte more is asked for, lest the checksum behind it be left unread.
            left -= len(stream.decompress(rest, min(left, _CHUNK) or 1))
            rest = stream.unconsumed_tail
        kind, body = next(chunks, _END)
    if left > 0:
        raise ValueError(f"{left:,} of the {header.n_bytes:,} bytes of its pixels are missing")


def _chunks(content: bytes | bytearray) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the content of each chunk, as far as there is one."""
    view, place = memoryview(content), _MAGIC_BYTES
    while place + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, place)
        yield kind, view[place + 8 : place + 8 + length]
        place += 12 + length
