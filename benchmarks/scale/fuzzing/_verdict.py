"""What must come of reading a file: one line that refuses it by name, or the rows that another reader finds."""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._format import Format

__all__ = ["FAILURES", "Limits", "Taken", "Verdict", "judge", "measured"]

FAILURES = ("raised", "unclear", "wrong", "refused whole", "slow", "large")
_MOST_WORDS = 2_000  # letters of a message


class Verdict(NamedTuple):
    """What came of an input.

    Args:
        outcome: "read", "refused" or one of `FAILURES`: another exception than readers may raise; a message that does
            not name the file, or not in one line; rows that another reader does not find; a valid file that is
            refused; too much time; too much memory.
        words: what was raised, or what is wrong.
    """

    outcome: str
    words: str = ""


class Taken(NamedTuple):
    """What a call took: seconds, and bytes of memory."""

    seconds: float
    n_bytes: int


class Limits(NamedTuple):
    """What reading a file may take.

    Args:
        seconds: of time.
        times: the bytes of the file, of memory.
        floor: bytes of memory more than that: what a reader of the smallest file may take for buffers.
    """

    seconds: float = 10
    times: int = 4
    floor: int = 32 << 20

    def broken(self, n_bytes: int, taken: Taken) -> Verdict | None:
        """The verdict where a file of so many bytes took too much."""
        if taken.seconds > self.seconds:
            return Verdict("slow", f"{taken.seconds:.1f} s")
        if taken.n_bytes > self.times * n_bytes + self.floor:
            return Verdict("large", f"{taken.n_bytes:,} bytes for a file of {n_bytes:,}")
        return None


def measured(call: Callable[[], Any]) -> tuple[Any, Taken]:
    """What a call returns and takes.

    Memory is how far the most that the process had resident at a time, which Linux is told to count anew, is above
    what it had before.
    """
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = call()
    seconds = time.perf_counter() - began
    return found, Taken(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)


def judge(
    kind: Format,
    path: Path,
    rng: np.random.Generator,
    *,
    is_whole: bool,
    limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
    before_expected: Callable[[], object] = lambda: None,
) -> Verdict:
    """Read a file and say what came of it.

    Args:
        kind: its format.
        path: the file.
        rng: chooses the options of reading.
        is_whole: whether it must be read.
        limits: what reading may take.
        before_expected: called when the package is done, before the other reader has its turn.
    """
    options = kind.options(rng)
    found, taken = measured(lambda: _read(kind, str(path), options))
    if (broken := limits.broken(path.stat().st_size, taken)) is not None:
        return broken
    if isinstance(found, Exception):
        return _refusal(str(path), found, is_whole)
    before_expected()
    try:
        with warnings.catch_warnings(action="ignore"):  # which the package must do without, not the other reader
            expected = kind.expected(str(path), **options)
    except Exception as error:
        return Verdict("wrong", f"the other reader finds nothing: {type(error).__name__}: {error}")
    return Verdict("read") if kind.is_same(found, expected) else Verdict("wrong", f"{found!r} instead of {expected!r}")


def _read(kind: Format, path: str, options: dict[str, Any]) -> Any:
    """What a file holds, or what is raised instead."""
    try:
        return kind.read(path, **options)
    except Exception as error:
        return error


def _refusal(path: str, error: Exception, is_whole: bool) -> Verdict:
    words = str(error)
    if not isinstance(error, OSError | ValueError):
        return Verdict("raised", f"{type(error).__name__}: {words}")
    if repr(path) not in words or not words.isprintable() or len(words) > _MOST_WORDS:
        return Verdict("unclear", f"{type(error).__name__}: {words}")
    return Verdict("refused whole", words) if is_whole else Verdict("refused", words)
