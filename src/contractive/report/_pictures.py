"""Rows as what a page can hold by itself: PNG in a data URI, or points of a small profile."""

import base64
import struct
import zlib
from typing import NamedTuple

import numpy as np

from ..plots import ImageShape, as_pictures

__all__ = ["Thumbnail", "diverging_palette", "png_uri", "thumbnails"]

_MOST_POINTS = 128  # of a profile, which is no more than a few hundred pixels wide
_COLD, _NEUTRAL, _WARM = (33, 102, 172), (247, 247, 247), (178, 24, 43)


class Thumbnail(NamedTuple):
    """One row, small.

    Args:
        uri: a picture as a data URI; empty for a profile.
        points: the points of a profile in a box 100 wide and 40 high; empty for a picture.
        zero: how far down zero lies in that box, or None where it is outside or there is no box.
    """

    uri: str
    points: str
    zero: float | None


def diverging_palette() -> np.ndarray:
    """256 colours from blue (less) over white (the same) to red (more), uint8 of shape (256, 3).

    Example:
        >>> diverging_palette()[[0, 255]].tolist()
        [[33, 102, 172], [178, 24, 43]]
    """
    ends = np.array([_COLD, _NEUTRAL, _WARM], float)
    position = np.linspace(0, 2, 256)
    return np.stack([np.interp(position, (0, 1, 2), channel) for channel in ends.T], axis=1).round().astype(np.uint8)


def png_uri(picture: np.ndarray, *, palette: np.ndarray | None = None) -> str:
    """A picture as PNG in a data URI.

    Args:
        picture: from 0 to 1, of shape (height, width), or (height, width, 3) for red, green and blue.
        palette: the colours that 0 to 1 stand for, uint8 of shape (256, 3), for pictures without colours of their own;
            None for grey.

    Example:
        >>> import numpy as np
        >>> png_uri(np.zeros((2, 2)))[:22]
        'data:image/png;base64,'
    """
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    height, width = levels.shape[:2]
    kind = 2 if levels.ndim == 3 else 3 if palette is not None else 0  # PNG's numbers for colours, palette and grey
    # Each line begins with the number of its filter, 0 for none.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), levels.reshape(height, -1)], axis=1)
    parts = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if kind == 3:
        parts.append(_chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    parts += [_chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), _chunk(b"IEND", b"")]
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def thumbnails(
    rows: np.ndarray,
    shape: ImageShape | None,
    *,
    scale: str = "each",
    limits: tuple[float, float] | None = None,
) -> list[Thumbnail]:
    """Rows as small pictures or profiles.

    Args:
        rows: of shape (n_rows, n_features), finite.
        shape: of a picture; None for profiles.
        scale: as for `plots.as_pictures`; signed pictures without colours of their own go from blue to red.
        limits: the values at the bottom and top of a profile, or that are black and white in the scale "unit"; None
            for the extremes of each row, and for 0 and 1.

    Example:
        >>> import numpy as np
        >>> thumbnails(np.array([[0.0, 1.0]]), None)[0]
        Thumbnail(uri='', points='0.0,39.0 100.0,1.0', zero=39.0)
    """
    if shape is None:
        return [_profile(row, limits or (float(row.min()), float(row.max()))) for row in np.asarray(rows, float)]
    if scale == "unit" and limits is not None:
        low, high = limits
        rows = (rows - low) / ((high - low) or 1)
    palette = diverging_palette() if scale == "signed" and len(shape) == 2 else None
    pictures = as_pictures(rows, shape, scale=scale)
    return [Thumbnail(png_uri(picture, palette=palette), "", None) for picture in pictures]


def _profile(row: np.ndarray, limits: tuple[float, float]) -> Thumbnail:
    low, high = limits
    places = np.unique(np.linspace(0, len(row) - 1, min(len(row), _MOST_POINTS)).round().astype(int))
    places = np.repeat(places, 2) if len(places) == 1 else places  # a line, as one point is nothing to be seen
    x = np.linspace(0, 100, len(places))
    extent = (high - low) or 1.0

    def down(value: np.ndarray) -> np.ndarray:
        return (39 - 38 * np.clip((value - low) / extent, 0, 1) if high > low else np.full_like(value, 20.0)).round(1)

    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, down(row[places]), strict=True))
    zero = float(down(np.zeros(1))[0]) if low <= 0 <= high and high > low else None
    return Thumbnail("", points, zero)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
