"""Argument checks and their wording: what, the rule, the value, the remedy."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "check_choice",
    "check_count",
    "check_flag",
    "check_interval",
    "check_rows",
    "check_seed",
    "check_shape",
    "check_weights",
    "shortened",
    "shown",
    "stored_dtype",
]

_BLOCK_ENTRIES = 1 << 22  # entries looked at in one go, so that a check costs megabytes and not the size of the data
_MAX_SHOWN, _MAX_TEXT = 120, 60  # letters of a value and of a text


def shown(value: object) -> str:
    """A value as an error message shows it: its `repr`, in one line of bounded length."""
    text = repr(value)
    if "\n" in text:
        text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def shortened(text: object, length: int = _MAX_TEXT) -> str:
    """What something says, in one line that is not too long and holds nothing that a terminal would obey.

    Args:
        text: what is said, an error say.
        length: the most letters of it, >= 3.
    """
    line = " ".join(str(text).split())
    if not line.isprintable():
        line = repr(line)[1:-1]
    return line if len(line) <= length else f"{line[: length - 3]}..."


def check_interval(name: str, value: object, *, low: float, high: float = math.inf, strict: bool = False) -> float:
    """The value as a float when it is a finite number >= low and <= high (> low and < high when strict).

    Raises:
        TypeError: if it is no number.
        ValueError: if it is out of range.
    """
    rule = f"must be {'>' if strict else '>='} {low:g}"
    if high < math.inf:
        rule += f" and {'<' if strict else '<='} {high:g}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"`{name}` {rule}; got {shown(value)}.")
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond all floats
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high or (strict and number in (low, high)):
        raise ValueError(f"`{name}` {rule}; got {shown(value)}.")
    return number


def check_count(name: str, value: object, *, low: int = 1) -> int:
    """The value as an int when it is a whole number >= low.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below `low`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be a whole number >= {low}; got {shown(value)}.")
    if value < low:
        raise ValueError(f"`{name}` must be a whole number >= {low}; got {shown(value)}.")
    return int(value)


def check_choice(name: str, value: object, known: object) -> str:
    """The value when it is one of the known names.

    Raises:
        ValueError: if it is not; the message lists what is known.
    """
    names = sorted(known)  # type: ignore[type-var, arg-type]
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, names))}; got {shown(value)}.")
    return value


def check_flag(name: str, value: object) -> bool:
    """The value as a bool when it is True or False.

    Raises:
        TypeError: if it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` must be True or False; got {shown(value)}.")
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
        raise TypeError(f"`{name}` {rule}; got {shown(value)}.")
    if not 0 <= int(value) < 2**32:
        raise ValueError(f"`{name}` {rule}; got {shown(value)}.")


def check_rows(
    X: object,
    *,
    name: str = "X",
    min_rows: int = 1,
    unit_interval: bool = False,
    uint8_scale: float = 1,
    largest: float = np.inf,
    place: Callable[[int], str] = "row {}".format,
) -> Any:
    """The data as a 2-d array of finite numbers: uint8, float32 and float64 as they are; sparse data as CSR.

    Args:
        X: anything that NumPy turns into an array of shape (n_samples, n_features), or scipy's sparse data. Booleans
            and float16 become float32, integers other than uint8 become float64, and so does what NumPy reads from
            lists. Floats of another byte order keep their size.
        name: what the messages call it.
        min_rows: the least number of rows.
        unit_interval: whether every value must lie in [0, 1].
        uint8_scale: what a uint8 value is divided by before it is compared with 1.
        largest: the largest absolute value that the arithmetic holds.
        place: what the messages say of the row of a number, "row 7" say.

    Returns:
        The array, or the CSR array or matrix. uint8, float32 and float64 values are not copied.

    Raises:
        TypeError: if it holds strings, objects that are no numbers, or dates.
        ValueError: if it is not 2-d, has too few rows, no features, complex numbers, NaN, infinity, values outside
            [0, 1] where they must not be, or beyond `largest`.
    """
    if hasattr(X, "tocsr"):
        array: Any = _as_csr(X)
    else:
        try:
            array = np.asarray(X)
        except ValueError as error:
            raise ValueError(f"`{name}` must be a rectangular array of numbers; got {error}.") from error
    array = _check_kind(array, name)
    check_shape(array.shape, name=name, min_rows=min_rows)
    array = array if array.dtype == stored_dtype(array.dtype) else array.astype(stored_dtype(array.dtype))
    _check_values(array, name, unit_interval, uint8_scale, largest, place)
    return array


def stored_dtype(dtype: np.dtype) -> np.dtype:
    """What numbers of a dtype are kept as: uint8, float32 and float64 as they are; see `check_rows`."""
    if dtype in (np.uint8, np.float32, np.float64):
        return dtype
    is_narrow = dtype.kind == "b" or (dtype.kind == "f" and dtype.itemsize <= 4)
    return np.dtype(np.float32 if is_narrow else np.float64)


def _as_csr(X: Any) -> Any:
    """CSR with one entry a place, so that a value in it is a value of the data."""
    rows = X.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _check_kind(array: Any, name: str) -> Any:
    """The array, numbers that came as objects taken out of them."""
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: `{name}` must hold real numbers; got dtype {array.dtype}.")
    if kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`{name}` must hold numbers; got objects ({error}). Encode them as numbers first."
            ) from error
    if kind not in "buif":
        words = {"U": "strings", "S": "bytes"}.get(kind, str(array.dtype))
        raise TypeError(f"`{name}` must hold numbers; got {words} (dtype {array.dtype}). Encode them as numbers first.")
    return array


def check_shape(shape: tuple[int, ...], *, name: str = "X", min_rows: int = 1) -> None:
    """Refuse what is no table of enough rows.

    Raises:
        ValueError: if it is not 2-d, has too few rows, or no features.
    """
    if len(shape) != 2:
        remedy = {
            1: f"Reshape your data: {name}.reshape(1, -1) for one row, {name}.reshape(-1, 1) for one feature.",
            0: "Pass a table.",
        }.get(len(shape), f"Flatten each example: {name}.reshape(len({name}), -1).")
        raise ValueError(
            f"`{name}` must be 2-d, of shape (n_samples, n_features); got {len(shape)}-d of shape {shape}. {remedy}"
        )
    rows, features = shape
    if rows < min_rows:
        plural = "" if min_rows == 1 else "s"
        raise ValueError(f"`{name}` must have at least {min_rows} row{plural}; got {rows} sample(s) (shape {shape}).")
    if features < 1:
        # In scikit-learn's words, which its checks look for.
        raise ValueError(f"`{name}` has 0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def _check_values(
    array: Any, name: str, unit_interval: bool, uint8_scale: float, largest: float, place: Callable[[int], str]
) -> None:
    is_float = array.dtype.kind == "f"
    one = uint8_scale if array.dtype == np.uint8 else 1
    if not (is_float or unit_interval):
        return
    # Of sparse data the values that are stored: the others are zeros, which are well everywhere.
    is_sparse = hasattr(array, "tocsr")
    values = array.data if is_sparse else array
    block = max(1, _BLOCK_ENTRIES // (1 if is_sparse else array.shape[1]))

    def find(wrong: np.ndarray, start: int) -> tuple[float, str]:
        index = np.argwhere(wrong)[0]
        index[0] += start
        row, column = (
            (np.searchsorted(array.indptr, index[0], side="right") - 1, array.indices[index[0]]) if is_sparse else index
        )
        return float(values[tuple(index)]), f"at {place(int(row))}, column {column}"

    for start in range(0, len(values), block):
        part = values[start : start + block]
        if is_float and not _is_finite(part):
            value, where = find(~np.isfinite(part), start)
            raise ValueError(f"`{name}` must be finite; got {_spell(value)} {where}. Fill or drop such values first.")
        if array.dtype == np.float64 and max(-part.min(), part.max()) > largest:
            value, where = find(np.abs(part) > largest, start)
            raise ValueError(
                f"`{name}` must lie within {largest:.2g}, the range of the arithmetic; got {value:g} {where}. "
                "Scale the data."
            )
        if unit_interval and (part.min() < 0 or part.max() > one):
            value, where = find((part < 0) | (part > one), start)
            remedy = (
                f"Pass uint8_scale=256 to read bytes as pixels k/256 (now {uint8_scale:g})"
                if array.dtype == np.uint8
                else "Scale the data"
            )
            raise ValueError(
                f"`{name}` must lie in [0, 1] for the cross-entropy; got {value:g} {where}. {remedy} or use "
                "loss='squared_error'."
            )


def _is_finite(values: np.ndarray) -> bool:
    """Whether no value is NaN or infinite: a finite sum of all tells it, which takes no array as large."""
    return bool(np.isfinite(np.einsum("i->", values.ravel("K")))) or bool(np.isfinite(values).all())


def check_weights(name: str, value: object, n_rows: int) -> np.ndarray | None:
    """What each row counts, as floats; None stays None.

    Args:
        name: what the messages call it.
        value: anything that NumPy turns into an array of shape (n_rows,), or None.
        n_rows: the number of rows.

    Returns:
        float64 of shape (n_rows,), as given.

    Raises:
        TypeError: if it does not hold numbers.
        ValueError: if it is of another shape, or holds negative values, NaN or infinity, or nothing but zeros.
    """
    if value is None:
        return None
    try:
        weights = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be 1-d, one number a row; got {shown(value)}.") from error
    if weights.shape != (n_rows,):
        raise ValueError(f"`{name}` must be 1-d, one number a row, of shape ({n_rows},); got shape {weights.shape}.")
    if weights.dtype.kind not in "buif":
        raise TypeError(f"`{name}` must hold numbers; got dtype {weights.dtype}.")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0:
        row = int(np.argmax(~np.isfinite(weights) | (weights < 0)))
        raise ValueError(f"`{name}` must be finite and >= 0; got {weights[row]:g} at row {row}.")
    if not weights.any():
        raise ValueError(f"`{name}` must have a value > 0; got {n_rows} zeros.")
    return weights


def _spell(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
