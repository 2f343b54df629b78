"""How many: activations of units, scores of rows, and where codes lie."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from .._validation import check_choice
from ._rows import ImageShape, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MAPS", "anomalies", "code_map", "saturation"]

MAPS = ("pca", "umap")
"""How codes are brought to two dimensions."""

_BINS = 50
_MOST_CLASSES = 20  # colours that can still be told apart


def saturation(H: np.ndarray, *, ax: "Axes", low: float = 0.05, high: float = 0.95) -> "Axes":
    """Draw how often units are how active; what is below `low` or above `high` is shaded, and its share the title.

    Args:
        H: codes of shape (n_rows, hidden), of units in [0, 1].
        ax: what to draw on.
        low: what a unit that is off stays below.
        high: what a unit that is on exceeds.

    Returns:
        The same axes.

    Raises:
        ValueError: if `H` is empty.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> saturation(np.array([[0.01, 0.5], [0.99, 0.02]]), ax=Figure().subplots()).get_title()
        '75.0 % saturated'

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, table 1, column SAT.
    """
    if not H.size:
        raise ValueError(f"`H` must hold codes; got an array of shape {H.shape}.")
    values = np.asarray(H, float).ravel()
    ax.hist(values, bins=_BINS, range=(min(0.0, values.min()), max(1.0, values.max())), color="0.4")
    for start, stop in ((ax.get_xlim()[0], low), (high, ax.get_xlim()[1])):
        ax.axvspan(start, stop, color="C1", alpha=0.15, lw=0)
    ax.set_title(f"{100 * np.mean((values < low) | (values > high)):.1f} % saturated", fontsize="medium")
    ax.set_xlabel("activation")
    ax.set_ylabel("units x rows")
    return ax


def code_map(
    H: np.ndarray, labels: Sequence[object] | np.ndarray | None = None, *, ax: "Axes", method: str = "pca"
) -> "Axes":
    """Draw codes in two dimensions, one point a row.

    Args:
        H: codes of shape (n_rows, hidden), n_rows >= 2.
        labels: what each row is, for its colour; None for one colour. Beyond 20 different ones colours repeat and
            there is no legend.
        ax: what to draw on.
        method: "pca", the two directions of the largest variance, signs fixed; or "umap", if umap-learn is installed.

    Returns:
        The same axes.

    Raises:
        ValueError: if there are fewer than 2 rows, not as many labels as rows, or the method is not known.
        ModuleNotFoundError: if umap-learn is asked for and not installed.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = code_map(np.eye(4), ["a", "b", "a", "b"], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['a', 'b']
    """
    check_choice("method", method, MAPS)
    if H.ndim != 2 or len(H) < 2:
        raise ValueError(f"`H` must be of shape (n_rows, hidden), n_rows >= 2; got {H.shape}.")
    if labels is not None and len(labels) != len(H):
        raise ValueError(f"`labels` must be one a row, {len(H)}; got {len(labels)}.")
    points = _principal(H) if method == "pca" else _umap(H)
    if labels is None:
        ax.scatter(*points.T, s=4, linewidths=0)
    else:
        kinds, numbers = np.unique(np.asarray(labels), return_inverse=True)
        for number, kind in enumerate(kinds):
            ax.scatter(*points[numbers == number].T, s=4, linewidths=0, color=f"C{number % 10}", label=str(kind))
        if len(kinds) <= _MOST_CLASSES:
            ax.legend(frameon=False, markerscale=3, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_xlabel(f"{method.upper()} 1")
    ax.set_ylabel(f"{method.upper()} 2")
    return ax


def anomalies(
    scores: np.ndarray,
    X: np.ndarray | None = None,
    *,
    axes: "Sequence[Axes]",
    image_shape: ImageShape | None = None,
    n_rows: int = 9,
) -> "Sequence[Axes]":
    """Draw how unusual rows are, and beside it the most and the least unusual ones.

    Args:
        scores: one a row, higher is more usual, as `score_samples` returns them.
        X: the rows, of shape (len(scores), n_features); None for the histogram alone.
        axes: three to draw on: histogram, least and most typical rows; or one where X is None.
        image_shape: as for `draw_rows`.
        n_rows: how many rows are shown of either kind, >= 1.

    Returns:
        The axes.

    Raises:
        ValueError: if there are not as many scores as rows, or axes as panels; as `draw_rows`.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> axes = anomalies(np.arange(16.0), np.eye(16), axes=Figure().subplots(1, 3), n_rows=4)
        >>> [ax.get_title() for ax in axes[1:]]
        ['4 least typical', '4 most typical']
    """
    n_panels = 1 if X is None else 3
    if len(axes) != n_panels:
        raise ValueError(f"`axes` must be {n_panels} axes; got {len(axes)}.")
    if X is not None and len(X) != len(scores):
        raise ValueError(f"`scores` must be one a row, {len(X)}; got {len(scores)}.")
    axes[0].hist(-np.asarray(scores, float), bins=_BINS, color="0.4")
    axes[0].set_xlabel("reconstruction error")
    axes[0].set_ylabel("rows")
    if X is not None:
        order = np.argsort(scores, kind="stable")
        for ax, chosen, name in ((axes[1], order[:n_rows], "least"), (axes[2], order[::-1][:n_rows], "most")):
            draw_rows(X[chosen], ax=ax, image_shape=image_shape, title=f"{len(chosen)} {name} typical")
    return axes


def _principal(H: np.ndarray) -> np.ndarray:
    """The two leading principal components; of each direction the entry of the largest magnitude is positive."""
    centered = np.asarray(H, float) - np.mean(H, axis=0, dtype=float)
    values, vectors = np.linalg.eigh(centered.T @ centered)
    directions = vectors[:, np.argsort(values)[::-1][:2]]
    if directions.shape[1] < 2:  # a code of one unit
        directions = np.pad(directions, ((0, 0), (0, 1)))
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return centered @ np.where(largest < 0, -directions, directions)


def _umap(H: np.ndarray) -> np.ndarray:
    try:
        umap = import_module("umap")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("`method` 'umap' needs the package umap-learn: pip install umap-learn.") from error
    return np.asarray(umap.UMAP(n_jobs=1, random_state=0).fit_transform(H))
