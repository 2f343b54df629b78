"""What all tables have in common: columns by name, an extra that may be missing, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .._validation import shortened
from ._base import FileStamp

__all__ = ["choose", "listed", "require_pyarrow", "watched"]

_SHOWN = 8  # names of a list that a message shows


def require_pyarrow(path: str) -> None:
    """Say how to get pyarrow where it is missing.

    Raises:
        ImportError: if pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{path!r} needs pyarrow: pip install contractive[data]", name=error.name) from error


@contextmanager
def watched(path: str, stamp: FileStamp) -> Iterator[BinaryIO]:
    """A file to read that must be the one of the stamp, before and after.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it has changed, whatever else went wrong meanwhile.
    """
    with Path(path).open("rb") as stream:
        stamp.check(path, stream.fileno())
        try:
            yield stream
        finally:
            stamp.check(path, stream.fileno())


def choose(path: str, names: Sequence[str], columns: Sequence[str] | None, index: frozenset[str]) -> list[int]:
    """The numbers of the columns that are features.

    Args:
        path: what the messages call the file.
        names: of all its columns, in its order.
        columns: the names of those that are wanted, in that order, or None for all.
        index: names of columns that only number the rows, which are no features unless `columns` says so.

    Returns:
        At least one number, each within the names.

    Raises:
        ValueError: if one is missing, if a name is there twice, or if there is none.
    """
    wanted = [name for name in names if name not in index] if columns is None else list(columns)
    if not wanted:
        raise ValueError(f"{path!r} must have columns of numbers; it has none.")
    places = {name: place for place, name in enumerate(names)}
    if missing := [name for name in wanted if name not in places]:
        raise ValueError(
            f"{path!r} must have the columns of --columns; it has no {listed(missing)}. It has {listed(names)}."
        )
    if columns is not None and (twice := _twice(wanted)):
        raise ValueError(f"{path!r} must be asked for each column once; --columns names {listed(twice)} twice.")
    if twice := [name for name in _twice(names) if name in wanted]:
        raise ValueError(
            f"{path!r} must have no two columns of one name; it has {listed(twice)} twice. Name others with --columns."
        )
    return [places[name] for name in wanted]


def _twice(names: Sequence[str]) -> list[str]:
    """The names that come again, each once, in the order in which they do."""
    seen: set[str] = set()
    return list(dict.fromkeys(name for name in names if name in seen or seen.add(name)))


def listed(names: Sequence[str]) -> str:
    """Some names for a message, and how many more there are."""
    shown = ", ".join(repr(shortened(name)) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown or "none"
