"""From rows to an engine: all in memory, sparse ones made dense bit by bit, or windows of what is read meanwhile."""

from __future__ import annotations

import abc
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from .._memory import give_back_freed_memory
from ..sources import ReadAhead, RowReader, aligned_empty
from ._engines import Engine
from ._step import Chunk, TrainingState
from ._stream import Slots, Window, stream_order, window_rows

__all__ = ["Feed", "Run", "epoch_keys", "epoch_order", "make_feed"]

Run = Callable[[TrainingState, tuple[int, int]], TrainingState]
"""Trains on the minibatches of an epoch from the first bound up to the second; the state is given up."""

_PIECE_BYTES = 1 << 22  # of rows that are read at a time: a file's blocks may be much larger, and are in memory besides
_SPARSE_BLOCK_ENTRIES = 1 << 22  # of sparse rows made dense at a time: 16 MiB in float32


@runtime_checkable
class Feed(Protocol):
    """Gives an engine the rows of each epoch."""

    def runs(self, epochs: range, first: int = 0) -> Generator[Run, None, None]:
        """A `Run` for each of some epochs, to be called for all its minibatches, one after the other.

        Args:
            epochs: their numbers.
            first: the minibatch of the first one to begin at.

        Returns:
            A generator, to be closed where not all epochs are run.

        Raises, when it is run:
            OSError, ValueError: as for `RowReader.read`.
        """
        ...

    def row_numbers(self, epoch: int, minibatch: int) -> np.ndarray:
        """The numbers of the rows that a minibatch of an epoch holds."""
        ...


def epoch_order(n_rows: int, batch_size: int, *, shuffle: bool, seed: int, epoch: int) -> np.ndarray:
    """Row numbers of each minibatch of one epoch, a function of (seed, epoch) alone.

    Returns:
        uint32 of shape (minibatches, batch_size), unsigned so that the gather looks for no negative number; the
        places that a short last minibatch leaves hold row 0 and are not counted.
    """
    rows = np.random.default_rng([seed, epoch]).permutation(n_rows) if shuffle else np.arange(n_rows)
    return _in_minibatches(rows, batch_size)


def epoch_keys(n_minibatches: int, *, seed: int, epoch: int) -> np.ndarray:
    """What corruption and random penalties draw from in each minibatch of one epoch, a function of (seed, epoch) alone.

    Returns:
        uint32 of shape (n_minibatches, 2), the words of a key each.
    """
    return np.random.default_rng([seed, epoch, 1]).integers(2**32, size=(n_minibatches, 2), dtype=np.uint32)


def make_feed(
    engine: Engine,
    rows: Any,
    weights: np.ndarray | None,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    read_ahead: int = 1,
    parts: Slots | None = None,
) -> Feed:
    """What gives an engine the rows.

    Args:
        engine: what trains.
        rows: of shape (n_rows, n_features): an array, scipy's CSR or a `RowReader`.
        weights: what each row counts, 1 on average, or None.
        batch_size: rows a minibatch.
        shuffle: whether each epoch has an order of its own.
        seed: what the order and everything random depend on, with the epoch's number.
        read_ahead: windows of a reader that are read before they are needed, >= 1.
        parts: for each device of this process the slots of a minibatch that it holds, of a reader's rows; None for all.
    """
    kind = _Streamed if isinstance(rows, RowReader) else _Sparse if hasattr(rows, "toarray") else _Resident
    return kind(engine, rows, weights, batch_size, shuffle, seed, read_ahead, parts)


class _Feed(abc.ABC):
    """What all feeds are made of; the arguments are those of `make_feed`."""

    def __init__(
        self,
        engine: Engine,
        rows: Any,
        weights: np.ndarray | None,
        batch_size: int,
        shuffle: bool,
        seed: int,
        read_ahead: int,
        parts: Slots | None,
    ):
        self._engine, self._rows, self._weights = engine, rows, weights
        self._batch_size, self._shuffle, self._seed, self._ahead = batch_size, shuffle, seed, read_ahead
        self._parts = Slots(batch_size, [(0, batch_size)]) if parts is None else parts
        self._n_minibatches = -(-rows.shape[0] // batch_size)
        self._prepare()

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Do what is done once, before the first epoch."""

    def _keys(self, epoch: int) -> np.ndarray:
        return epoch_keys(self._n_minibatches, seed=self._seed, epoch=epoch)


class _Whole(_Feed):
    """Rows that are all there, in an order that is drawn at one go."""

    def runs(self, epochs: range, first: int = 0) -> Generator[Run, None, None]:
        """As for `Feed`."""
        for epoch in epochs:
            yield partial(self._run, self._order(epoch), self._keys(epoch))

    def row_numbers(self, epoch: int, minibatch: int) -> np.ndarray:
        """As for `Feed`."""
        begin = minibatch * self._batch_size
        return self._order(epoch)[minibatch][: self._rows.shape[0] - begin]

    @abc.abstractmethod
    def _run(self, order: np.ndarray, keys: np.ndarray, state: TrainingState, bounds: tuple[int, int]) -> TrainingState:
        """Train on some minibatches of an epoch, whose order and keys are given."""

    def _order(self, epoch: int) -> np.ndarray:
        return epoch_order(self._rows.shape[0], self._batch_size, shuffle=self._shuffle, seed=self._seed, epoch=epoch)


class _Resident(_Whole):
    """Rows in memory: one chunk is one call."""

    def _prepare(self) -> None:
        self._loaded = self._engine.load(self._rows, self._weights)

    def _run(self, order: np.ndarray, keys: np.ndarray, state: TrainingState, bounds: tuple[int, int]) -> TrainingState:
        return self._engine.run(state, self._loaded, Chunk(order, bounds, self._rows.shape[0], keys))


class _Sparse(_Whole):
    """Sparse rows: some minibatches at a time are made dense, always as many, so that one compiled step does."""

    def _prepare(self) -> None:
        entries = self._batch_size * self._rows.shape[1]
        self._together = min(self._n_minibatches, max(1, _SPARSE_BLOCK_ENTRIES // entries))

    def _run(self, order: np.ndarray, keys: np.ndarray, state: TrainingState, bounds: tuple[int, int]) -> TrainingState:
        for start in range(bounds[0], bounds[1], self._together):
            state = self._run_block(state, order, start, min(self._together, bounds[1] - start), keys)
        return state

    def _run_block(
        self, state: TrainingState, order: np.ndarray, start: int, count: int, keys: np.ndarray
    ) -> TrainingState:
        size = self._together * self._batch_size
        chosen = order[start : start + count].ravel()
        padding = size - len(chosen)
        stored = np.pad(self._rows[chosen].toarray(), ((0, padding), (0, 0)))
        weights = None if self._weights is None else np.pad(self._weights[chosen], (0, padding))
        places = _in_minibatches(np.arange(size), self._batch_size)
        chunk = Chunk(places, (0, count), self._rows.shape[0] - start * self._batch_size, keys, start)
        return self._engine.run(state, self._engine.load(stored, weights), chunk)


class _Streamed(_Feed):
    """Rows that are read window by window, in a thread, while those before are trained on, of the epoch before too."""

    def _prepare(self) -> None:
        self._size = window_rows(len(self._rows), self._rows.row_bytes, self._batch_size)
        held = len(self._parts.ranges) * self._size // self._batch_size * self._parts.each
        # The windows go through the same memory, as what a system gives back and takes anew comes and goes by chance.
        self._free = SimpleQueue[np.ndarray]()
        for _ in range(self._ahead + 1):
            self._free.put(aligned_empty((held, self._rows.shape[1]), self._rows.dtype))

    def runs(self, epochs: range, first: int = 0) -> Generator[Run, None, None]:
        """As for `Feed`."""
        per_window = self._size // self._batch_size
        # Of an epoch whose minibatches are all done, none is read, not even a short last one.
        number = first // per_window if first < self._n_minibatches else -(-first // per_window)
        with closing(ReadAhead(self._read, self._windows_from(epochs, number), self._ahead)) as ahead:
            for epoch in epochs:
                yield self._run(ahead, self._keys(epoch), number)
                number = 0

    def _run(self, ahead: ReadAhead, keys: np.ndarray, number: int) -> Run:
        """A `Run` for an epoch whose window of this number is read next."""
        per_window = self._size // self._batch_size
        number, window = number - 1, None

        def run(state: TrainingState, bounds: tuple[int, int]) -> TrainingState:
            nonlocal number, window
            start, stop = bounds
            while start < stop:
                if window is None:
                    number, window = number + 1, ahead.next()
                loaded, order, n_rows, memory = window
                offset = number * per_window
                end = min(stop, offset + per_window)
                chunk = Chunk(order, (start - offset, end - offset), n_rows, keys, offset)
                state = self._engine.run(state, loaded, chunk)
                if end in (offset + per_window, self._n_minibatches):
                    jax.block_until_ready(state)  # what still computes reads the window
                    self._free.put(memory)  # before the next one is asked for, which takes it
                    window = loaded = None
                start = end
            return state

        return run

    def row_numbers(self, epoch: int, minibatch: int) -> np.ndarray:
        """As for `Feed`."""
        number, place = divmod(minibatch, self._size // self._batch_size)
        [window] = next(self._windows(epoch, number, Slots(self._batch_size, [(0, self._batch_size)])))
        read = np.concatenate([np.arange(*pair) for pair in window.ranges])
        return read[window.places[place][: window.n_rows - place * self._batch_size]]

    def _windows_from(self, epochs: range, number: int) -> Iterator[tuple[Window, ...]]:
        """The windows of some epochs, those of the first from one of this number on."""
        for epoch in epochs:
            yield from self._windows(epoch, number, self._parts)
            number = 0

    def _windows(self, epoch: int, first: int, parts: Slots) -> Iterator[tuple[Window, ...]]:
        """The windows of an epoch, each as what the parts hold of it."""
        order = partial(stream_order, self._rows, self._batch_size, shuffle=self._shuffle, seed=self._seed, epoch=epoch)
        return zip(*(order(first=first, slots=slots) for slots in parts.ranges), strict=True)

    def _read(self, windows: tuple[Window, ...]) -> tuple[Any, np.ndarray, int, np.ndarray]:
        """A window's rows where the engine wants them, which each minibatch holds, how many they are; their memory."""
        n_minibatches, slots = self._size // self._batch_size, self._parts.each
        size = n_minibatches * slots  # rows of a part
        stored = self._free.get()
        weights = None if self._weights is None else np.zeros(len(stored))
        order = np.zeros((n_minibatches, len(windows), slots), np.uint32)
        for part, window in enumerate(windows):
            done = part * size
            for start, stop in _pieces(window.ranges, max(1, _PIECE_BYTES // self._rows.row_bytes)):
                stored[done : done + stop - start] = self._rows.read(start, stop)
                if weights is not None and self._weights is not None:
                    weights[done : done + stop - start] = self._weights[start:stop]
                done += stop - start
            stored[done : (part + 1) * size] = 0
            order[: len(window.places), part, : window.places.shape[1]] = window.places
        give_back_freed_memory()
        return self._engine.load(stored, weights), order.reshape(n_minibatches, -1), windows[0].n_rows, stored


def _pieces(ranges: np.ndarray, n_rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of shape (n_ranges, 2), in order, those of more than so many rows cut up."""
    for start, stop in ranges.tolist():
        for place in range(start, stop, n_rows):
            yield place, min(place + n_rows, stop)


def _in_minibatches(rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Row numbers as uint32 of shape (minibatches, batch_size), zeros at the end."""
    order = np.zeros(-(-len(rows) // batch_size) * batch_size, np.uint32)
    order[: len(rows)] = rows
    return order.reshape(-1, batch_size)
