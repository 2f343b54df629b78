"""The tutorial's grid of small pictures, and how it is written."""

import math
from pathlib import Path

import numpy as np

from .._files import write_atomically
from ._rows import ImageShape, picture_shape

__all__ = ["tile_images", "tile_rows", "write_picture"]


def tile_images(
    images: np.ndarray,
    *,
    image_shape: ImageShape,
    grid_shape: tuple[int, int] = (10, 10),
    spacing: tuple[int, int] = (1, 1),
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Lay out rows as a grid of small pictures, grey or in colours, each scaled to its own minimum and maximum.

    A tile t becomes floor(255 (t - min t) / (max(t - min t) + 1e-8)); tiles are separated by zeros, filled row by
    row, and places without a picture stay zero. It is the layout of the classic tutorial, byte for byte.
    With `limits` all tiles have these instead of their own minimum and maximum, and can be compared.

    Args:
        images: rows of shape (n_images, n_values), finite; for filters pass the weight, one unit a row.
        image_shape: height and width of one tile in pixels, >= 1, and 3 for red, green and blue.
        grid_shape: tiles down and across, >= 1. Rows beyond their number are left out.
        spacing: pixels between tiles, down and across, >= 0.
        limits: the values that become 0 and 255, finite, the lesser first, as do those beyond; None for each its own.

    Returns:
        uint8 of shape (down * (height + gap) - gap, across * (width + gap) - gap), and 3 for colours.

    Raises:
        ValueError: if `images` is not 2-d or its rows do not have as many values as a tile, or a shape or the limits
            are wrong.

    Example:
        >>> import numpy as np
        >>> tile_images(np.eye(4), image_shape=(2, 2), grid_shape=(2, 2))
        array([[254,   0,   0,   0, 254],
               [  0,   0,   0,   0,   0],
               [  0,   0,   0,   0,   0],
               [  0,   0,   0,   0,   0],
               [254,   0,   0,   0, 254]], dtype=uint8)
    """
    (down, across), (gap_down, gap_across) = grid_shape, spacing
    if len(image_shape) not in (2, 3) or min(image_shape) < 1 or image_shape[2:] not in ((), (3,)):
        raise ValueError(f"`image_shape` must be two whole numbers >= 1, and 3 for colours; got {image_shape}.")
    for name, pair, low in (("grid_shape", grid_shape, 1), ("spacing", spacing, 0)):
        if min(pair) < low:
            raise ValueError(f"`{name}` must be two whole numbers >= {low}; got {pair}.")
    n_values = math.prod(image_shape)
    if images.ndim != 2 or images.shape[1] != n_values:
        raise ValueError(
            f"`images` must be of shape (n_images, {n_values}) for tiles of {' x '.join(map(str, image_shape))}; "
            f"got {images.shape}."
        )
    if not np.isfinite(images[: down * across]).all():
        raise ValueError("`images` must be finite; got NaN or infinity.")
    if limits is not None and not (np.isfinite(limits).all() and limits[0] <= limits[1]):
        raise ValueError(f"`limits` must be two finite numbers, the lesser first; got {limits}.")
    height, width, *colors = image_shape
    size = down * (height + gap_down) - gap_down, across * (width + gap_across) - gap_across
    picture = np.zeros((*size, *colors), np.uint8)
    for index, image in enumerate(images[: down * across]):
        low, high = (image.min(), image.max()) if limits is None else limits
        tile = np.clip(image.reshape(image_shape), low, high) - low
        tile *= 1.0 / (float(high - low) + 1e-8)
        top, left = index // across * (height + gap_down), index % across * (width + gap_across)
        picture[top : top + height, left : left + width] = tile * 255
    return picture


def tile_rows(
    rows: np.ndarray,
    image_shape: ImageShape | None = None,
    *,
    grid_shape: tuple[int, int] = (10, 10),
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Lay out rows of any data: pictures as `tile_images` does, rows that are none as lines one below the other.

    Args:
        rows: of shape (n_rows, n_features), finite, n_rows >= 1.
        image_shape: as for `draw_rows`; None to guess.
        grid_shape: tiles down and across; as many rows are shown as have a place there.
        limits: as for `tile_images`.

    Returns:
        uint8 as `tile_images` returns it.

    Raises:
        ValueError: if `image_shape` is no shape of a picture or does not multiply out to the features.

    Example:
        >>> import numpy as np
        >>> tile_rows(np.ones((3, 48))).shape, tile_rows(np.ones((3, 48)), (1, 48)).shape  # 4 x 4 in colours, lines
        ((49, 49, 3), (5, 48))
    """
    shape = picture_shape(rows.shape[1], image_shape)
    if shape is None:
        shape, grid_shape = (1, rows.shape[1]), (min(len(rows), math.prod(grid_shape)), 1)
    return tile_images(rows, image_shape=shape, grid_shape=grid_shape, limits=limits)


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write a picture as PNG.

    Args:
        path: the file to make or replace.
        picture: uint8 of shape (height, width), or (height, width, 3) for red, green and blue.

    Raises:
        OSError: if the file cannot be written; what was there stays.
    """
    from matplotlib.image import imsave

    # As red, green and blue: through a grey colour map, matplotlib is off by one in some greys.
    colors = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    write_atomically(Path(path), lambda stream: imsave(stream, colors, format="png"))
