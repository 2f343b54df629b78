"""What the tests of files of rows share: refusals by name, the memory a call takes, rows compared by block, damage."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from contractive.sources import RowReader

FEW = 5 << 20  # bytes


def refusal(path: Path | str, *words: str, error: type[Exception] = ValueError):
    """Expect an error in one line that names the path, then says the words."""
    pattern = re.escape(repr(str(path))) + "".join(f".*{re.escape(word)}" for word in words)
    return pytest.raises(error, match=rf"\A[^\n]*{pattern}[^\n]*\Z")


def write(path: Path, content: bytes | bytearray | str) -> str:
    """The name of a file that now holds this."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def peak(function: Callable[[], object]) -> int:
    """Bytes that a call takes at most."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def same(rows: RowReader | np.ndarray, expected: np.ndarray) -> None:
    """The rows have these values and this dtype, whole and in every block."""
    assert isinstance(rows, RowReader)
    assert (rows.shape, rows.dtype, len(rows)) == (expected.shape, expected.dtype, len(expected))
    for start in range(len(expected)):
        for stop in range(start + 1, len(expected) + 1):
            block = rows.read(start, stop)
            assert block.dtype == expected.dtype
            assert block.flags.c_contiguous
            assert block.flags.writeable
            assert np.array_equal(block, expected[start:stop])


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """The content of a file with up to three bytes altered, whole or cut."""
    places = st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255))
    sizes = st.integers(0, len(whole)) | st.just(len(whole))
    return st.builds(lambda altered, size: _alter(whole, altered)[:size], st.lists(places, max_size=3), sizes)


def _alter(whole: bytes, altered: list[tuple[int, int]]) -> bytes:
    content = bytearray(whole)
    for place, mask in altered:
        content[place] ^= mask
    return bytes(content)


def rows_or_refusal(path: Path, read: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """What a file holds, or None where it is refused by its name."""
    try:
        return read(str(path))
    except (ValueError, OSError) as error:
        if repr(str(path)) not in str(error):
            raise AssertionError("the message must name the file") from error
        return None
