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
    """Signals that have come and wait for an answer.

    What is asked of it are those that were there at the last look, so that one that comes meanwhile is answered as a
    whole, after the next look.
    """

    def __init__(self) -> None:
        self._come: list[int] = []
        self._seen: set[int] = set()

    def add(self, number: int, frame: object) -> None:
        """A signal's handler."""
        self._come.append(number)

    def look(self, group: Group | None = None) -> None:
        """See what has come, to any of a group's processes, which all call this."""
        self._seen = set(self._come)
        if group is not None:
            known = signal.SIGINT, signal.SIGTERM
            said = group.gather([number in self._seen for number in known]).max(axis=0).tolist()
            self._seen = {number for number, has_come in zip(known, said, strict=True) if has_come}

    @property
    def to_terminate(self) -> bool:
        """Whether the machine is being taken away."""
        return signal.SIGTERM in self._seen

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._seen)

    def check(self) -> None:
        """Answer.

        Raises:
            KeyboardInterrupt: after any signal.
        """
        if self.any:
            raise KeyboardInterrupt


@contextmanager
def deferred_requests(*numbers: int) -> Iterator[Requests]:
    """Signals as requests that are answered where they are looked at.

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

        def check() -> None:
            requests.look()
            requests.check()

        yield check


def finished(folder: RunFolder, estimator: Any) -> str:
    """What a folder holds of a training that was ended."""
    n_epochs = len(vars(estimator).get("history_", ()))
    return f"{folder.path} holds the {n_epochs} finished epoch{'s' * (n_epochs != 1)}"
