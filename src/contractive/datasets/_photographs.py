"""Grey patches out of the photographs that scikit-learn and scikit-image carry inside their wheels."""

import hashlib
from functools import cache
from importlib import resources

import numpy as np

__all__ = ["draw_patches", "luma", "photographs"]

# Nineteen; the original sets were made of twenty. Drawings, scanned text and binary pictures are left out.
_PHOTOGRAPHS = {
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
    "skimage.data": (
        *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png"),
        *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
        *("motorcycle_left.png", "motorcycle_right.png", "retina.jpg", "rocket.jpg"),
    ),
}
# Of all the files' bytes, one after the other.
_FILES_SHA256 = "ec98f08652066b05214f94b1ac6af6dc8df9a5c04930518ffe0c80b31d524ee3"
_SIDE = 28
# A patch whose pixels spread less is taken for empty sky or wall and dropped.
_MIN_STD = 16
_DRAWN = 4096  # places drawn at a time, whatever is asked for: fewer patches are then the first of more


def luma(rgb: np.ndarray) -> np.ndarray:
    """Grey pixels: (299 R + 587 G + 114 B) / 1000, rounded, in whole numbers (ITU-R BT.601).

    Args:
        rgb: uint8, of shape (..., 3).

    Returns:
        uint8, of shape (...).

    Example:
        >>> luma(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 7, 7]], np.uint8))
        array([ 76, 150,  29,   7], dtype=uint8)
    """
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """Nineteen photographs in grey, in a fixed order.

    Returns:
        uint8 arrays of shape (height, width), each read-only.

    Raises:
        ImportError: if scikit-image or Pillow is not installed.
        ValueError: if the installed versions carry other pictures.

    Example:
        >>> len(photographs()), photographs()[0].shape
        (19, (427, 640))
    """
    try:
        from PIL import Image

        files = [resources.files(package) / name for package, names in _PHOTOGRAPHS.items() for name in names]
    except ImportError as error:
        raise ImportError(
            "the photographs need scikit-image and Pillow: pip install contractive[data]", name=error.name
        ) from error
    digest, pictures = hashlib.sha256(), []
    for file in files:
        digest.update(file.read_bytes())
        with file.open("rb") as stream, Image.open(stream) as picture:
            pixels = np.asarray(picture)
        grey = pixels.copy() if pixels.ndim == 2 else luma(pixels)
        grey.flags.writeable = False
        pictures.append(grey)
    if digest.hexdigest() != _FILES_SHA256:
        raise ValueError(
            "the photographs inside scikit-learn and scikit-image must be those of versions 1.9 and 0.26; "
            "they are others. Install those versions to make the same patches."
        )
    return tuple(pictures)


def draw_patches(rng: np.random.Generator, n_patches: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of 28 x 28 pixels from places chosen at random.

    A photograph is chosen uniformly, then a place in it; a patch whose pixels have a standard deviation below 16
    (of 255) is dropped and another is drawn, photograph and all.

    Args:
        rng: where the choices come from.
        n_patches: how many, >= 0.

    Returns:
        The patches, uint8, of shape (n_patches, 784), and the number of the photograph of each.

    Raises:
        ImportError: if scikit-image or Pillow is not installed.
        ValueError: if the installed versions carry other pictures.
    """
    pictures, textured = photographs(), _textured()
    heights, widths = np.array([picture.shape for picture in textured]).T
    patches, chosen, n_found = np.empty((n_patches, _SIDE, _SIDE), np.uint8), np.empty(n_patches, np.intp), 0
    while n_found < n_patches:
        which = rng.integers(len(pictures), size=_DRAWN)
        tops, lefts = rng.integers(heights[which]), rng.integers(widths[which])
        for number, top, left in zip(which.tolist(), tops.tolist(), lefts.tolist(), strict=True):
            if n_found < n_patches and textured[number][top, left]:
                patches[n_found] = pictures[number][top : top + _SIDE, left : left + _SIDE]
                chosen[n_found] = number
                n_found += 1
    return patches.reshape(n_patches, -1), chosen


@cache
def _textured() -> tuple[np.ndarray, ...]:
    """For each photograph, whether the patch whose top left corner is at a pixel spreads enough."""
    area = _SIDE**2
    maps = []
    for picture in photographs():
        total, squares = (_window_sums(picture.astype(np.int64) ** power) for power in (1, 2))
        # n Σx² - (Σx)² = n² variance: whole numbers, exact on every machine.
        maps.append(area * squares - total**2 >= area**2 * _MIN_STD**2)
    return tuple(maps)


def _window_sums(values: np.ndarray) -> np.ndarray:
    """The sum over each window of 28 x 28, by its top left corner."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return sums[_SIDE:, _SIDE:] - sums[:-_SIDE, _SIDE:] - sums[_SIDE:, :-_SIDE] + sums[:-_SIDE, :-_SIDE]
