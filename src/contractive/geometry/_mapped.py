"""The tangent planes of many rows, in memory or in a file."""

import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .._files import cache_folder
from .._processors import n_processors
from ..batched import floats_held, map_rows
from ..models import Model
from ._leading import default_steps_by_gram, leading_by_gram, many_digits, prepare, settled, slopes_at, suits
from ._tangents import (
    OVERSAMPLING,
    Method,
    check_tangents,
    leading_singular_values,
    resolve_method,
    tangents,
)

__all__ = ["map_spectra", "map_tangents"]

_CHUNK_BYTES = 1 << 24  # of tangents that are computed before they are stored and `on_chunk` hears of them
_COPIED_ROWS = 4096  # at a time, of those whose spectra are wanted


def map_tangents(
    model: Model,
    rows: Any,
    n_tangents: int,
    *,
    uint8_scale: float = 1,
    method: str = "auto",
    max_bytes: int = 1 << 30,
    folder: str | Path | None = None,
    on_chunk: Callable[[int], object] | None = None,
) -> np.ndarray:
    """The tangents of every row, as `tangents` finds them at each.

    Args:
        model: the auto-encoder.
        rows: the data, of shape (n_rows, n_features), n_rows >= 1: floats, uint8, or scipy's CSR.
        n_tangents: from 1 to `max_tangents(model)`.
        uint8_scale: what a uint8 value is divided by.
        method: "auto", "exact" or "krylov".
        max_bytes: the most memory that the result may take.
        folder: where the file goes if it takes more; None for the package's cache folder.
        on_chunk: called now and then with how many rows are done; what it raises ends the work, and leaves no file.

    Returns:
        Array of shape (n_rows, n_tangents, n_features), of the model's dtype. If that is more than `max_bytes`, a
        memory map of float16 (each entry to 2^-11 of itself) of a new `.npy` file in `folder`, whose path is its
        `filename`: whoever called deletes the file.

    Raises:
        TypeError: if `n_tangents` is no whole number.
        ValueError: if it is out of range, or the method is not known.
        OSError: if the file cannot be written.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(6, 4, rng=np.random.RandomState(0))
        >>> map_tangents(model, np.eye(6, dtype="float32"), 2).shape
        (6, 2, 6)
    """
    check_tangents(model, n_tangents)
    chosen = resolve_method(method, model, n_tangents)
    shape = rows.shape[0], n_tangents, model.n_features
    chunk = 1 << max(0, (_CHUNK_BYTES // (4 * n_tangents * model.n_features)).bit_length() - 1)
    floats = _floats_of_a_row(model, n_tangents, chosen)

    def fill(planes: np.ndarray) -> np.ndarray:
        for start in range(0, len(planes), chunk):
            part = rows[start : start + chunk]
            with _one_thread():
                planes[start : start + chunk] = map_rows(
                    _at_an_example(tangents, n_tangents=n_tangents, method=chosen),
                    model,
                    part,
                    uint8_scale=uint8_scale,
                    floats=floats,
                )
            if on_chunk is not None:
                on_chunk(start + part.shape[0])
        return planes

    if np.prod(shape, dtype=float) * model.dtype.itemsize <= max_bytes:
        return fill(np.empty(shape, model.dtype))
    return _filled_file(Path(folder) if folder is not None else cache_folder(), shape, fill)


def map_spectra(model: Model, rows: Any, n_values: int, *, uint8_scale: float = 1, method: str = "auto") -> np.ndarray:
    """The leading singular values of every row.

    For one large dense layer "auto" finds them together, without the tangents: by block Lanczos with the Gram matrix of
    the weights, which all rows share; and by a larger Krylov space at rows where that has not settled to a thousandth.
    Else they are those of `leading_singular_values`.

    Args:
        model: the auto-encoder.
        rows: the data, of shape (n_rows, n_features), n_rows >= 1: floats, uint8, or scipy's CSR.
        n_values: from 1 to `max_tangents(model)`.
        uint8_scale: what a uint8 value is divided by.
        method: "auto", "exact" or "krylov".

    Returns:
        Array of shape (n_rows, n_values), of the model's dtype, of each row the largest first.

    Raises:
        TypeError: if `n_values` is no whole number.
        ValueError: if it is out of range, or the method is not known.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(6, 4, rng=np.random.RandomState(0))
        >>> map_spectra(model, np.eye(6, dtype="float32"), 2).shape
        (6, 2)
    """
    check_tangents(model, n_values, name="n_values")
    chosen = resolve_method(method, model, n_values)
    with _one_thread():
        if method == "auto" and suits(model, n_values):
            return _map_by_gram(model, rows, n_values, uint8_scale)
        function = _at_an_example(leading_singular_values, n_values=n_values, method=chosen)
        floats = _floats_of_a_row(model, n_values, chosen)
        return map_rows(function, model, rows, uint8_scale=uint8_scale, floats=floats)


def _one_thread() -> AbstractContextManager[object]:
    """LAPACK in one thread: at many small problems more of them mostly wait, on a busy machine ten times as long."""
    return threadpool_limits(1, user_api="blas")


def _map_by_gram(model: Model, rows: Any, n_values: int, uint8_scale: float) -> np.ndarray:
    """By as small a Krylov space as mostly does; at the rows where it does not, by one of twice as many steps."""
    prepared, found = prepare(model), np.empty((rows.shape[0], n_values), model.dtype)
    if not np.isfinite(prepared.gram).all():
        found.fill(np.nan)  # where LAPACK's eigensolver ends in an error
        return found
    left, n_steps = np.arange(len(found)), default_steps_by_gram(n_values)
    with ThreadPoolExecutor(n_processors()) as pool:
        for _ in range(2):
            changes = []
            for places in _parts(left):
                slopes = map_rows(slopes_at, model, rows[places], uint8_scale=uint8_scale)
                both = leading_by_gram(prepared, slopes, n_values, n_steps, pool)
                found[places] = both[:, 0]
                changes.append(settled(both))
            if not changes:
                break
            left, n_steps = left[~np.concatenate(changes)], 2 * n_steps
    function = _at_an_example(leading_singular_values, n_values=n_values, method=Method.KRYLOV)
    floats = _floats_of_a_row(model, n_values, Method.KRYLOV)
    for places in _parts(np.flatnonzero(~many_digits(found))):
        found[places] = map_rows(function, model, rows[places], uint8_scale=uint8_scale, floats=floats)
    return found


def _parts(places: np.ndarray) -> list[np.ndarray]:
    """Places of rows that are copied together."""
    return [places[start : start + _COPIED_ROWS] for start in range(0, len(places), _COPIED_ROWS)]


def _filled_file(folder: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A new file of float16 with what `fill` writes into it; no file if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tangents-{secrets.token_hex(8)}.npy"
    try:
        planes = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here; written to by a mapping it is a crash
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        fill(planes).flush()  # type: ignore[attr-defined]
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return planes


@lru_cache
def _at_an_example(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """One object for one function with its options, as compiled code is kept by it."""
    return partial(function, **options)


def _floats_of_a_row(model: Model, n_tangents: int, method: Method) -> int:
    """How many floats are counted for one row, by which rows are taken together."""
    widest = max(model.n_features, model.n_hidden, *(len(layer.bias) for layer in model.encoder_layers or ()))
    if method == Method.EXACT:
        small, large = sorted((model.n_features, model.n_hidden))
        return floats_held(type(model).encode, model) + widest * large + 3 * small**2
    # A quarter of what the Krylov space holds: below some 32 rows the products of the layers are slower by half.
    return 2 * (n_tangents + OVERSAMPLING) * widest
