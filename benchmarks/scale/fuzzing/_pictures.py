"""PNG: a file of one picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from contractive.sources import open_rows

from ._damage import EXTREMES, choose, damaged
from ._format import Format, read_all

__all__ = ["PNG"]

_MAGIC = b"\x89PNG\r\n\x1a\n"
_KINDS = (
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"iCCP",
    b"sRGB",
    b"cHRM",
    b"zTXt",
    b"tEXt",
    b"iTXt",
    b"eXIf",
)
_KINDS = (*_KINDS, b"pHYs", b"acTL", b"fcTL", b"fdAT", b"abcd", b"ABCD", b"\0\0\0\0")
_BOMB = 1 << 22  # bytes that are all the same
_Chunk = tuple[bytes, bytes]


def _png(rng: np.random.Generator) -> bytes:
    height, width = (int(size) for size in rng.integers(1, 12, 2))
    mode = choose(rng, ("L", "L", "RGB", "RGB", "1", "P", "RGBA", "LA"))
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, "png", compress_level=1)
    return stream.getvalue()


def _chunks(content: bytes) -> Iterator[_Chunk]:
    place = len(_MAGIC)
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


def _twisted(content: bytes, rng: np.random.Generator) -> bytes:
    """Chunks that are added, left out, moved or damaged, with right checksums."""
    chunks = [*_chunks(content)]
    for _ in range(int(rng.geometric(0.6))):
        place = int(rng.integers(len(chunks)))
        kind, body = chunks[place]
        act = int(rng.integers(6))
        if act == 0:
            chunks.insert(place, (choose(rng, _KINDS), rng.bytes(choose(rng, (0, 1, 4, 12, 300)))))
        elif act == 1 and len(chunks) > 1:
            del chunks[place]
        elif act == 2:
            chunks.insert(int(rng.integers(len(chunks))), chunks[place])
        elif act == 3:
            chunks[0] = b"IHDR", _header(chunks[0][1], rng)
        elif kind == b"IDAT" and act == 4:
            chunks[place] = kind, _deflated(body, rng)
        else:
            chunks[place] = kind, damaged(body, rng)
    return _MAGIC + b"".join(_written(kind, body, rng) for kind, body in chunks)


def _written(kind: bytes, body: bytes, rng: np.random.Generator) -> bytes:
    length = len(body) if rng.random() < 0.98 else choose(rng, EXTREMES) % 2**32
    return struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _header(body: bytes, rng: np.random.Generator) -> bytes:
    """Another size, depth, kind of color or interlacing."""
    changed, act = bytearray(body), int(rng.integers(3))
    if act == 0:
        place = choose(rng, (0, 4))
        changed[place : place + 4] = (choose(rng, (*EXTREMES, 5, 10, 20)) % 2**32).to_bytes(4, "big")
    elif act == 1:
        changed[8:10] = bytes([choose(rng, (1, 2, 4, 8, 16, 3)), choose(rng, (0, 2, 3, 4, 6, 1))])
    else:
        changed[10:13] = bytes(rng.integers(0, 3, 3).tolist())
    return bytes(changed)


def _deflated(body: bytes, rng: np.random.Generator) -> bytes:
    """Other pixels than the header says, in a whole stream."""
    try:
        plain = zlib.decompress(body)
    except zlib.error:  # damaged before
        return body
    if rng.random() < 0.01:
        plain += bytes(_BOMB)
    return zlib.compress(choose(rng, (damaged(plain, rng), plain[:-1], plain * 2))[: 2 * _BOMB], 1)


def _read(path: str) -> np.ndarray:
    return read_all(open_rows(path).rows)


def _expected(path: str) -> np.ndarray:
    """Pillow's pixels, and of the most usual files those that a decoder of its own finds, too."""
    with Image.open(path) as picture:
        gray = picture.mode in ("1", "L", "LA")
        if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
            raise ValueError(f"mode {picture.mode}")
        # Opaque, or it is refused.
        pixels = np.asarray(picture.convert("RGBA"))
    if (pixels[..., 3] != 255).any():
        raise ValueError("transparent")
    shown = (pixels[..., 0] if gray else pixels[..., :3]).reshape(1, -1)
    alone = _decoded(Path(path).read_bytes())
    if alone is not None and not np.array_equal(alone.reshape(1, -1), shown):
        raise ValueError("Pillow finds other pixels than are there")
    return shown


def _decoded(content: bytes) -> np.ndarray | None:
    """The pixels of a file of 8 bits a sample that is not interlaced; None of others, and of odd orders of chunks."""
    chunks = [*_chunks(content)]
    kinds = [kind for kind, _ in chunks]
    width, height, depth, color, _, _, interlacing = struct.unpack(">IIBBBBB", chunks[kinds.index(b"IHDR")][1][:13])
    last = kinds.index(b"IDAT") + kinds.count(b"IDAT")
    if depth != 8 or interlacing or kinds.count(b"IHDR") > 1 or kinds.count(b"PLTE") > 1 or b"IDAT" in kinds[last:]:
        return None
    n_samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    n_bytes = height * (1 + width * n_samples)  # what comes after them is nobody's
    data = zlib.decompressobj().decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), n_bytes)
    lines = np.frombuffer(data, np.uint8, n_bytes).reshape(height, -1)
    samples = _unfiltered(lines, n_samples).reshape(height, width, n_samples)
    if color == 3:
        colors = chunks[kinds.index(b"PLTE")][1]
        palette = np.frombuffer(colors, np.uint8, len(colors) // 3 * 3).reshape(-1, 3)
        return palette[samples[..., 0]] if samples.max() < len(palette) else None
    return samples[..., :1] if color in (0, 4) else samples[..., :3]


def _unfiltered(lines: np.ndarray, n_samples: int) -> np.ndarray:
    """The samples of lines that begin with the number of their filter, by the definition in PNG's chapter 9."""
    height, width = lines.shape[0], lines.shape[1] - 1
    # A line above the first, and a pixel before each line: zeros.
    found = np.zeros((height + 1, width + n_samples), int)
    for y, (kind, *line) in enumerate(lines.tolist(), 1):
        for x, sample in enumerate(line, n_samples):
            a, b, c = (int(value) for value in (found[y, x - n_samples], found[y - 1, x], found[y - 1, x - n_samples]))
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            found[y, x] = (sample + (0, a, b, (a + b) // 2, nearest)[kind]) % 256
    return found[1:, n_samples:]


PNG = Format(".png", _png, _twisted, _read, _expected)
