"""The tangent planes at the rows of a data set, by a fitted auto-encoder: how many, in memory or mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._validation import check_choice, check_count
from ..geometry import map_tangents, max_tangents
from ._base import BaseAutoencoder, precision

__all__ = ["MAX_BYTES", "check_n_tangents", "forget_planes", "resolve_n_tangents", "tangent_planes"]

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


def resolve_n_tangents(choice: int | str, representation: BaseAutoencoder, *, most: int | None = None) -> int:
    """How many directions a plane has: as asked for, or for "auto" 15, the Jacobian's highest rank or `most`.

    Args:
        choice: a whole number, or "auto", which takes the least of the three.
        representation: a fitted auto-encoder.
        most: None for no limit of this kind.
    """
    if not isinstance(choice, str):
        return int(choice)
    rank = max_tangents(representation.model_)
    return min(_DEFAULT_TANGENTS, rank, rank if most is None else most)


def tangent_planes(representation: BaseAutoencoder, rows: Any, n_tangents: int) -> np.ndarray:
    """The tangent plane at each row, of shape (rows, tangents, features); see `geometry.map_tangents`.

    Args:
        representation: a fitted auto-encoder.
        rows: checked data.
        n_tangents: how many directions; for 0 each plane is one row of zeros.

    Raises:
        ValueError: if `n_tangents` is more than the Jacobian's highest rank.
    """
    model = representation.model_
    if n_tangents == 0:
        return np.zeros((rows.shape[0], 1, model.n_features), model.dtype)
    with precision(model.dtype):
        return map_tangents(model, rows, n_tangents, uint8_scale=representation._uint8_scale, max_bytes=MAX_BYTES)


def forget_planes(planes: np.ndarray | None) -> None:
    """Remove the file of planes that are mapped."""
    if isinstance(planes, np.memmap) and planes.filename is not None:
        Path(planes.filename).unlink(missing_ok=True)
