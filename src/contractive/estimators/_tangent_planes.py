"""The tangent planes at the rows of a data set, by a fitted auto-encoder: how many, in memory or mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._validation import check_choice, check_count
from ..geometry import map_tangents, max_tangents
from ._base import BaseAutoencoder, precision

__all__ = ["check_n_tangents", "forget_planes", "tangent_planes"]

MAX_BYTES = 1 << 30
"""What planes may take in memory; more of them are mapped."""

_DEFAULT_TANGENTS = 15


def check_n_tangents(choice: object) -> None:
    """Refuse what is neither a whole number >= 1 nor "auto".

    Raises:
        TypeError: if it is of another type.
        ValueError: if it is out of range.
    """
    if isinstance(choice, str):
        check_choice("n_tangents", choice, ("auto",))
    else:
        check_count("n_tangents", choice)


def tangent_planes(representation: BaseAutoencoder, rows: Any, choice: int | str) -> np.ndarray:
    """The tangent plane at each row, of shape (rows, tangents, features); see `geometry.map_tangents`.

    Args:
        representation: a fitted auto-encoder.
        rows: checked data.
        choice: how many directions, or "auto": 15, or the highest rank that the Jacobian can have where it is less.

    Raises:
        ValueError: if `choice` is more than that rank.
    """
    model = representation.model_
    n_tangents = min(_DEFAULT_TANGENTS, max_tangents(model)) if isinstance(choice, str) else int(choice)
    with precision(model.dtype):
        return map_tangents(model, rows, n_tangents, uint8_scale=representation._uint8_scale, max_bytes=MAX_BYTES)


def forget_planes(planes: np.ndarray | None) -> None:
    """Remove the file of planes that are mapped."""
    if isinstance(planes, np.memmap) and planes.filename is not None:
        Path(planes.filename).unlink(missing_ok=True)
