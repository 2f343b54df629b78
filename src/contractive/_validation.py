"""Argument checks and their wording: what, the rule, the value, the remedy."""

import math
from numbers import Integral, Real

import numpy as np

__all__ = ["check_choice", "check_count", "check_flag", "check_interval", "check_rows", "check_seed"]

_BLOCK_ENTRIES = 1 << 22  # entries looked at in one go, so that a check costs megabytes and not the size of the data


def check_interval(name: str, value: object, *, low: float, strict: bool = False) -> float:
    """The value as a float when it is a finite number >= low (> low when strict).

    Raises:
        TypeError: if it is no number.
        ValueError: if it is out of range.
    """
    rule = f"must be {'>' if strict else '>='} {low:g}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` {rule}; got {value!r}.")
    if not math.isfinite(value) or value < low or (strict and value == low):
        raise ValueError(f"`{name}` {rule}; got {value!r}.")
    return float(value)


def check_count(name: str, value: object, *, low: int = 1) -> int:
    """The value as an int when it is a whole number >= low.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below `low`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be a whole number >= {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"`{name}` must be a whole number >= {low}; got {value!r}.")
    return int(value)


def check_choice(name: str, value: object, known: object) -> str:
    """The value when it is one of the known names.

    Raises:
        ValueError: if it is not; the message lists what is known.
    """
    names = sorted(known)  # type: ignore[type-var, arg-type]
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, names))}; got {value!r}.")
    return value


def check_flag(name: str, value: object) -> bool:
    """The value as a bool when it is True or False.

    Raises:
        TypeError: if it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False; got {value!r}.")
    return bool(value)


def check_seed(name: str, value: object) -> None:
    """Refuse what is neither None, a `RandomState` nor a whole number from 0 to 2^32 - 1.

    Raises:
        TypeError: if it is of another type.
        ValueError: if the number is out of range.
    """
    if value is None or isinstance(value, np.random.RandomState):
        return
    rule = "must be None, a RandomState or a whole number from 0 to 4294967295"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` {rule}; got {value!r}.")
    if not 0 <= int(value) < 2**32:
        raise ValueError(f"`{name}` {rule}; got {value!r}.")


def check_rows(
    X: object,
    *,
    name: str = "X",
    n_features: int | None = None,
    min_rows: int = 1,
    unit_interval: bool = False,
    uint8_scale: float = 1,
    largest: float = np.inf,
) -> np.ndarray:
    """The data as a 2-d array of finite numbers: uint8, float32 and float64 as they are.

    Args:
        X: anything that NumPy turns into an array of shape (n_samples, n_features). Booleans become
            float32, integers other than uint8 become float64, and so does what NumPy reads from lists.
        name: what the messages call it.
        n_features: the number of features that it must have, or None for any number >= 1.
        min_rows: the least number of rows.
        unit_interval: whether every value must lie in [0, 1].
        uint8_scale: what a uint8 value is divided by before it is compared with 1.
        largest: the largest absolute value that the arithmetic holds.

    Returns:
        The array. uint8, float32 and float64 arrays are not copied.

    Raises:
        TypeError: if it is sparse, or holds strings, objects, dates or complex numbers.
        ValueError: if it is not 2-d, has too few rows, no or the wrong number of features, NaN, infinity,
            values outside [0, 1] where they must not be, or beyond `largest`.
    """
    if hasattr(X, "toarray"):
        raise TypeError(f"`{name}` must be a dense array; got {type(X).__name__}. Pass {name}.toarray().")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers; got {error}.") from error
    _check_kind(array, name)
    _check_shape(array, name, n_features, min_rows)
    if array.dtype not in (np.uint8, np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype.kind == "b" or array.dtype == np.float16 else np.float64)
    _check_values(array, name, unit_interval, uint8_scale, largest)
    return array


def _check_kind(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "buif":
        kind = {"U": "strings", "S": "bytes", "O": "objects", "c": "complex numbers"}.get(
            array.dtype.kind, str(array.dtype)
        )
        raise TypeError(f"`{name}` must hold numbers; got {kind} (dtype {array.dtype}). Encode them as numbers first.")


def _check_shape(array: np.ndarray, name: str, n_features: int | None, min_rows: int) -> None:
    if array.ndim != 2:
        remedy = {
            1: f"Reshape your data: {name}.reshape(1, -1) for one row, {name}.reshape(-1, 1) for one feature.",
            0: "Pass a table.",
        }.get(array.ndim, f"Flatten each example: {name}.reshape(len({name}), -1).")
        raise ValueError(
            f"`{name}` must be 2-d, of shape (n_samples, n_features); "
            f"got {array.ndim}-d of shape {array.shape}. {remedy}"
        )
    rows, features = array.shape
    if rows < min_rows:
        plural = "" if min_rows == 1 else "s"
        raise ValueError(
            f"`{name}` must have at least {min_rows} row{plural}; got {rows} sample(s) (shape {array.shape})."
        )
    if features < 1:
        raise ValueError(f"`{name}` must have at least 1 feature; got 0 feature(s) (shape {array.shape}).")
    if n_features is not None and features != n_features:
        raise ValueError(
            f"`{name}` must have {n_features} features, as the data that the model was fitted on; got {features}."
        )


def _check_values(array: np.ndarray, name: str, unit_interval: bool, uint8_scale: float, largest: float) -> None:
    is_float = array.dtype.kind == "f"
    one = uint8_scale if array.dtype == np.uint8 else 1
    if not (is_float or unit_interval):
        return
    block = max(1, _BLOCK_ENTRIES // array.shape[1])
    for start in range(0, len(array), block):
        part = array[start : start + block]
        if is_float and not np.isfinite(part).all():
            row, column = np.argwhere(~np.isfinite(part))[0]
            raise ValueError(
                f"`{name}` must be finite; got {_spell(float(part[row, column]))} at row {start + row}, "
                f"column {column}. Fill or drop such values first."
            )
        if array.dtype == np.float64 and max(-part.min(), part.max()) > largest:
            row, column = np.argwhere(np.abs(part) > largest)[0]
            raise ValueError(
                f"`{name}` must lie within {largest:.2g}, the range of the arithmetic; got {part[row, column]:g} "
                f"at row {start + row}, column {column}. Scale the data."
            )
        if unit_interval and (part.min() < 0 or part.max() > one):
            row, column = np.argwhere((part < 0) | (part > one))[0]
            remedy = (
                f"Pass uint8_scale=256 to read bytes as pixels k/256 (now {uint8_scale:g})"
                if array.dtype == np.uint8
                else "Scale the data"
            )
            raise ValueError(
                f"`{name}` must lie in [0, 1] for the cross-entropy; got {part[row, column]:g} at row {start + row}, "
                f"column {column}. {remedy} or use loss='squared_error'."
            )


def _spell(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
