"""Ctrl-C as a request that is answered between chunks, and what is said then."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runs import RunFolder

__all__ = ["Interrupted", "deferred_interrupt", "finished"]


class Interrupted(Exception):
    """Ctrl-C with something to say; typer swallows the message of a `KeyboardInterrupt`."""


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C as a request that is answered where the yielded function is called.

    Raised wherever Python happens to be inside JAX, a `KeyboardInterrupt` can be lost or end in a crash.
    """
    requests: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: requests.append(number))

    def check() -> None:
        if requests:
            raise KeyboardInterrupt

    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def finished(folder: RunFolder, estimator: Any) -> str:
    """What a folder holds of a training that was ended."""
    n_epochs = estimator.n_epochs_
    return f"{folder.path} holds the {n_epochs} finished epoch{'s' * (n_epochs != 1)}"
