"""How much a code contracts between rows of the data: neighbours, and rows that have nothing to do with each other."""

from typing import Any, NamedTuple

import numpy as np

from .._validation import check_count
from ..batched import MAX_BLOCK_FLOATS, map_rows
from ..models import Model

__all__ = ["NeighborContraction", "nearest_rows", "neighbor_contraction"]


class NeighborContraction(NamedTuple):
    """The contraction ratio of pairs of rows, by their distance: an entry a bin that holds any.

    Args:
        distances: the mean distance of the pairs of a bin, in units of x, rising.
        means: the mean of ||f(x) - f(x')|| / ||x - x'|| over them.
        quantiles: those of 10 %, 50 % and 90 % of it, of shape (3, n_bins).
        counts: how many pairs.
        nearest: distances of the sampled rows to their nearest neighbours, of shape (n_rows,).
    """

    distances: np.ndarray
    means: np.ndarray
    quantiles: np.ndarray
    counts: np.ndarray
    nearest: np.ndarray


def neighbor_contraction(
    model: Model,
    rows: Any,
    *,
    seed: int,
    n_rows: int = 256,
    n_neighbors: int = 5,
    n_bins: int = 12,
    uint8_scale: float = 1,
) -> NeighborContraction:
    """How much the code brings real rows together, against how far apart they are.

    Of `n_rows` rows drawn from the data each is paired with its `n_neighbors` nearest ones among all the data, and with
    as many random ones; the pairs are binned by distance, in bins of one width. Pairs of equal rows are left out, the
    same row drawn at random included.

    Args:
        model: the auto-encoder.
        rows: the data, of shape (n_rows, n_features), at least 2 different rows: floats, uint8, or scipy's CSR.
        seed: what the draws depend on.
        n_rows: how many are drawn, >= 1; all where there are fewer.
        n_neighbors: pairs of either kind for each, >= 1.
        n_bins: >= 1.
        uint8_scale: what a uint8 value is divided by.

    Raises:
        TypeError: if a count is no whole number.
        ValueError: if a count is below 1, or no two rows are different.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(6, 4, rng=np.random.RandomState(0))
        >>> found = neighbor_contraction(model, np.eye(6, dtype="float32"), seed=0, n_neighbors=2)
        >>> print(found.distances.round(3), found.nearest.round(3))  # all rows are as far apart
        [1.414] [1.414 1.414 1.414 1.414 1.414 1.414]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 5.2 and figures 1 and 3.
    """
    for name, value in (("n_rows", n_rows), ("n_neighbors", n_neighbors), ("n_bins", n_bins)):
        check_count(name, value)
    n_all = rows.shape[0]
    rng = np.random.RandomState(seed)
    sampled = np.sort(rng.choice(n_all, size=min(n_rows, n_all), replace=False))
    points = _floats(rows[sampled], uint8_scale)
    near = nearest_rows(points, rows, min(n_neighbors + 1, n_all), uint8_scale=uint8_scale)
    others = np.concatenate([near, rng.randint(n_all, size=(len(sampled), n_neighbors))], axis=1)
    starts, ends = np.repeat(np.arange(len(sampled)), others.shape[1]), others.ravel()
    distances, ratios = _ratios(model, points, starts, rows, ends, uint8_scale)
    apart = (distances > 0).reshape(others.shape)
    # A row is among its own nearest ones, or in its place an equal row is.
    apart[:, : near.shape[1]] &= np.cumsum(apart[:, : near.shape[1]], axis=1) <= n_neighbors
    if not apart.any():
        raise ValueError(f"`rows` must hold at least 2 different rows; got {n_all} that are the same.")
    between_near = np.where(apart, distances.reshape(others.shape), np.inf)[:, : near.shape[1]].min(axis=1)
    kept = apart.ravel()
    return _binned(distances[kept], ratios[kept], n_bins, between_near[np.isfinite(between_near)])


def nearest_rows(points: np.ndarray, rows: Any, n_nearest: int, *, uint8_scale: float = 1) -> np.ndarray:
    """The places of the rows next to each point, the nearest first, in blocks of rows.

    Args:
        points: floats of shape (n_points, n_features), in the units of the model's input.
        rows: the data, of shape (n_rows, n_features): floats, uint8, or scipy's CSR.
        n_nearest: how many, from 1 to n_rows.
        uint8_scale: what a uint8 value is divided by.

    Returns:
        Whole numbers of shape (n_points, n_nearest); among rows as near the earlier ones.

    Example:
        >>> import numpy as np
        >>> nearest_rows(np.array([[0.0], [5.0]]), np.array([[4.0], [1.0], [9.0]]), 2).tolist()
        [[1, 0], [0, 1]]
    """
    block = max(1, MAX_BLOCK_FLOATS // (points.shape[1] + 2 * len(points)))
    best, places = np.empty((len(points), 0), points.dtype), np.empty((len(points), 0), int)
    for start in range(0, rows.shape[0], block):
        part = _floats(rows[start : start + block], uint8_scale)
        # Less ||point||^2, the same for all of a point's rows.
        squares = np.sum(part**2, axis=1) - 2 * points @ part.T
        best = np.concatenate([best, squares], axis=1)
        places = np.concatenate([places, np.tile(np.arange(start, start + len(part)), (len(points), 1))], axis=1)
        order = np.argsort(best, axis=1, kind="stable")[:, :n_nearest]
        best, places = (np.take_along_axis(array, order, axis=1) for array in (best, places))
    return places


def _ratios(
    model: Model, points: np.ndarray, starts: np.ndarray, rows: Any, ends: np.ndarray, uint8_scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The distance and the contraction ratio of each pair; the ratio is 0 where the distance is."""
    codes = map_rows(Model.encode, model, points.astype(model.dtype))
    distances, moved = np.empty(len(ends)), np.empty(len(ends))
    block = max(1, MAX_BLOCK_FLOATS // (4 * (model.n_features + model.n_hidden)))
    for start in range(0, len(ends), block):
        part = slice(start, start + block)
        other = _floats(rows[ends[part]], uint8_scale)
        distances[part] = np.linalg.norm(points[starts[part]] - other, axis=1)
        moved[part] = np.linalg.norm(
            codes[starts[part]].astype(float) - map_rows(Model.encode, model, other.astype(model.dtype)), axis=1
        )
    return distances, np.divide(moved, distances, out=np.zeros_like(moved), where=distances > 0)


def _binned(distances: np.ndarray, ratios: np.ndarray, n_bins: int, nearest: np.ndarray) -> NeighborContraction:
    edges = np.linspace(distances.min(), distances.max(), n_bins + 1)
    numbers = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, n_bins - 1)
    bins = [numbers == number for number in np.unique(numbers)]
    return NeighborContraction(
        np.array([distances[held].mean() for held in bins]),
        np.array([ratios[held].mean() for held in bins]),
        np.stack([np.quantile(ratios[held], (0.1, 0.5, 0.9)) for held in bins], axis=1),
        np.array([held.sum() for held in bins]),
        nearest,
    )


def _floats(part: Any, uint8_scale: float) -> np.ndarray:
    part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
    return part / uint8_scale if part.dtype == np.uint8 else part.astype(float)
