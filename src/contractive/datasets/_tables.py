"""Numbers in lines of text, read fast and within stated bounds; a bad one is named by line and column."""

from collections.abc import Iterator
from itertools import islice
from typing import IO

import numpy as np

from .._validation import shown

__all__ = ["read_numbers"]

_BLOCK = 1000  # lines parsed at a time
_LONGEST_LINE = 1 << 20  # bytes; the original files have some 12,000
_MOST_VALUES = 1 << 27  # half a gigabyte of float32; the original files have 39 million at most


def read_numbers(file: IO[bytes], name: str, *, delimiter: str | None = None, most_bytes: int) -> np.ndarray:
    r"""A table of finite numbers, one row a line; empty lines and those that start with # are skipped.

    Args:
        file: the text.
        name: what the messages call it.
        delimiter: what stands between two numbers; None for white space.
        most_bytes: how much text is read at most; more is refused.

    Returns:
        The numbers, float32, of shape (rows, columns).

    Raises:
        ValueError: if a value is no finite number, if a line has another number of columns than the first, if
            there is no line, or if the text is longer than the bounds say.

    Example:
        >>> import io
        >>> read_numbers(io.BytesIO(b"1 2.5\n3 4\n"), "two.amat", most_bytes=100)
        array([[1. , 2.5],
               [3. , 4. ]], dtype=float32)
        >>> read_numbers(io.BytesIO(b"1 2.5\n3 x\n"), "two.amat", most_bytes=100)
        Traceback (most recent call last):
        ValueError: 'two.amat' must hold finite numbers; got 'x' in line 2, column 2.
    """
    lines, blocks, n_values, n_columns = _lines(file, name, most_bytes), [], 0, 0
    while block := list(islice(lines, _BLOCK)):
        n_columns = n_columns or len(block[0][1].split(delimiter))
        try:
            values = np.loadtxt(
                [text for _, text in block], np.float32, comments=None, delimiter=delimiter, ndmin=2, encoding="latin-1"
            )
        except ValueError as error:
            raise ValueError(_fault(block, name, delimiter, n_columns)) from error
        if values.shape != (len(block), n_columns) or not np.isfinite(values).all():
            raise ValueError(_fault(block, name, delimiter, n_columns))
        n_values += values.size
        if n_values > _MOST_VALUES:
            raise ValueError(f"{name!r} must hold at most {_MOST_VALUES:,} numbers; it holds more.")
        blocks.append(values)
    if not blocks:
        raise ValueError(f"{name!r} must hold numbers; it is empty.")
    return np.concatenate(blocks)


def _lines(file: IO[bytes], name: str, most_bytes: int) -> Iterator[tuple[int, str]]:
    """Each line that holds numbers, with its number in the file."""
    n_bytes, number = 0, 0
    while line := file.readline(_LONGEST_LINE + 1):
        n_bytes, number = n_bytes + len(line), number + 1
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"{name!r} must have lines of at most {_LONGEST_LINE:,} bytes; line {number} is longer.")
        if n_bytes > most_bytes:
            raise ValueError(f"{name!r} must hold at most {most_bytes:,} bytes of text; it holds more.")
        text = line.decode("latin-1").strip()
        if text and not text.startswith("#"):
            yield number, text


def _fault(block: list[tuple[int, str]], name: str, delimiter: str | None, n_columns: int) -> str:
    """What is wrong in the first line that is wrong."""
    for number, text in block:
        fields = text.split(delimiter)
        if len(fields) != n_columns:
            return f"{name!r} must have {n_columns} numbers a line, as its first; got {len(fields)} in line {number}."
        for column, field in enumerate(fields, start=1):
            try:
                good = "_" not in field and abs(float(field)) <= float(np.finfo(np.float32).max)
            except ValueError:
                good = False
            if not good:
                return f"{name!r} must hold finite numbers; got {shown(field)} in line {number}, column {column}."
    # What NumPy refuses and `float` takes, of which nothing is known.
    first, last = block[0][0], block[-1][0]  # pragma: no cover - nothing known comes here
    return (  # pragma: no cover - nothing known comes here
        f"{name!r} must hold finite numbers; something between lines {first} and {last} is none."
    )
