"""What a format is to the fuzzer: valid files, files that are damaged where it hurts, and two ways to read one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from contractive.sources import RowReader

__all__ = ["Format", "Inconsistent", "read_all"]

_MOST_BLOCK = 64  # rows


class Format(NamedTuple):
    """One kind of file.

    Args:
        ending: of a file's name.
        valid: makes the content of a file that must be read.
        twisted: makes of valid content that of a file with false headers; checksums are right where that is possible.
        options: chooses how a file is read, as keywords for the other two.
        read: reads all of a file by path, as users of the package do.
        expected: reads the same without the package; raises whatever it likes where there is nothing to read.
        is_same: whether both agree.
    """

    ending: str
    valid: Callable[[np.random.Generator], bytes]
    twisted: Callable[[bytes, np.random.Generator], bytes]
    read: Callable[..., Any]
    expected: Callable[..., Any]
    options: Callable[[np.random.Generator], dict[str, Any]] = lambda _: {}
    is_same: Callable[[Any, Any], bool] = lambda found, expected: same(found, expected)


class Inconsistent(Exception):
    """A reader that says two things of the same rows."""


def read_all(rows: RowReader | np.ndarray) -> np.ndarray:
    """All rows, block by block, and some of them once more, by number and by slice.

    Raises:
        Inconsistent: if these differ from the blocks, or blocks from what the reader says of them.
        OSError: as for `RowReader.read`.
        ValueError: as for `RowReader.read`.
    """
    if isinstance(rows, np.ndarray):
        return rows
    whole, last = np.empty(rows.shape, rows.dtype), len(rows) - 1
    for start, stop in pairwise(rows.block_bounds(_MOST_BLOCK).tolist()):
        block = rows.read(start, stop)
        if block.shape != (stop - start, rows.shape[1]) or block.dtype != rows.dtype:
            raise Inconsistent(f"rows {start} to {stop} are {block.dtype} of {block.shape}")
        whole[start:stop] = block
    for some in (
        np.array([last, 0, last // 2, last // 2]),
        slice(last // 3, last + 1, 2),
        slice(last // 2, last // 2 + 3),
    ):
        if not same(rows[some], whole[some]):
            raise Inconsistent(f"rows {some}")
    return whole


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two arrays have the same dtype, shape and values, NaN among them."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if found.dtype.kind not in "buifc":  # texts and records, which are no rows for long
        return found.tobytes() == expected.tobytes()
    return np.array_equal(found, expected, equal_nan=found.dtype.kind in "fc")
