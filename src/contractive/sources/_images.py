"""Folders of pictures, decoded a block at a time; all must have the size and the kind of the first."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._validation import shortened
from ._base import FileStamp, RowReader, read_bytes
from ._png import check_png

try:
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.Image import Image
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile
except ImportError:
    _FORMATS = {}
else:
    # The classes themselves: `PIL.Image.open` warns of large pictures where it should refuse them, and takes any of
    # sixty formats for a picture.
    _FORMATS = {
        b"\x89PNG\r\n\x1a\n": PngImageFile,
        b"\xff\xd8\xff": JpegImageFile,
        b"BM": BmpImageFile,
        b"GIF8": GifImageFile,
        **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
        b"RIFF": WebPImageFile,
    }

__all__ = ["ImageRows", "is_picture", "open_images", "pictures_in"]

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MOST_PIXELS = 64_000_000
_MOST_BYTES = 1 << 29  # of a file: eight a pixel
_OPAQUE = 255
# Pillow's modes by what becomes of them.
_GRAY, _COLORS = {"1", "L", "LA"}, {"P", "PA", "RGB", "RGBA", "RGBX"}


class _File(NamedTuple):
    """A picture on the disk."""

    path: str
    stamp: FileStamp


class ImageRows(RowReader):
    """Pictures of one size and kind, one a row: uint8, row by row from the top, the colors of a pixel together.

    Args:
        name: what messages call them all.
        files: the pictures, at least one; only the first is decoded before it is read.

    Raises:
        OSError: if the first cannot be read.
        ValueError: if the first is no such picture.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, name: str, files: Sequence[_File]):
        first = _opened(files[0])
        height, width = first.height, first.width
        self.image_shape = height, width, *_channels(first)
        self.name, self.shape, self._files = name, (len(files), math.prod(self.image_shape)), files
        self._looks = _looks(first)
        _pixels(files[0].path, first)

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        rows = np.empty((stop - start, self.shape[1]), np.uint8)
        for row, file in zip(rows, self._files[start:stop], strict=True):
            picture = _opened(file)
            if (got := _looks(picture)) != self._looks:
                raise ValueError(
                    f"{file.path!r} must be {self._looks} like {self._files[0].path!r}; got {got}. "
                    "Resize or convert all pictures to one size and kind first."
                )
            row[:] = _pixels(file.path, picture).ravel()
        return rows


def open_images(pictures: str | Path | Sequence[str | Path], name: str) -> ImageRows:
    """Open picture files, of which only the first is decoded before they are read.

    PNG, JPEG, BMP, GIF, TIFF and WebP are read, of the last three the first picture, as they are stored: no mark for
    turning them is followed. Gray pictures of 8 bits or 1 give one value a pixel, others three: red, green and blue.

    Args:
        pictures: the files in order; or a folder, whose pictures are taken in the order of their paths in it, those in
            its folders too. Hidden files and folders, links to folders, and links to files elsewhere are left out.
        name: what messages call them all.

    Returns:
        The pictures, one a row, with `image_shape`, (height, width) or (height, width, 3).

    Raises:
        ImportError: if Pillow is not installed.
        OSError: if the folder or a file cannot be read.
        ValueError: if there are none, or the first is damaged, no picture, of more than 64 megapixels, of more than
            8 bits a channel, not opaque, or neither gray nor RGB. Later pictures are looked at as they are read.
    """
    if not _FORMATS:
        raise ImportError("pictures need Pillow: pip install contractive[data]", name="PIL")
    paths = pictures_in(pictures) if isinstance(pictures, str | Path) else [str(path) for path in pictures]
    if not paths:
        raise ValueError(
            f"{name!r} must hold pictures ({', '.join(_ENDINGS)}); it holds none. "
            "Hidden files and links to elsewhere are left out."
        )
    files = [_File(path, FileStamp.of(path)) for path in paths]
    for path in paths:
        if not os.path.isfile(path):  # a pipe would be waited for
            raise ValueError(f"{path!r} must be a picture file; got a folder or a device.")
    return ImageRows(name, files)


def is_picture(path: str | Path) -> bool:
    """Whether a file is a picture by the ending of its name.

    Example:
        >>> is_picture("a/B.JPG"), is_picture("a.npy")
        (True, False)
    """
    return str(path).lower().endswith(_ENDINGS)


def pictures_in(folder: str | Path) -> list[str]:
    """The pictures that `open_images` takes of a folder, in its order."""
    return sorted(_within(folder))


def _within(folder: str | Path) -> Iterator[str]:
    """The pictures in a folder and its folders, in no order."""
    root, pending = os.path.realpath(folder), [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif is_picture(entry.name) and not entry.is_dir():
                    if not entry.is_symlink() or Path(os.path.realpath(entry.path)).is_relative_to(root):
                        yield entry.path


@contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Say which file it is that cannot be decoded."""
    try:
        yield
    # Pillow raises whatever it meets in a damaged file, and warnings where these are errors; the system's own errors
    # cannot be among it, as the file is in memory.
    except Exception as error:
        words = shortened(error, 200) or type(error).__name__
        raise ValueError(f"{path!r} must be a picture; it is truncated or foreign ({words}).") from error


def _opened(file: _File) -> Image:
    """A picture whose header has been read and found to be within bounds; nothing is decoded yet."""
    path, stamp = file
    if stamp.size > _MOST_BYTES:
        raise ValueError(f"{path!r} must have at most {_MOST_BYTES:,} bytes; got {stamp.size:,}.")
    content = bytearray(stamp.size)
    read_bytes(path, stamp, 0, memoryview(content))
    plugin = next((plugin for magic, plugin in _FORMATS.items() if content.startswith(magic)), None)
    if plugin is None:
        known = "PNG, JPEG, BMP, GIF, TIFF or WebP"
        raise ValueError(f"{path!r} must be a picture; it is truncated or foreign (neither {known}).")
    with _decoding(path):
        picture = plugin(BytesIO(content))
    size = f"{picture.height} x {picture.width} pixels"
    if picture.height * picture.width > _MOST_PIXELS:
        raise ValueError(f"{path!r} must have at most {_MOST_PIXELS:,} pixels; got {size}. Make it smaller first.")
    if picture.mode not in _GRAY | _COLORS:
        raise ValueError(
            f"{path!r} must be gray or RGB with 8 bits a channel; Pillow's mode for it is {picture.mode!r}. "
            "Convert it first."
        )
    if picture.format == "PNG":
        with _decoding(path):  # Pillow decodes pixels without a look at their checksums or their number
            plugin(BytesIO(content)).verify()
            check_png(content)
    return picture


def _channels(picture: Image) -> tuple[int, ...]:
    return () if picture.mode in _GRAY else (3,)


def _looks(picture: Image) -> str:
    """Size and kind in words."""
    return f"{picture.height} x {picture.width} pixels (height x width) in {'color' if _channels(picture) else 'gray'}"


def _pixels(path: str, picture: Image) -> np.ndarray:
    """The decoded pixels, of shape (height, width) or (height, width, 3)."""
    mode, lowest = "L" if picture.mode in _GRAY else "RGB", _OPAQUE
    with _decoding(path):
        picture.load()
        if picture.has_transparency_data:
            # Through RGBA, as Pillow warns where a palette loses its transparency at once.
            picture = picture.convert("RGBA")
            lowest = picture.getchannel("A").getextrema()[0]
        pixels = np.asarray(picture.convert(mode))
    if lowest != _OPAQUE:
        raise ValueError(f"{path!r} must be opaque; it has transparent pixels. Lay it on a background first.")
    return pixels
