"""Rows that are checked as they are read, and leaving out those that are no numbers."""

from __future__ import annotations

import numpy as np

from .._validation import check_rows, check_shape, stored_dtype
from ._ahead import blocks_ahead
from ._base import RowReader
from ._compose import RowRanges

__all__ = ["CheckedRows", "without_bad_rows"]

_SCAN_BYTES = 1 << 22  # read at a time when all rows are looked at


class CheckedRows(RowReader):
    """The rows of a reader as `_validation.check_rows` gives them, each block when it is read.

    So rows of any number cost no pass of their own before training, and what is wrong is found in the first epoch.

    Args:
        reader: the rows.
        min_rows: the least number of rows.
        unit_interval: as for `check_rows`.
        uint8_scale: likewise.
        largest: likewise.

    Raises:
        ValueError: if there are too few rows.
    """

    def __init__(
        self,
        reader: RowReader,
        *,
        min_rows: int = 1,
        unit_interval: bool = False,
        uint8_scale: float = 1,
        largest: float = np.inf,
    ):
        check_shape(reader.shape, name=reader.name, min_rows=min_rows)
        self.name, self.shape, self.dtype = reader.name, reader.shape, stored_dtype(reader.dtype)
        self.read_ahead = reader.read_ahead
        self._reader = reader
        self._rules = {"unit_interval": unit_interval, "uint8_scale": uint8_scale, "largest": largest}

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`.

        Raises:
            OSError: as for `RowReader`.
            ValueError: as for `RowReader`; if a value is not finite or out of its range; the message names its place.
        """

        def place(row: int) -> str:
            return self._reader.place(start + row)

        return check_rows(self._reader.read(start, stop), name=self.name, place=place, **self._rules)

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """As for `RowReader`."""
        return self._reader.block_bounds(n_rows)

    def place(self, row: int) -> str:
        """As for `RowReader`."""
        return self._reader.place(row)


def without_bad_rows(reader: RowReader) -> tuple[RowReader, int]:
    """The rows of a reader without those that hold NaN or infinity, and how many these are; all are read once.

    Raises:
        OSError: as for `RowReader.read`.
        ValueError: as for `RowReader.read`; if no row is left.
    """
    if reader.dtype.kind != "f":
        return reader, 0
    bad, start = [], 0
    for block in blocks_ahead(reader, _SCAN_BYTES):
        bad.append(start + np.flatnonzero(~np.isfinite(block).all(axis=1)))
        start += len(block)
    places = np.concatenate(bad)
    if len(places) == len(reader):
        raise ValueError(f"{reader.name!r} must hold a row of finite numbers; all {len(reader):,} are bad.")
    if not len(places):
        return reader, 0
    ranges = np.stack([np.append(0, places + 1), np.append(places, len(reader))], axis=1)
    return RowRanges(reader, ranges[ranges[:, 0] < ranges[:, 1]]), len(places)
