"""Reading ahead: the next block is on its way while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ._base import RowReader

__all__ = ["ReadAhead", "blocks_ahead"]


class ReadAhead:
    """Calls a function of each item in a thread of its own, some items ahead of what is asked for.

    Args:
        function: what makes the results.
        items: what it is called with, in this order; they are made in the thread, too.
        ahead: results that are made before they are asked for, >= 1.
    """

    def __init__(self, function: Callable[[Any], Any], items: Iterator[Any], ahead: int):
        self._function, self._items = function, items
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="contractive-read")
        self._waiting: deque[Future[Any]] = deque()
        for _ in range(ahead):
            self._ask()

    def next(self) -> Any:
        """The next result, or what the function raised; as often as there are items."""
        result = self._waiting.popleft().result()
        self._ask()
        return result

    def close(self) -> None:
        """Stop; a call that has begun is waited for."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self) -> None:
        self._waiting.append(self._pool.submit(self._make))

    def _make(self) -> Any:
        for item in self._items:
            return self._function(item)
        return None  # asked for ahead of an end that is not known before


def blocks_ahead(rows: RowReader, n_bytes: int, ahead: int = 1) -> Iterator[np.ndarray]:
    """All rows in their order, in blocks of about `n_bytes` that are read ahead in a thread.

    Raises, when it is their turn:
        OSError, ValueError: as for `RowReader.read`.
    """
    size = 1 << max(0, (n_bytes // rows.row_bytes).bit_length() - 1)  # compiled code is kept for powers of two
    bounds = np.unique(np.concatenate([rows.block_bounds(size), np.arange(0, len(rows), size)])).tolist()
    reading = ReadAhead(lambda pair: rows.read(*pair), zip(bounds[:-1], bounds[1:], strict=True), ahead)
    try:
        for _ in bounds[1:]:
            yield reading.next()
    finally:
        reading.close()
