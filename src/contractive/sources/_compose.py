"""Readers made of readers: shards one after the other, and some ranges of the rows of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._base import RowReader

__all__ = ["RowRanges", "Shards"]

_WASTE = 2  # rows that may be read for one that is wanted


class Shards(RowReader):
    """The rows of several readers, one after the other.

    Args:
        name: what messages call the whole.
        readers: the shards, at least one.

    Raises:
        ValueError: if they are not all of one width and one dtype; the message names the first that differs.
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype

    def __init__(self, name: str, readers: Sequence[RowReader]):
        first = readers[0]
        for reader in readers:
            for what, own, other in (
                ("features", first.shape[1], reader.shape[1]),
                ("dtype", first.dtype, reader.dtype),
            ):
                if own != other:
                    raise ValueError(
                        f"all shards of {name!r} must have the same {what}; "
                        f"got {own} in {first.name!r} and {other} in {reader.name!r}."
                    )
        self.name, self.dtype, self._readers = name, first.dtype, tuple(readers)
        self._starts = np.concatenate([[0], np.cumsum([len(reader) for reader in readers])])
        self.shape = int(self._starts[-1]), first.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        rows = np.empty((stop - start, self.shape[1]), self.dtype)
        for number in range(int(first), int(last) + 1):
            own, end = int(self._starts[number]), int(self._starts[number + 1])
            low, high = max(start, own), min(stop, end)
            rows[low - start : high - start] = self._readers[number].read(low - own, high - own)
        return rows

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """As for `RowReader`: no block holds rows of two shards."""
        parts = [
            start + reader.block_bounds(n_rows)[:-1]
            for start, reader in zip(self._starts[:-1], self._readers, strict=True)
        ]
        return np.append(np.concatenate(parts), len(self))

    def place(self, row: int) -> str:
        """As for `RowReader`, with the shard's name."""
        number = int(np.searchsorted(self._starts, row, side="right") - 1)
        reader = self._readers[number]
        return f"{reader.place(row - int(self._starts[number]))} of {reader.name!r}"


class RowRanges(RowReader):
    """Some ranges of the rows of a reader, in its order.

    Args:
        reader: whose rows they are.
        ranges: of shape (n_ranges, 2), increasing and apart: the first row of each and the one after its last.
    """

    def __init__(self, reader: RowReader, ranges: np.ndarray):
        self._reader, self.read_ahead = reader, reader.read_ahead
        self._ranges = np.asarray(ranges, np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._ranges[:, 1] - self._ranges[:, 0])])
        self.name, self.dtype, self.shape = reader.name, reader.dtype, (int(self._starts[-1]), reader.shape[1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        own, ranges = self._starts[first : last + 1], self._ranges[first : last + 1]
        begins = ranges[:, 0] + np.maximum(start - own, 0)
        ends = ranges[:, 0] + np.minimum(stop - own, ranges[:, 1] - ranges[:, 0])
        if ends[-1] - begins[0] <= _WASTE * (stop - start):  # a few rows left out here and there: one read for all
            kept = np.concatenate([np.arange(*pair) for pair in zip(begins, ends, strict=True)])
            rows = self._reader.read(int(begins[0]), int(ends[-1]))
            return rows if len(kept) == len(rows) else rows[kept - begins[0]]
        parts = [self._reader.read(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]
        return np.concatenate(parts)

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """As for `RowReader`: the reader's own blocks, without the rows that are left out."""
        places = self._reader.block_bounds(n_rows)
        number = np.searchsorted(self._ranges[:, 0], places, side="right") - 1
        inside = np.minimum(places, self._ranges[number, 1]) - self._ranges[number, 0]
        return np.unique(np.where(number < 0, 0, self._starts[number] + inside))

    def place(self, row: int) -> str:
        """As for `RowReader`: as the reader counts, whose file the user knows."""
        number = int(np.searchsorted(self._starts, row, side="right") - 1)
        return self._reader.place(int(self._ranges[number, 0]) + row - int(self._starts[number]))
