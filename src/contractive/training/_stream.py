"""The order of rows that do not fit in memory: windows of random blocks, a function of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..sources import RowReader

__all__ = ["Slots", "Window", "stream_order", "window_rows"]

_WINDOW_BYTES = 1 << 26  # of rows that are shuffled with each other: 64 MiB
_BLOCK_BYTES = 1 << 20  # of rows that stay neighbours until then: 1 MiB, which disks read as fast as more


class Slots(NamedTuple):
    """Which places of each minibatch the devices of a process hold.

    Args:
        each: how many a device holds; the last ones of all may have fewer and are filled up.
        ranges: of each device the first and the one after the last.
    """

    each: int
    ranges: list[tuple[int, int]]


class Window(NamedTuple):
    """A part of an epoch that is in memory at a time, or what one of several processes holds of it.

    Args:
        ranges: which rows are read, one range after the other, of shape (n_ranges, 2).
        places: where in what was read the rows of each minibatch are, of shape (minibatches, slots); those that the
            last one leaves are 0.
        n_rows: of the window, all slots counted.
    """

    ranges: np.ndarray
    places: np.ndarray
    n_rows: int


def window_rows(n_rows: int, row_bytes: int, batch_size: int) -> int:
    """Rows of a window: whole minibatches, as many as fill 64 MiB, at least one; never more than hold all rows."""
    n_minibatches = max(1, _WINDOW_BYTES // (row_bytes * batch_size))
    return min(n_minibatches, -(-n_rows // batch_size)) * batch_size


def stream_order(
    rows: RowReader,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    epoch: int,
    first: int = 0,
    slots: tuple[int, int] | None = None,
) -> Iterator[Window]:
    """The windows of one epoch, a function of (seed, epoch) and the rows' shape and blocks.

    Blocks of neighbouring rows, 1 MiB each or what the file is made of, come in a random order; each window holds the
    next of them, cut where it is full. Its rows are dealt to the slots of its minibatches: the first slot of all takes
    the first so many rows, in a random order, the second slot the next ones. So every row is trained on once an epoch,
    at a random time within its window, and a minibatch holds rows from all blocks of its window alike, however the
    rows lie in the file. Several processes that take some slots each read other blocks, and train together on the
    minibatches of one.

    Args:
        rows: for their number and blocks; nothing is read.
        batch_size: rows a minibatch.
        shuffle: whether; else the windows follow the rows' own order.
        seed: what the order depends on, with the epoch.
        epoch: its number, from 1.
        first: leave out the windows before this one.
        slots: which places of each minibatch, from the first up to the second; None for all.
    """
    n_rows, size = len(rows), window_rows(len(rows), rows.row_bytes, batch_size)
    begin, end = (0, batch_size) if slots is None else slots
    bounds = rows.block_bounds(max(1, _BLOCK_BYTES // rows.row_bytes)) if shuffle else np.array([0, n_rows])
    order = np.random.default_rng([seed, epoch]).permutation(len(bounds) - 1) if shuffle else np.zeros(1, np.int64)
    begins, sizes = bounds[:-1][order], np.diff(bounds)[order]
    ends = np.cumsum(sizes)  # in the order of the epoch
    for number in range(first, -(-n_rows // size)):
        start, stop = number * size, min((number + 1) * size, n_rows)
        rng = np.random.default_rng([seed, epoch, 2, number]) if shuffle else None
        places = _dealt(stop - start, batch_size, rng)
        own = places[:, begin:end]
        is_wanted = np.zeros(stop - start, bool)
        is_wanted[own[own >= 0]] = True
        wanted = np.flatnonzero(is_wanted)
        # What is read is what stands in these places of the epoch, run by run.
        cuts = np.flatnonzero(np.diff(wanted) > 1) + 1
        runs = [(start + int(run[0]), start + int(run[-1]) + 1) for run in np.split(wanted, cuts) if len(run)]
        ranges = [_ranges(begins, sizes, ends, *run) for run in runs]
        numbers = np.cumsum(is_wanted, dtype=np.uint32) - 1  # of the rows among those that are read
        found = np.where(own < 0, np.uint32(0), numbers[own])
        yield Window(np.concatenate([np.empty((0, 2), np.int64), *ranges]), found, stop - start)


def _dealt(n_rows: int, batch_size: int, rng: np.random.Generator | None) -> np.ndarray:
    """Which row of a window each slot of each minibatch takes, of shape (minibatches, batch_size); -1 for none."""
    n_minibatches = -(-n_rows // batch_size)
    places = np.full((n_minibatches, batch_size), -1, np.int64)
    if rng is None:
        places.reshape(-1)[:n_rows] = np.arange(n_rows)
        return places
    n_full = n_rows - (n_minibatches - 1) * batch_size  # slots that the last minibatch has a row for
    counts = np.full(batch_size, n_minibatches - 1)
    counts[:n_full] += 1
    # By slot, and at random within each; stable, as all processes must agree where two numbers are the same.
    shuffled = np.argsort(np.repeat(np.arange(batch_size), counts) + rng.random(n_rows), kind="stable")
    cut = n_full * n_minibatches
    places[:, :n_full] = shuffled[:cut].reshape(n_full, n_minibatches).T
    places[:-1, n_full:] = shuffled[cut:].reshape(batch_size - n_full, n_minibatches - 1).T
    return places


def _ranges(begins: np.ndarray, sizes: np.ndarray, ends: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Which rows stand in some places of an epoch, by its blocks in their order: ranges of shape (n_ranges, 2)."""
    low, high = np.searchsorted(ends, [start, stop - 1], side="right")
    place = ends[low : high + 1] - sizes[low : high + 1]
    inside = np.maximum(start - place, 0), np.minimum(stop - place, sizes[low : high + 1])
    return begins[low : high + 1, None] + np.stack(inside, axis=1)
