"""Is a white region convex? Made anew from a seed as Larochelle et al. describe it."""

import numpy as np

from .._validation import check_count
from ._generated import stream, through_cache
from ._splits import Splits, cut

__all__ = ["load_convex"]

_SIZES = (6_500, 1_500, 50_000)
_SIDE = 28
_DRAWN = 2048  # candidates drawn at a time, whatever is asked for: fewer regions are then the first of more
_VERSION = 1  # of the generator; a change of a single bit that it makes raises this
# The largest part of a union; it makes the mean number of white pixels the same for both labels.
_MOST_PIXELS = 279
_FAR = 10_000  # beyond every pixel, where a row of pixels holds none


def load_convex(*, seed: int = 0) -> Splits:
    """White regions to be told apart as convex or not, made anew from a seed.

    The original files are not these: say "regenerated" beside every number. The authors' page gives the recipe:

    - a convex region is the intersection of half-planes, whose number is geometric with parameter 0.195; fewer
      than 19 pixels are rejected;
    - the others are unions of 2 to 4 (uniform) such regions, with parameter 0.07 and at least 10 pixels each, of
      which those that happen to be convex are rejected;
    - both have the same mean number of white pixels.

    What it leaves open is decided so: the number of half-planes is 1, 2, ...; the border of each goes through a
    uniform point of the picture at a uniform angle; a pixel belongs to a half-plane by its centre; a region is
    convex when the convex hull of its pixels' centres holds no other pixel's centre; the parts of a union have at
    most 279 pixels, which makes the two means equal (272); labels are fair coins.

    Args:
        seed: a whole number >= 0; the same seed gives the same bits.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 6,500, 1,500 and 50,000 rows:
        x of shape (n, 784), uint8, 255 in the region and 0 elsewhere, a read-only memory map; y of shape (n,),
        uint8, 1 for convex.

    Raises:
        TypeError: if `seed` is no whole number.
        ValueError: if `seed` is negative.
        OSError: if the cache folder cannot be written.

    Example:
        >>> from contractive.datasets import DATASETS
        >>> DATASETS["convex"].summary  # made by `load_convex()`, in seconds the first time
        '58,000 white regions, convex or not (regenerated), 28 x 28 grey: 6,500/1,500/50,000'

    References:
        Larochelle et al., An Empirical Evaluation of Deep Architectures on Problems with Many Factors of Variation,
        ICML 2007, section 4.3; Erhan, Recognition of convex sets, LISA's public pages, 2007.
    """
    seed = check_count("seed", seed, low=0)
    rows, labels = through_cache(f"convex-v{_VERSION}", seed, lambda: _make(seed, sum(_SIZES)))
    return cut(rows, labels, _SIZES)


def _make(seed: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and labels of the set; fewer rows are its first ones."""
    labels = stream(seed, "labels").integers(2, size=n_rows, dtype=np.uint8)
    regions = np.empty((n_rows, _SIDE, _SIDE), bool)
    n_convex = int(labels.sum())
    regions[labels == 1] = _draw_convex(stream(seed, "convex"), n_convex, 0.195, 19, _SIDE**2)
    regions[labels == 0] = _draw_others(seed, n_rows - n_convex)
    return np.where(regions, np.uint8(255), np.uint8(0)).reshape(n_rows, -1), labels


def _draw_convex(rng: np.random.Generator, n: int, parameter: float, n_least: int, n_most: int) -> np.ndarray:
    """Intersections of half-planes of so many pixels: whether each pixel is in, of shape (n, 28, 28)."""
    across, down = np.arange(_SIDE), np.arange(_SIDE)
    kept, n_kept = [np.empty((0, _SIDE, _SIDE), bool)], 0
    while n_kept < n:
        # In each row of pixels, a region reaches from its first pixel to its last.
        first, last = np.zeros((_DRAWN, _SIDE)), np.full((_DRAWN, _SIDE), _SIDE - 1.0)
        alive, counts = np.arange(_DRAWN), rng.geometric(parameter, size=_DRAWN)
        n_pixels = np.full(_DRAWN, _SIDE**2)
        for number in range(int(counts.max())):
            # Those that are too small already can only shrink.
            alive = alive[(counts[alive] > number) & (n_pixels[alive] >= n_least)]
            angle = rng.random((len(alive), 1)) * (2 * np.pi)
            point_x, point_y = rng.random((2, len(alive), 1)) * _SIDE - 0.5
            # cos (x - point_x) + sin (y - point_y) >= 0, solved for x.
            border = np.clip(point_x - np.tan(angle) * (down - point_y), -1, _SIDE)
            is_right = np.cos(angle) > 0
            first[alive] = np.maximum(first[alive], np.where(is_right, np.ceil(border), 0))
            last[alive] = np.minimum(last[alive], np.where(is_right, _SIDE - 1, np.floor(border)))
            n_pixels[alive] = np.maximum(last[alive] - first[alive] + 1, 0).sum(axis=1)
        good = (n_pixels >= n_least) & (n_pixels <= n_most)
        kept.append((across >= first[good, :, None]) & (across <= last[good, :, None]))
        n_kept += len(kept[-1])
    return np.concatenate(kept)[:n]


def _draw_others(seed: int, n: int) -> np.ndarray:
    """Unions of 2 to 4 convex regions that are not convex, of shape (n, 28, 28)."""
    numbers, parts = stream(seed, "numbers of parts"), stream(seed, "parts")
    kept, n_kept = [np.empty((0, _SIDE, _SIDE), bool)], 0
    while n_kept < n:
        n_parts = numbers.integers(2, 5, size=_DRAWN)
        drawn = _draw_convex(parts, int(n_parts.sum()), 0.07, 10, _MOST_PIXELS)
        unions = np.logical_or.reduceat(drawn, np.cumsum(n_parts) - n_parts, axis=0)
        kept.append(unions[~_is_convex(unions)])
        n_kept += len(kept[-1])
    return np.concatenate(kept)[:n]


def _is_convex(regions: np.ndarray) -> np.ndarray:
    """Whether the hull of a region's pixel centres holds no other centre, of shape (n,): whole numbers only."""
    first = _SIDE - 1 - _hull_end(regions[:, :, ::-1])
    width = np.maximum(_hull_end(regions) - first + 1, 0)
    return width.sum(axis=1) == np.count_nonzero(regions, axis=(1, 2))


def _hull_end(pixels: np.ndarray) -> np.ndarray:
    """The last pixel of the hull in each row of pixels, of shape (n, 28); far to the left where there is none."""
    # The right border of the hull is the least concave function of y above the last pixels of the rows: at each
    # row the highest chord between a row above it and a row below it.
    last = np.where(pixels.any(axis=2), _SIDE - 1 - pixels[:, :, ::-1].argmax(axis=2), -_FAR)
    end = last.copy()
    for upper in range(_SIDE):
        for lower in range(upper + 2, _SIDE):
            y = np.arange(upper + 1, lower)
            chord = (last[:, upper, None] * (lower - y) + last[:, lower, None] * (y - upper)) // (lower - upper)
            np.maximum(end[:, upper + 1 : lower], chord, out=end[:, upper + 1 : lower])
    return end
