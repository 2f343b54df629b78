"""Rows of a data set as pictures or as profiles: examples, filters, reconstructions, tangents, walks, samples."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "SCALES",
    "ImageShape",
    "as_pictures",
    "draw_rows",
    "filters",
    "guess_image_shape",
    "picture_shape",
    "reconstructions",
    "samples",
    "tangents",
    "walks",
]

SCALES = ("each", "unit", "signed")
"""What black and white are: each picture's least and largest value, 0 and 1, or minus and plus its largest."""

ImageShape = tuple[int, ...]
"""Height, width, and 3 for red, green and blue."""

_GAP = 1  # pixels between pictures
_BETWEEN = 0.5  # the grey there
_MOST_PROFILES = 12  # lines that can still be told apart


def guess_image_shape(n_features: int) -> ImageShape | None:
    """Height and width of square pictures, with 3 for colours where that fits; None where nothing does.

    Args:
        n_features: values of a row. Fewer than 16 are not taken for a picture.

    Example:
        >>> guess_image_shape(784), guess_image_shape(3072), guess_image_shape(54)
        ((28, 28), (32, 32, 3), None)
    """
    for channels in ((), (3,)):
        side = math.isqrt(n_features // math.prod(channels))
        if n_features >= 16 and side * side * math.prod(channels) == n_features:
            return side, side, *channels
    return None


def picture_shape(n_features: int, image_shape: ImageShape | None = None) -> ImageShape | None:
    """The shape of rows as pictures, or None where they are profiles.

    Args:
        n_features: values of a row.
        image_shape: as for `draw_rows`.

    Raises:
        ValueError: if `image_shape` is no shape of a picture, or does not multiply out to the features.

    Example:
        >>> picture_shape(64), picture_shape(64, (4, 16)), picture_shape(64, (1, 64))
        ((8, 8), (4, 16), None)
    """
    shape = guess_image_shape(n_features) if image_shape is None else tuple(image_shape)
    if shape is None:
        return None
    if len(shape) not in (2, 3) or min(shape) < 1 or shape[2:] not in ((), (3,)):
        raise ValueError(f"`image_shape` must be (height, width) or (height, width, 3); got {shape}.")
    if math.prod(shape) != n_features:
        raise ValueError(
            f"`image_shape` must multiply out to the {n_features} features; "
            f"got {' x '.join(map(str, shape))} = {math.prod(shape)}."
        )
    return None if shape[0] == 1 and len(shape) == 2 else shape


def as_pictures(rows: np.ndarray, shape: ImageShape, *, scale: str = "each") -> np.ndarray:
    """Rows as pictures, from 0 for black to 1 for white.

    Args:
        rows: of shape (n_rows, n_features), finite.
        shape: what `picture_shape` says of them.
        scale: one of `SCALES`.

    Returns:
        float64 of shape (n_rows, *shape). A picture of one value everywhere is grey, but for the scale "unit".

    Raises:
        ValueError: if `scale` is not known.

    Example:
        >>> import numpy as np
        >>> as_pictures(np.array([[0.0, 2.0, 4.0, 8.0]]), (2, 2)).tolist()
        [[[0.0, 0.25], [0.5, 1.0]]]
    """
    check_choice("scale", scale, SCALES)
    pictures = [_scaled(row.astype(float), scale).reshape(shape) for row in rows]
    return np.stack(pictures) if pictures else np.zeros((0, *shape))


def draw_rows(
    rows: np.ndarray,
    *,
    ax: "Axes",
    image_shape: ImageShape | None = None,
    n_columns: int | None = None,
    scale: str = "each",
    title: str | None = None,
) -> "Axes":
    """Draw rows as a grid of pictures, or where they are none, as profiles: their values against the feature.

    Args:
        rows: of shape (n_rows, n_features), finite, n_rows >= 1.
        ax: what to draw on.
        image_shape: (height, width) or (height, width, 3) of pictures, row by row; None to guess: squares are pictures.
            A height of 1 makes profiles.
        n_columns: pictures side by side, >= 1; None for a grid about as wide as high.
        scale: one of `SCALES`, for pictures.
        title: above the grid; None for none.

    Returns:
        The same axes. Of profiles no more than a dozen are drawn, as others could not be told apart.

    Raises:
        ValueError: if the rows are not 2-d, empty, not finite, or not of as many values as the pictures; if `n_columns`
            or `scale` is out of range.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = draw_rows(np.eye(16), ax=Figure().subplots(), n_columns=8)
        >>> ax.images[0].get_array().shape  # two rows of eight 4 x 4 pictures and what is between
        (9, 39)
    """
    shape = _checked_shape(rows, image_shape)
    check_choice("scale", scale, SCALES)
    if n_columns is not None and n_columns < 1:
        raise ValueError(f"`n_columns` must be a whole number >= 1; got {n_columns}.")
    if title is not None:
        ax.set_title(title, fontsize="medium")
    if shape is None:
        return _profiles(rows, ax)
    across = min(len(rows), n_columns or math.ceil(math.sqrt(len(rows))))
    colors: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}
    if scale == "signed" and len(shape) == 2:
        colors["cmap"] = "RdBu_r"
    ax.imshow(_mosaic(as_pictures(rows, shape, scale=scale), across, scale), interpolation="nearest", **colors)
    ax.set_axis_off()
    return ax


def filters(weight: np.ndarray, *, ax: "Axes", image_shape: ImageShape | None = None, n_filters: int = 100) -> "Axes":
    """Draw the incoming weights of the first units, each scaled to its own range.

    Args:
        weight: of shape (hidden, features), one unit a row, as `components_` holds it.
        ax: what to draw on.
        image_shape: as for `draw_rows`.
        n_filters: how many units at most, >= 1.

    Returns:
        The same axes.

    Raises:
        ValueError: as `draw_rows`.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> filters(np.eye(16), ax=Figure().subplots()).get_title()
        '16 of 16 filters'
    """
    shown = weight[:n_filters]
    title = f"{len(shown)} of {len(weight)} filters"
    return draw_rows(shown, ax=ax, image_shape=image_shape, title=title)


def reconstructions(
    X: np.ndarray,
    reconstructed: np.ndarray,
    *,
    axes: "Sequence[Axes]",
    image_shape: ImageShape | None = None,
    corrupted: np.ndarray | None = None,
) -> "Sequence[Axes]":
    """Draw rows and, beside them, what the auto-encoder makes of them, all to one scale.

    Args:
        X: rows as they are, of shape (n_rows, n_features).
        reconstructed: their reconstructions, of the same shape; where `corrupted` is given, of these.
        axes: two to draw on, or three where `corrupted` is given.
        image_shape: as for `draw_rows`.
        corrupted: the rows as a denoising auto-encoder saw them; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: if the arrays are not of one shape, or there are not as many axes as arrays; as `draw_rows`.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> axes = reconstructions(np.eye(16), np.eye(16) / 2, axes=Figure().subplots(1, 2))
        >>> [ax.get_title() for ax in axes]
        ['input', 'reconstruction']
    """
    panels = {"input": X, "corrupted input": corrupted, "reconstruction": reconstructed}
    given = {title: rows for title, rows in panels.items() if rows is not None}
    if len({rows.shape for rows in given.values()}) != 1:
        raise ValueError(
            f"the arrays must be of one shape; got {', '.join(str(rows.shape) for rows in given.values())}."
        )
    if len(axes) != len(given):
        raise ValueError(f"`axes` must be {len(given)} axes, one an array; got {len(axes)}.")
    low, high = float(X.min()), float(X.max())
    for ax, (title, rows) in zip(axes, given.items(), strict=True):
        scaled = (rows - low) / ((high - low) or 1) if _checked_shape(rows, image_shape) is not None else rows
        draw_rows(scaled, ax=ax, image_shape=image_shape, scale="unit", title=title)
    return axes


def tangents(planes: np.ndarray, *, ax: "Axes", image_shape: ImageShape | None = None) -> "Axes":
    """Draw tangent planes, one a line: the directions in which the code changes most, most first.

    Args:
        planes: of shape (n_rows, n_tangents, n_features), as `tangents` of an estimator returns it.
        ax: what to draw on.
        image_shape: as for `draw_rows`. Blue is less and red is more of a pixel along the direction.

    Returns:
        The same axes.

    Raises:
        ValueError: if `planes` is not 3-d; as `draw_rows`.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> tangents(np.zeros((2, 3, 16)), ax=Figure().subplots()).images[0].get_array().shape
        (9, 14)
    """
    if planes.ndim != 3:
        raise ValueError(f"`planes` must be of shape (n_rows, n_tangents, n_features); got {planes.shape}.")
    rows = np.asarray(planes, np.float32).reshape(-1, planes.shape[-1])
    return draw_rows(rows, ax=ax, image_shape=image_shape, n_columns=planes.shape[1], scale="signed", title="tangents")


def walks(
    x: np.ndarray,
    plane: np.ndarray,
    steps: Sequence[float] | np.ndarray,
    *,
    ax: "Axes",
    image_shape: ImageShape | None = None,
) -> "Axes":
    """Draw walks from an example along each of its tangents: x + t u, one tangent a line, one t a column.

    Args:
        x: one example, of shape (n_features,), in [0, 1].
        plane: its tangents u, of shape (n_tangents, n_features).
        steps: the t, in units of x, such as -2, -1, 0, 1, 2.
        ax: what to draw on.
        image_shape: as for `draw_rows`.

    Returns:
        The same axes.

    Raises:
        ValueError: as `draw_rows`.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> walks(np.zeros(16), np.eye(16)[:2], [-1, 0, 1], ax=Figure().subplots()).images[0].get_array().shape
        (9, 14)
    """
    moved = x + np.asarray(steps, float)[:, None] * plane[:, None, :]
    rows = moved.reshape(-1, plane.shape[-1]).clip(0, 1)
    return draw_rows(
        rows, ax=ax, image_shape=image_shape, n_columns=len(steps), scale="unit", title="along the tangents"
    )


def samples(rows: np.ndarray, *, ax: "Axes", image_shape: ImageShape | None = None) -> "Axes":
    """Draw samples, each scaled to its own range; arguments and errors as for `draw_rows`."""
    return draw_rows(rows, ax=ax, image_shape=image_shape, title="samples")


def _checked_shape(rows: np.ndarray, image_shape: ImageShape | None) -> ImageShape | None:
    """The shape of pictures, or None for profiles."""
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"the rows must be of shape (n_rows, n_features), not empty; got {rows.shape}.")
    if not np.isfinite(rows).all():
        raise ValueError("the rows must be finite; got NaN or infinity.")
    return picture_shape(rows.shape[1], image_shape)


def _mosaic(pictures: np.ndarray, across: int, scale: str) -> np.ndarray:
    """Pictures, as `as_pictures` returns them, side by side."""
    n_pictures, height, width, *channels = pictures.shape
    down = -(-n_pictures // across)
    gaps = down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP
    mosaic = np.full((*gaps, *channels), 1.0 if scale == "signed" and channels else _BETWEEN)
    for number, picture in enumerate(pictures):
        top, left = number // across * (height + _GAP), number % across * (width + _GAP)
        mosaic[top : top + height, left : left + width] = picture
    return mosaic


def _scaled(picture: np.ndarray, scale: str) -> np.ndarray:
    if scale == "unit":
        return picture.clip(0, 1)
    if scale == "signed":
        most = np.abs(picture).max()
        return 0.5 + picture / (2 * most) if most > 0 else np.full_like(picture, 0.5)
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low) if high > low else np.full_like(picture, 0.5)


def _profiles(rows: np.ndarray, ax: "Axes") -> "Axes":
    for row in rows[:_MOST_PROFILES]:
        ax.plot(np.arange(1, len(row) + 1), row, linewidth=1)
    ax.set_xlabel("feature")
    ax.set_ylabel("value")
    ax.grid(alpha=0.3)
    if len(rows) > _MOST_PROFILES:
        ax.set_title(f"{ax.get_title()} ({_MOST_PROFILES} of {len(rows)})".strip(), fontsize="medium")
    return ax
