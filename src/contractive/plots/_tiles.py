"""The tutorial's grid of small grey pictures, and how it is written."""

from pathlib import Path

import numpy as np

from .._files import write_atomically

__all__ = ["tile_images", "write_picture"]


def tile_images(
    images: np.ndarray,
    *,
    image_shape: tuple[int, int],
    grid_shape: tuple[int, int] = (10, 10),
    spacing: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Lay out rows as a grid of small grey pictures, each scaled to its own minimum and maximum.

    A tile t becomes floor(255 (t - min t) / (max(t - min t) + 1e-8)); tiles are separated by zeros, filled row by
    row, and places without a picture stay zero. It is the layout of the classic tutorial, byte for byte.

    Args:
        images: rows of shape (n_images, height * width), finite; for filters pass the weight, one unit a row.
        image_shape: height and width of one tile in pixels, >= 1.
        grid_shape: tiles down and across, >= 1. Rows beyond their number are left out.
        spacing: pixels between tiles, down and across, >= 0.

    Returns:
        uint8 of shape (down * (height + gap) - gap, across * (width + gap) - gap).

    Raises:
        ValueError: if `images` is not 2-d or its rows do not have height * width values.

    Example:
        >>> import numpy as np
        >>> tile_images(np.eye(4), image_shape=(2, 2), grid_shape=(2, 2))
        array([[254,   0,   0,   0, 254],
               [  0,   0,   0,   0,   0],
               [  0,   0,   0,   0,   0],
               [  0,   0,   0,   0,   0],
               [254,   0,   0,   0, 254]], dtype=uint8)
    """
    (height, width), (down, across), (gap_down, gap_across) = image_shape, grid_shape, spacing
    for name, pair, low in (("image_shape", image_shape, 1), ("grid_shape", grid_shape, 1), ("spacing", spacing, 0)):
        if min(pair) < low:
            raise ValueError(f"`{name}` must be two whole numbers >= {low}; got {pair}.")
    if images.ndim != 2 or images.shape[1] != height * width:
        raise ValueError(
            f"`images` must be of shape (n_images, {height * width}) for tiles of {height} x {width}; "
            f"got {images.shape}."
        )
    if not np.isfinite(images[: down * across]).all():
        raise ValueError("`images` must be finite; got NaN or infinity.")
    picture = np.zeros((down * (height + gap_down) - gap_down, across * (width + gap_across) - gap_across), np.uint8)
    for index, image in enumerate(images[: down * across]):
        tile = image.reshape(height, width) - image.min()
        tile *= 1.0 / (float(tile.max()) + 1e-8)
        top, left = index // across * (height + gap_down), index % across * (width + gap_across)
        picture[top : top + height, left : left + width] = tile * 255
    return picture


def write_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write a grey picture as PNG.

    Args:
        path: the file to make or replace.
        picture: uint8 of shape (height, width).

    Raises:
        OSError: if the file cannot be written; what was there stays.
    """
    from matplotlib.image import imsave

    # As red, green and blue: through a grey colour map, matplotlib is off by one in some greys.
    colors = np.repeat(picture[..., None], 3, axis=2)
    write_atomically(Path(path), lambda stream: imsave(stream, colors, format="png"))
