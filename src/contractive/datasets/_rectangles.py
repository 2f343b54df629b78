"""Is a rectangle wide or tall? Made anew from a seed as Larochelle et al. describe it."""

import numpy as np

from .._validation import check_count, check_flag
from ._generated import stream, through_cache
from ._photographs import draw_patches
from ._splits import Splits, cut

__all__ = ["load_rectangles"]

_SIZES, _IMAGES_SIZES = (1_000, 200, 50_000), (10_000, 2_000, 50_000)
_SIDE = 28
_DRAWN = 4096  # sizes drawn at a time, whatever is asked for: fewer rectangles are then the first of more
_VERSION = 1  # of the generator; a change of a single bit that it makes raises this


def load_rectangles(*, images: bool = False, seed: int = 0) -> Splits:
    """Rectangles to be told apart as wide or tall, made anew from a seed.

    The original files are not these: say "regenerated" beside every number. What the papers leave open is decided
    so: width and height are uniform in 1..28 (10..28 with images), a pair that differs by less than 3 pixels
    (5 with images) is dropped, and the rectangle lies anywhere in the picture. Without images its border, one
    pixel wide, is 255 and all else 0. With images it is filled, border and all, by a patch of one photograph and
    lies on a patch of another; the patches are drawn as for `load_mnist_variation("mnist_bg_img")`.

    Args:
        images: whether the rectangle is made of photographs.
        seed: a whole number >= 0; the same seed gives the same bits.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 1,000, 200 and 50,000 rows,
        with images of 10,000, 2,000 and 50,000: x of shape (n, 784), uint8 pixels, a read-only memory map; y of
        shape (n,), uint8, 1 for wide and 0 for tall.

    Raises:
        TypeError: if `images` is no bool or `seed` no whole number.
        ValueError: if `seed` is negative.
        ImportError: if images are asked for without `contractive[data]`.
        OSError: if the cache folder cannot be written.

    Example:
        >>> (x_train, y_train), _, _ = load_rectangles()
        >>> rectangle = x_train[0].reshape(28, 28)
        >>> int(rectangle.any(axis=0).sum()), int(rectangle.any(axis=1).sum()), int(y_train[0])
        (11, 8, 1)

    References:
        Larochelle et al., An Empirical Evaluation of Deep Architectures on Problems with Many Factors of Variation,
        ICML 2007, section 4.2.
    """
    images = check_flag("images", images)
    seed = check_count("seed", seed, low=0)
    name, sizes = ("rect_img", _IMAGES_SIZES) if images else ("rect", _SIZES)
    rows, labels = through_cache(f"{name}-v{_VERSION}", seed, lambda: _make(images, seed, sum(sizes)))
    return cut(rows, labels, sizes)


def _make(images: bool, seed: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and labels of a set; fewer rows are its first ones."""
    least, difference = (10, 5) if images else (1, 3)
    widths, heights = _draw_sides(stream(seed, f"sides of at least {least}"), n_rows, least, difference)
    places = stream(seed, f"places, sides of at least {least}")
    lefts, tops = places.integers(_SIDE + 1 - np.stack([widths, heights], axis=1)).T
    across, down = np.arange(_SIDE), np.arange(_SIDE)[:, None]

    def filled(margin: int) -> np.ndarray:
        """Whether each pixel lies in the rectangle without a margin along its border."""
        x, y, width, height = (side[:, None, None] for side in (lefts, tops, widths, heights))
        inside_x = (across >= x + margin) & (across < x + width - margin)
        return (inside_x & (down >= y + margin) & (down < y + height - margin)).reshape(n_rows, -1)

    if images:
        rows = np.where(filled(0), *_draw_pairs(stream(seed, "pairs of patches"), n_rows))
    else:
        rows = np.where(filled(0) & ~filled(1), np.uint8(255), np.uint8(0))
    return rows, (widths > heights).astype(np.uint8)


def _draw_sides(rng: np.random.Generator, n: int, least: int, difference: int) -> np.ndarray:
    """Widths and heights, of shape (2, n)."""
    kept = np.empty((0, 2), np.int64)
    while len(kept) < n:
        sides = rng.integers(least, _SIDE + 1, size=(_DRAWN, 2))
        kept = np.concatenate([kept, sides[abs(sides[:, 0] - sides[:, 1]) >= difference]])
    return kept[:n].T


def _draw_pairs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two patches a row, of different photographs: those of the rectangles and those around them."""
    insides, outsides = np.empty((n, _SIDE**2), np.uint8), np.empty((n, _SIDE**2), np.uint8)
    for start in range(0, n, _DRAWN):
        inside, numbers = draw_patches(rng, _DRAWN)
        outside, others = draw_patches(rng, _DRAWN)
        while (same := np.flatnonzero(others == numbers)).size:
            outside[same], others[same] = draw_patches(rng, len(same))
        block = slice(start, start + _DRAWN)
        insides[block], outsides[block] = inside[: n - start], outside[: n - start]
    return insides, outsides
