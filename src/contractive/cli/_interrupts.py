"""Ctrl-C and the end of a machine as requests that are answered between chunks, and what is said then."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..distributed import Group
    from ..runs import RunFolder

__all__ = ["Interrupted", "Requests", "Terminated", "deferred_interrupt", "deferred_requests", "finished"]


class Interrupted(Exception):
    """Ctrl-C with something to say; typer swallows the message of a `KeyboardInterrupt`."""


class Terminated(Exception):
    """SIGTERM with something to say."""


class Requests:
    """Signals that have come and wait for an answer."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def add(self, number: int, frame: object) -> None:
        """A signal's handler."""
        self._numbers.append(number)

    @property
    def to_terminate(self) -> bool:
        """Whether the machine is being taken away."""
        return signal.SIGTERM in self._numbers

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._numbers)

    def share(self, group: Group) -> None:
        """Take over those of all processes of a group, which all call this."""
        known = signal.SIGINT, signal.SIGTERM
        said = group.gather([number in self._numbers for number in known]).max(axis=0).tolist()
        self._numbers = [number for number, has_come in zip(known, said, strict=True) if has_come]

    def check(self) -> None:
        """Answer.

        Raises:
            KeyboardInterrupt: after any signal.
        """
        if self.any:
            raise KeyboardInterrupt


@contextmanager
def deferred_requests(*numbers: int) -> Iterator[Requests]:
    """Signals as requests that are answered where `check` is called.

    Raised wherever Python happens to be inside JAX, a `KeyboardInterrupt` can be lost or end in a crash.
    """
    requests = Requests()
    before = {number: signal.signal(number, requests.add) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C as a request that is answered where the yielded function is called."""
    with deferred_requests(signal.SIGINT) as requests:
        yield requests.check


def finished(folder: RunFolder, estimator: Any) -> str:
    """What a folder holds of a training that was ended."""
    n_epochs = len(vars(estimator).get("history_", ()))
    return f"{folder.path} holds the {n_epochs} finished epoch{'s' * (n_epochs != 1)}"
