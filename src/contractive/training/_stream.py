"""The order of rows that do not fit in memory: windows of random blocks, a function of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..sources import RowReader

__all__ = ["Window", "stream_order", "window_rows"]

_WINDOW_BYTES = 1 << 26  # of rows that are shuffled with each other: 64 MiB
_BLOCK_BYTES = 1 << 20  # of rows that stay neighbours until then: 1 MiB, which disks read as fast as more


class Window(NamedTuple):
    """A part of an epoch that is in memory at a time.

    Args:
        ranges: which rows are read, one range after the other, of shape (n_ranges, 2).
        order: their places in what was read, in the order in which they are trained on.
    """

    ranges: np.ndarray
    order: np.ndarray


def window_rows(n_rows: int, row_bytes: int, batch_size: int) -> int:
    """Rows of a window: whole minibatches, as many as fill 64 MiB, at least one; never more than hold all rows."""
    n_minibatches = max(1, _WINDOW_BYTES // (row_bytes * batch_size))
    return min(n_minibatches, -(-n_rows // batch_size)) * batch_size


def stream_order(
    rows: RowReader, batch_size: int, *, shuffle: bool, seed: int, epoch: int, first: int = 0
) -> Iterator[Window]:
    """The windows of one epoch, a function of (seed, epoch) and the rows' shape and blocks.

    Blocks of neighbouring rows, 1 MiB each or what the file is made of, come in a random order; each window holds the
    next of them, cut where it is full, and trains on its rows in a random order. So every row is trained on once an
    epoch, after any row of some dozens of random blocks; how the rows lie in the file is felt only by what lies within
    a block of them.

    Args:
        rows: for their number and blocks; nothing is read.
        batch_size: rows a minibatch.
        shuffle: whether; else the windows follow the rows' own order.
        seed: what the order depends on, with the epoch.
        epoch: its number, from 1.
        first: leave out the windows before this one.
    """
    n_rows, size = len(rows), window_rows(len(rows), rows.row_bytes, batch_size)
    bounds = rows.block_bounds(max(1, _BLOCK_BYTES // rows.row_bytes)) if shuffle else np.array([0, n_rows])
    order = np.random.default_rng([seed, epoch]).permutation(len(bounds) - 1) if shuffle else np.zeros(1, np.int64)
    begins, sizes = bounds[:-1][order], np.diff(bounds)[order]
    ends = np.cumsum(sizes)  # in the order of the epoch
    for number in range(first, -(-n_rows // size)):
        start, stop = number * size, min((number + 1) * size, n_rows)
        low, high = np.searchsorted(ends, [start, stop - 1], side="right")
        place = ends[low : high + 1] - sizes[low : high + 1]
        inside = np.maximum(start - place, 0), np.minimum(stop - place, sizes[low : high + 1])
        ranges = begins[low : high + 1, None] + np.stack(inside, axis=1)
        count = stop - start
        drawn = np.random.default_rng([seed, epoch, 2, number]).permutation(count) if shuffle else np.arange(count)
        yield Window(ranges, drawn)
