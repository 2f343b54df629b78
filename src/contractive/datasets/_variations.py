"""MNIST's digits turned and set before backgrounds, made anew from a seed as Larochelle et al. describe theirs."""

from types import MappingProxyType

import numpy as np

from .._validation import check_choice, check_count
from ._generated import stream, through_cache
from ._mnist import load_mnist
from ._photographs import draw_patches
from ._splits import Splits, cut

__all__ = ["VARIATIONS", "load_mnist_variation"]

VARIATIONS = MappingProxyType(
    {
        "mnist_basic": "as they are",
        "mnist_rot": "turned by any angle",
        "mnist_bg_rand": "before random pixels",
        "mnist_bg_img": "before patches of photographs",
        "mnist_bg_img_rot": "turned, before patches of photographs",
    }
)
"""What is done to the digits, by the name of the set."""

_SIZES = (10_000, 2_000, 50_000)
_SIDE = 28
_BLOCK = 2_000  # digits turned at a time: some 50 MB of float64
_VERSION = 1  # of the generator; a change of a single bit that it makes raises this


def load_mnist_variation(name: str, *, seed: int = 0) -> Splits:
    """One of the five sets of MNIST digits with more factors of variation, made anew from a seed.

    The original files are not these: say "regenerated" beside every number. 62,000 of MNIST's 70,000 digits are
    drawn without repetition; sets of one seed have the same digits in the same order, turned sets the same angles,
    sets with photographs the same patches. What the papers leave open is decided so:

    - an angle is uniform in [0, 2 pi), anticlockwise about the picture's centre; pixels are interpolated
      bilinearly, black outside, and rounded;
    - a background fills the whole picture and each pixel is the brighter of digit and background; the random one is
      uniform in 0..255; digits are turned before they are set on it;
    - patches come from the nineteen photographs inside scikit-learn and scikit-image, those with a standard
      deviation below 16 are dropped, and a place may serve more than once.

    The first call makes the set in seconds and keeps it in `cache_folder()` (49 MB); later calls map that, after
    a check of its SHA-256.

    Args:
        name: "mnist_basic", "mnist_rot", "mnist_bg_rand", "mnist_bg_img" or "mnist_bg_img_rot".
        seed: a whole number >= 0; the same seed gives the same bits.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 10,000, 2,000 and 50,000 rows:
        x of shape (n, 784), uint8 pixels in 0..255, a read-only memory map; y of shape (n,), uint8, the digit.

    Raises:
        TypeError: if `seed` is no whole number.
        ValueError: if `name` is none of the five or `seed` is negative.
        ImportError: if a set with photographs is asked for without `contractive[data]`.
        OSError: if the cache folder cannot be written.

    Example:
        >>> (x_train, y_train), _, (x_test, _) = load_mnist_variation("mnist_basic")
        >>> x_train.shape, x_test.shape, y_train[:5]
        ((10000, 784), (50000, 784), array([2, 1, 5, 7, 7], dtype=uint8))

    References:
        Larochelle et al., An Empirical Evaluation of Deep Architectures on Problems with Many Factors of Variation,
        ICML 2007, section 4.1; Rifai et al., Contractive Auto-Encoders, ICML 2011, table 2.
    """
    check_choice("name", name, VARIATIONS)
    seed = check_count("seed", seed, low=0)
    rows, labels = through_cache(f"{name}-v{_VERSION}", seed, lambda: _make(name, seed, sum(_SIZES)))
    return cut(rows, labels, _SIZES)


def _make(name: str, seed: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and labels of a set; fewer rows are its first ones."""
    digits, labels = (np.concatenate(parts) for parts in zip(*load_mnist(), strict=True))
    chosen = stream(seed, "digits").permutation(len(digits))[:n_rows]
    rows = digits[chosen]
    if name.endswith("_rot"):
        rows = _rotate(rows, stream(seed, "angles").random(n_rows) * (2 * np.pi))
    if name == "mnist_bg_rand":
        rows = np.maximum(rows, stream(seed, "noise").integers(256, size=rows.shape, dtype=np.uint8))
    elif "_bg_img" in name:
        rows = np.maximum(rows, draw_patches(stream(seed, "patches"), n_rows)[0])
    return rows, labels[chosen]


def _rotate(rows: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Pictures of 28 x 28 turned anticlockwise by angles in radians: bilinear, black outside, rounded."""
    turned = np.empty_like(rows)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        turned[block] = _rotate_block(rows[block], angles[block])
    return turned


def _rotate_block(rows: np.ndarray, angles: np.ndarray) -> np.ndarray:
    centre = (_SIDE - 1) / 2
    y, x = np.mgrid[:_SIDE, :_SIDE].reshape(2, 1, -1) - centre
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    # Each pixel looks back to where it came from; rows of pixels run downwards, so that y points down.
    source_y = np.clip(centre + cosine * y + sine * x, -1, _SIDE)
    source_x = np.clip(centre - sine * y + cosine * x, -1, _SIDE)
    top, left = np.floor(source_y).astype(np.intp), np.floor(source_x).astype(np.intp)
    down, right = source_y - top, source_x - left
    # A frame of black: one pixel before the first, two after the last, for the neighbours of what was clipped.
    side = _SIDE + 3
    framed = np.pad(rows.reshape(-1, _SIDE, _SIDE), ((0, 0), (1, 2), (1, 2))).reshape(len(rows), -1)
    corner = (top + 1) * side + left + 1
    values = np.zeros(rows.shape)
    for step_y, weight_y in ((0, 1 - down), (1, down)):
        for step_x, weight_x in ((0, 1 - right), (1, right)):
            pixels = np.take_along_axis(framed, corner + (step_y * side + step_x), axis=1)
            values += weight_y * weight_x * pixels
    return np.rint(values).astype(np.uint8)
