"""Which columns of an Arrow table are features, and putting them side by side in one array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._validation import shortened
from ._tables import choose, listed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Layout", "fill", "find_layout"]

# By how Arrow writes its types, which have no counterpart before it is imported.
_DTYPES = {
    name: np.dtype(name) for name in ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
}
_DTYPES |= {"halffloat": np.dtype("float16"), "float": np.dtype("float32"), "double": np.dtype("float64")}


class Layout(NamedTuple):
    """The columns that are features.

    Args:
        names: of the columns, each a feature, or of the only one, which holds lists.
        length: of each list; 0 where the columns hold numbers.
        dtype: of the features together.
    """

    names: tuple[str, ...]
    length: int
    dtype: np.dtype

    @property
    def n_features(self) -> int:
        """Values of a row."""
        return self.length or len(self.names)


def find_layout(
    path: str,
    fields: Sequence[tuple[str, Any]],
    columns: Sequence[str] | None,
    index: frozenset[str],
    first_row: Callable[[str], pa.ChunkedArray],
) -> Layout:
    """The layout of a file.

    Args:
        path: what the messages call it.
        fields: the name and the Arrow type of each of its columns.
        columns: the names of those that are features, or None.
        index: the names of those that are none unless `columns` says so.
        first_row: the values of a column, from its first row on.

    Returns:
        The features.

    Raises:
        ValueError: if they are not all numbers, nor one column of lists of numbers.
    """
    chosen = [fields[place] for place in choose(path, [name for name, _ in fields], columns, index)]
    names, kinds = zip(*chosen, strict=True)
    if foreign := [(name, kind) for name, kind in chosen if _dtype(kind) is None]:
        shown = ", ".join(f"{shortened(name)!r} is {shortened(kind)}" for name, kind in foreign[:4])
        more = f" and {len(foreign) - 4} more" if len(foreign) > 4 else ""
        raise ValueError(
            f"{path!r} must hold numbers only; it does not ({shown}{more}). Name the numeric columns with --columns."
        )
    lists = [name for name, kind in chosen if _is_list(kind)]
    if lists and len(chosen) > 1:
        raise ValueError(
            f"{path!r} must hold either one column of lists or columns of numbers; it holds {len(chosen)} columns, "
            f"lists in {listed(lists)}. Name the one or the others with --columns."
        )
    dtypes = {dtype for kind in kinds if (dtype := _dtype(kind)) is not None}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.result_type(np.float32, *dtypes)
    return Layout(names, _length(path, names[0], kinds[0], first_row) if lists else 0, dtype)


def fill(rows: np.ndarray, table: pa.Table, layout: Layout, path: str, place: int) -> None:
    """Put the features of a table into an array.

    Args:
        rows: the array to fill.
        table: as many rows, validated.
        layout: its columns.
        path: what the messages call the file.
        place: the number of the first row in the file.

    Raises:
        ValueError: if it has another number of rows, a null where there is no NaN, or a list of another length.
    """
    if table.num_rows != len(rows):  # pragma: no cover - counts that lie are refused where a file is opened
        raise ValueError(f"{path!r} must hold {len(rows)} rows from row {place} on; it holds {table.num_rows}.")
    for number, name in enumerate(layout.names):
        done = 0
        for chunk in table.column(name).chunks:
            part = slice(done, done + len(chunk))
            with np.errstate(invalid="ignore"):  # of a NaN that signals, which becomes one that does not
                if layout.length:
                    rows[part] = _lists(chunk, layout.length, path, name, place + done)
                else:
                    rows[part, number] = _numbers(chunk, 1, path, name, place + done)
            done += len(chunk)


def _length(path: str, name: str, kind: Any, first_row: Callable[[str], pa.ChunkedArray]) -> int:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        length = kind.list_size
    else:
        value = first_row(name)[0]
        length = len(value) if value.is_valid else 0
    if length < 1:
        raise ValueError(f"{path!r} must hold lists of numbers in {name!r}; the one of row 0 is empty.")
    return length


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _dtype(kind: Any) -> np.dtype | None:
    """The dtype of a column, or of what its lists hold; None for what is no number."""
    import pyarrow as pa

    value = kind.value_type if _is_list(kind) else kind
    return np.dtype("float64") if pa.types.is_decimal(value) else _DTYPES.get(str(value))


def _lists(lists: Any, length: int, path: str, name: str, place: int) -> np.ndarray:
    """The numbers of lists, of shape (lists, length)."""
    import pyarrow as pa

    if lists.null_count:
        raise ValueError(
            f"{path!r} must hold a list in each row of {name!r}; row {place + _first_null(lists)} has null."
        )
    if not pa.types.is_fixed_size_list(lists.type):
        lengths = np.diff(lists.offsets.to_numpy())
        if (lengths != length).any():
            row = int(np.argmax(lengths != length))
            raise ValueError(
                f"{path!r} must hold lists of {length} numbers in {name!r}, as in row 0; "
                f"row {place + row} has {lengths[row]}."
            )
    return _numbers(lists.flatten(), length, path, name, place).reshape(-1, length)


def _numbers(values: Any, length: int, path: str, name: str, place: int) -> np.ndarray:
    """The numbers of a chunk, of which each row has `length`; NaN for the nulls of floats."""
    import pyarrow as pa

    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if values.null_count and not pa.types.is_floating(values.type):
        row = place + _first_null(values) // length
        raise ValueError(
            f"{path!r} must hold a number in each row of {name!r}, as {values.type} has no NaN; row {row} has null. "
            "Write it as floats."
        )
    return values.to_numpy(zero_copy_only=False)


def _first_null(values: Any) -> int:
    return int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
