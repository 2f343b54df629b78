"""What was typed as text, as the library takes it."""

from __future__ import annotations

import math
import re

__all__ = ["image_shape", "whole_number"]


def whole_number(option: str, text: str, other: str) -> int:
    """The number.

    Args:
        option: what it was typed after.
        text: what was typed.
        other: what else may be typed, for the message.

    Raises:
        ValueError: if it is no whole number.
    """
    try:
        return int(text)
    except ValueError:
        from .._validation import shown  # imports NumPy

        raise ValueError(f"`{option}` must be a whole number >= 1{other}; got {shown(text)}.") from None


def image_shape(text: str | None, n_features: int, known: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
    """Height, width and perhaps colours of a row's picture: as typed, as known, or None to guess.

    Args:
        text: what was typed, or None.
        n_features: values of a row.
        known: what the data set says of itself.

    Raises:
        ValueError: if what was typed is neither HxW nor HxWx3, or does not multiply out to the features.
    """
    if text is None:
        return known
    shape = tuple(map(int, text.split("x"))) if re.fullmatch(r"[0-9]+x[0-9]+(x3)?", text) else ()
    if not shape or math.prod(shape) != n_features:
        raise ValueError(
            f"`--image-shape` must be HxW or HxWx3 that multiplies out to {n_features} features; got {text!r}."
        )
    return shape
