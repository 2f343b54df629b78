"""Damage that knows nothing of formats: bits flipped, bytes cut out, moved, repeated, and numbers set to extremes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

__all__ = ["EXTREMES", "choose", "damaged", "replaced"]

EXTREMES = (
    0,
    1,
    -1,
    2,
    3,
    127,
    128,
    255,
    256,
    65_535,
    1 << 20,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    -(2**63),
)
_MOST = 1 << 16  # bytes of what is damaged: what a few additions could make of a file is no other file for it
T = TypeVar("T")


def choose(rng: np.random.Generator, values: Sequence[T]) -> T:
    """One of some values; not `rng.choice`, which makes an array of them and takes ten times as long."""
    return values[int(rng.integers(len(values)))]


def damaged(content: bytes, rng: np.random.Generator, other: bytes = b"") -> bytes:
    """Content with one to some places damaged.

    Args:
        content: what is damaged.
        rng: says where and how.
        other: content of the same format, of which parts are taken.

    Returns:
        Other bytes, the same ones now and then.
    """
    changed = bytearray(content)
    for _ in range(int(rng.geometric(0.5))):
        if not changed:
            break
        choose(rng, _OPERATIONS)(changed, rng, other or content)
    return bytes(changed[:_MOST])


def replaced(text: str, pattern: str, values: Sequence[str], rng: np.random.Generator) -> str:
    """A text of which one match of a pattern is another value."""
    found = [*re.finditer(pattern, text)]
    if not found:
        return text
    begin, end = choose(rng, found).span()
    return text[:begin] + choose(rng, values) + text[end:]


def _place(changed: bytearray, rng: np.random.Generator) -> int:
    """A place anywhere, or within a header or a footer, where there are such."""
    size = len(changed)
    near = int(rng.integers(min(size, 64)))
    return choose(rng, (int(rng.integers(size)), near, size - 1 - near))


def _span(changed: bytes | bytearray, rng: np.random.Generator) -> slice:
    begin = int(rng.integers(len(changed)))
    return slice(begin, begin + int(rng.geometric(0.05)))


def _flip(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    changed[_place(changed, rng)] ^= 1 << int(rng.integers(8))


def _set(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    changed[_place(changed, rng)] = int(rng.integers(256))


def _number(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    """Write an extreme number, or one a little beside that which is there."""
    width, order = choose(rng, (1, 2, 4, 8)), choose(rng, ("little", "big"))
    place = _place(changed, rng)
    there = int.from_bytes(changed[place : place + width], order)
    number = choose(rng, EXTREMES) if rng.random() < 0.7 else there + int(rng.integers(-3, 4))
    changed[place : place + width] = (number % 256**width).to_bytes(width, order)


def _cut(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    del changed[_place(changed, rng) :]


def _remove(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    del changed[_span(changed, rng)]


def _repeat(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    place = _place(changed, rng)
    changed[place:place] = changed[_span(changed, rng)]


def _add(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    place = choose(rng, (_place(changed, rng), len(changed)))
    changed[place:place] = rng.bytes(int(rng.geometric(0.1)))


def _splice(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    """Put a part of another file over a part of this one, or go on with its rest."""
    place = _place(changed, rng)
    if rng.random() < 0.5:
        changed[place:] = other[place:]
    else:
        part = other[_span(other, rng)]
        changed[place : place + len(part)] = part


def _blank(changed: bytearray, rng: np.random.Generator, other: bytes) -> None:
    span = _span(changed, rng)
    changed[span] = choose(rng, (b"\0", b"\xff", b" ")) * len(changed[span])


_Operation = Callable[[bytearray, np.random.Generator, bytes], Any]
_OPERATIONS: tuple[_Operation, ...] = (
    _flip,
    _flip,
    _set,
    _number,
    _number,
    _cut,
    _remove,
    _repeat,
    _add,
    _splice,
    _blank,
)
