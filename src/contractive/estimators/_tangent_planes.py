"""The tangent planes at the rows of a data set, by a fitted auto-encoder: how many, in memory or mapped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._validation import check_choice, check_count
from ..geometry import map_tangents, max_tangents
from ..models import Model
from ._base import BaseAutoencoder, precision
from ._describe import model_arrays, model_outline
from ._stacked import StackedAutoencoder

__all__ = ["MAX_BYTES", "TangentProgress", "check_n_tangents", "check_named", "resolve_n_tangents", "tangent_planes"]

MAX_BYTES = 1 << 30
"""What planes may take in memory; more of them are mapped."""

_DEFAULT_TANGENTS = 15
_OWN = "`tangent_cache` must be None with a function of the user's own, as it has no name to keep by."
_CACHE_VERSION = 1  # another one where tangents are found in another way


class TangentProgress(NamedTuple):
    """How many rows have their tangent plane, of how many."""

    rows: int
    n_rows: int


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


def resolve_n_tangents(choice: int | str, representation: Any, n_features: int, *, most: int | None = None) -> int:
    """How many directions a plane has, from what is known before the representation is trained.

    Args:
        choice: a whole number, or "auto": 15, or fewer where the rank, half of the features or `most` are fewer.
        representation: an auto-encoder, fitted or not, or a frozen one.
        n_features: features of the data.
        most: no more than these are of use; None for no such limit.

    Raises:
        ValueError: if there are more than the Jacobian's highest rank, or than `most`.
    """
    rank = _highest_rank(representation, n_features)
    if isinstance(choice, str):
        return min(_DEFAULT_TANGENTS, rank, max(1, (n_features - 1) // 2) if most is None else most)
    if choice > rank:
        raise ValueError(
            f"`n_tangents` must be <= {rank}, the rank of the Jacobian of {n_features} features and these layers; "
            f"got {choice}."
        )
    if most is not None and choice > most:
        raise ValueError(
            f"`n_tangents` must be <= {most}, fewer than half of the {n_features} features, as planes of more always "
            f"meet; got {choice}."
        )
    return int(choice)


def _highest_rank(representation: Any, n_features: int) -> int:
    """The least of the features, the code and the layers between, as far as the parameters tell."""
    if isinstance(representation, FrozenEstimator):
        return max_tangents(representation.estimator.model_)
    if isinstance(representation, StackedAutoencoder):
        layers = representation._checked_layers()
        return min(_highest_rank(layer, n_features) for layer in layers)
    if representation.encoder is not None:
        return n_features
    return min(n_features, *map(int, representation.hidden_layer_sizes), int(representation.n_components))


def tangent_planes(
    representation: BaseAutoencoder,
    rows: Any,
    n_tangents: int,
    *,
    cache: Path | None = None,
    report: Callable[[TangentProgress], object] | None = None,
    is_mapped: bool = True,
) -> np.ndarray:
    """The tangent plane at each row, of shape (rows, tangents, features); see `geometry.map_tangents`.

    Planes that are mapped are in a file without a name, which the system removes with the last reference to them; with
    a `cache`, in a float16 file of it that stays, and is read where the model, the rows and the number are the same.

    Args:
        representation: a fitted auto-encoder.
        rows: checked data.
        n_tangents: how many directions; for 0 each plane is one row of zeros.
        cache: the folder in which planes are kept for other fits; None for none.
        report: called now and then while it goes on.
        is_mapped: whether more than `MAX_BYTES` of them are mapped, rounded to float16, where they are orthonormal to a
            thousandth only.

    Raises:
        ValueError: if `n_tangents` is more than the Jacobian's highest rank.
        OSError: if there is no room for the file.
    """
    model = representation.model_
    if n_tangents == 0:
        return np.zeros((rows.shape[0], 1, model.n_features), model.dtype)
    kept = None if cache is None else cache / f"tangents-{_digest(representation, rows, n_tangents)}.npy"
    if kept is not None and (planes := _read_planes(kept, (rows.shape[0], n_tangents, model.n_features))) is not None:
        return planes
    with precision(model.dtype):
        planes = map_tangents(
            model,
            rows,
            n_tangents,
            uint8_scale=representation._uint8_scale,
            max_bytes=0 if kept is not None else MAX_BYTES if is_mapped else sys.maxsize,
            folder=cache,
            on_chunk=None if report is None else lambda done: report(TangentProgress(done, rows.shape[0])),
        )
    if isinstance(planes, np.memmap) and planes.filename is not None:
        if kept is not None:
            Path(planes.filename).replace(kept)
            return planes
        with suppress(PermissionError):  # where a file that is open cannot be removed
            Path(planes.filename).unlink()
    return planes


def check_named(representation: Any) -> None:
    """Refuse, before anything is trained, what no cache can tell from another: a function of the user's own.

    Args:
        representation: an auto-encoder, unfitted, or `FrozenEstimator(fitted)`.

    Raises:
        TypeError: if the encoder, or its nonlinearity, is the user's own.
    """
    if isinstance(representation, FrozenEstimator):
        _named_outline(representation.estimator.model_)
    else:
        layers = getattr(representation, "layers", None) or [representation]
        if any(layer.encoder is not None or callable(layer.activation) for layer in layers):
            raise TypeError(_OWN)


def _named_outline(model: Model) -> dict[str, Any]:
    """What an encoder is besides its arrays, for a cache to tell it from others; errors as for `check_named`."""
    try:
        outline = model_outline(model)
    except TypeError as error:
        raise TypeError(_OWN) from error
    if "own" in outline:
        raise TypeError(_OWN)
    return outline


def _read_planes(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The planes in a file; None where there is none, or it is cut short or of another shape."""
    try:
        planes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return planes if planes.shape == shape and planes.dtype == np.float16 else None


def _digest(representation: BaseAutoencoder, rows: Any, n_tangents: int) -> str:
    """A name for what the planes depend on: the encoder, the rows, the number, and how they are found.

    Raises:
        TypeError: if the encoder, or its nonlinearity, is the user's own, which nothing tells from another.
    """
    model = representation.model_
    outline = _named_outline(model)
    facts = [_CACHE_VERSION, outline, representation._uint8_scale, n_tangents]
    parts = [rows.data, rows.indices, rows.indptr] if hasattr(rows, "indptr") else [rows]
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in [*model_arrays(model).values(), *parts]:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:32]
