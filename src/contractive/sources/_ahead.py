"""Reading ahead: the next block is on its way while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import Any

import numpy as np

from ._base import RowReader

__all__ = ["ReadAhead", "block_starts", "blocks_ahead"]


class ReadAhead:
    """Calls a function of each item in threads of its own, some items ahead of what is asked for.

    Args:
        function: what makes the results.
        items: what it is called with, in this order.
        ahead: results that are made before they are asked for, >= 1.
        threads: how many calls there may be at a time; results come in the order of the items whatever it is.
    """

    def __init__(self, function: Callable[[Any], Any], items: Iterator[Any], ahead: int, threads: int = 1):
        self._function, self._items = function, items
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="contractive-read")
        self._waiting: deque[Future[Any]] = deque()
        for _ in range(ahead):
            self._ask()

    def next(self) -> Any:
        """The next result, or what the function raised; as often as there are items."""
        result = self._waiting.popleft().result()
        self._ask()
        return result

    def close(self) -> None:
        """Stop; calls that have begun are waited for."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self) -> None:
        for item in self._items:
            self._waiting.append(self._pool.submit(self._function, item))
            return


def block_starts(rows: RowReader, n_bytes: int) -> list[int]:
    """Where the blocks of about `n_bytes` begin that all rows are worked on in; the number of rows comes last."""
    size = 1 << max(0, (n_bytes // rows.row_bytes).bit_length() - 1)  # compiled code is kept for powers of two
    return np.unique(np.concatenate([rows.block_bounds(size), np.arange(0, len(rows), size)])).tolist()


def blocks_ahead(rows: RowReader, n_bytes: int) -> Generator[np.ndarray]:
    """All rows in their order, in blocks of about `n_bytes` that are read ahead in a thread.

    Raises, when it is their turn:
        OSError, ValueError: as for `RowReader.read`.
    """
    starts = block_starts(rows, n_bytes)
    with closing(ReadAhead(lambda pair: rows.read(*pair), pairwise(starts), 1)) as reading:
        for _ in starts[1:]:
            yield reading.next()
