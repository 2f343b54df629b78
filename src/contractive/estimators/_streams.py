"""Estimators on rows that are read a block at a time: codes of them, rows held out of them, what they lie between."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sources import RowRanges, RowReader, blocks_ahead

__all__ = ["BLOCK_BYTES", "EncodedRows", "held_out_blocks", "range_of", "rows_within"]

BLOCK_BYTES = 1 << 22
"""Of rows that are looked at in one go: 4 MiB."""

_LEAST_BLOCKS = 20  # that rows are drawn from to be held out


class EncodedRows(RowReader):
    """The codes of the rows of a reader, found each time they are read: those of a layer for the layer above.

    Args:
        encoder: a fitted auto-encoder.
        rows: the rows.
    """

    def __init__(self, encoder: Any, rows: RowReader):
        self._encoder, self._rows, self.read_ahead = encoder, rows, rows.read_ahead
        model = encoder.model_
        self.name, self.dtype, self.shape = f"codes of {rows.name}", model.dtype, (len(rows), model.n_hidden)

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        return self._encoder.transform(self._rows.read(start, stop))

    def block_bounds(self, n_rows: int) -> np.ndarray:
        """As for `RowReader`: those of the rows, as wide ones are read at as much cost as narrow ones."""
        return self._rows.block_bounds(max(1, n_rows * self.row_bytes // self._rows.row_bytes))

    def place(self, row: int) -> str:
        """As for `RowReader`."""
        return self._rows.place(row)


def range_of(rows: RowReader) -> tuple[float, float]:
    """The least and the greatest value of all rows, which are read once."""
    extremes = [(block.min(), block.max()) for block in blocks_ahead(rows, BLOCK_BYTES)]
    return float(min(low for low, _ in extremes)), float(max(high for _, high in extremes))


def held_out_blocks(rows: RowReader, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranges of the rows to train on and of those held out: random blocks, about that fraction, at least one of each.

    Blocks and not rows, so that the others can still be read a block at a time.

    Args:
        rows: at least 2.
        fraction: in (0, 1).
        seed: what the draw depends on.

    Returns:
        Two arrays of shape (n_ranges, 2), each increasing.
    """
    n_rows = len(rows)
    bounds = rows.block_bounds(max(1, BLOCK_BYTES // rows.row_bytes))
    if len(bounds) <= _LEAST_BLOCKS:
        bounds = np.unique(np.linspace(0, n_rows, min(n_rows, _LEAST_BLOCKS) + 1).astype(int))
    shuffled = np.random.default_rng([seed, 0]).permutation(len(bounds) - 1)  # epochs count from 1
    held = np.cumsum(np.diff(bounds)[shuffled])
    count = min(max(1, int(np.searchsorted(held, fraction * n_rows)) + 1), len(bounds) - 2)
    pairs = np.stack([bounds[:-1], bounds[1:]], axis=1)
    return _joined(pairs[np.sort(shuffled[count:])]), _joined(pairs[np.sort(shuffled[:count])])


def rows_within(rows: Any, weights: np.ndarray | None, ranges: np.ndarray) -> tuple[RowReader, np.ndarray | None]:
    """A reader of ranges of rows, and their weights."""
    own = None if weights is None else np.concatenate([weights[start:stop] for start, stop in ranges])
    return RowRanges(rows, ranges), own


def _joined(pairs: np.ndarray) -> np.ndarray:
    """Ranges, those that meet made one."""
    apart = np.append(True, pairs[1:, 0] != pairs[:-1, 1])
    return np.stack([pairs[apart, 0], pairs[np.append(apart[1:], True), 1]], axis=1)
