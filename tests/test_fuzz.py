"""Damaged files of each format are refused by name, or read as another reader reads them; in little time and memory.

`benchmarks/scale/fuzz.py` does the same with a million files.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks.scale.fuzzing import (
    FAILURES,
    FORMATS,
    Format,
    Inconsistent,
    Limits,
    Taken,
    Verdict,
    content_of,
    judge,
    read_all,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from contractive.sources import ArrayRows

ROWS = np.arange(6.0).reshape(3, 2)
WARM = 20  # inputs after which what is imported late has been


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def verdict_of(name: str, path: Path, number: int, limits: Limits) -> Verdict:
    rng = np.random.default_rng([number, *name.encode()])
    content, is_whole = content_of(name, 0, rng)
    path.write_bytes(content)
    return judge(FORMATS[name], path, rng, is_whole=is_whole, limits=limits)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_file_is_refused_or_read_right(folder: Path, name: str):
    path = folder / f"x{FORMATS[name].ending}"
    for number in range(WARM):
        verdict_of(name, path, number, Limits(seconds=np.inf, floor=1 << 40))

    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @given(number=st.integers(WARM, 1 << 40))
    def check(number: int) -> None:
        found = verdict_of(name, path, number, Limits())
        assert found.outcome not in FAILURES, found.words

    check()


def raising(error: Exception) -> Callable[[str], np.ndarray]:
    def read(path: str) -> np.ndarray:
        raise error

    return read


def refusing(words: str) -> Callable[[str], np.ndarray]:
    def read(path: str) -> np.ndarray:
        raise ValueError(words.format(path=path))

    return read


@pytest.mark.parametrize(
    ("read", "is_whole", "outcome"),
    [
        (lambda path: ROWS, False, "read"),
        (lambda path: ROWS, True, "read"),
        (lambda path: ROWS[::-1], False, "wrong"),
        (lambda path: ROWS[:2], False, "wrong"),
        (lambda path: ROWS.astype(np.float32), False, "wrong"),
        (refusing("{path!r} must be whole."), False, "refused"),
        (refusing("{path!r} must be whole."), True, "refused whole"),
        (refusing("the file must be whole."), False, "unclear"),
        (refusing("{path!r} must\nbe whole."), False, "unclear"),
        (refusing("{path!r} must be \x1b whole."), False, "unclear"),
        (refusing("{path!r} must be " + "whole" * 1000), False, "unclear"),
        (raising(KeyError("a")), False, "raised"),
        (raising(MemoryError()), False, "raised"),
    ],
)
def test_verdicts_tell_what_is_wrong(tmp_path: Path, read: Callable[[str], np.ndarray], is_whole: bool, outcome: str):
    (tmp_path / "x").touch()
    kind = Format(".x", lambda _: b"", lambda content, _: content, read, lambda path: ROWS)
    assert judge(kind, tmp_path / "x", np.random.default_rng(0), is_whole=is_whole).outcome == outcome


def test_rows_that_the_other_reader_does_not_find_are_wrong(tmp_path: Path):
    (tmp_path / "x").touch()
    kind = Format(".x", lambda _: b"", lambda content, _: content, lambda path: ROWS, raising(OSError("no")))
    assert judge(kind, tmp_path / "x", np.random.default_rng(0), is_whole=False).outcome == "wrong"


def test_limits_of_time_and_memory_are_kept(tmp_path: Path):
    path, rng = tmp_path / "x", np.random.default_rng(0)
    path.write_bytes(bytes(100))

    def read(path: str) -> np.ndarray:
        return ROWS * np.ones(40 << 17)[0]

    kind = Format(".x", lambda _: b"", lambda content, _: content, read, lambda path: -ROWS)
    assert judge(kind, path, rng, is_whole=False).outcome == "large"
    assert judge(kind, path, rng, is_whole=False, limits=Limits(seconds=0)).outcome == "slow"
    assert judge(kind, path, rng, is_whole=False, limits=Limits(floor=60 << 20)).outcome == "wrong"
    assert Limits().broken(3 << 20, Taken(1, 40 << 20)) is None
    assert Limits().broken(1 << 20, Taken(1, 40 << 20)) is not None


def test_reader_must_say_the_same_of_the_same_rows():
    assert np.array_equal(read_all(ArrayRows("x", ROWS)), ROWS)

    class Odd(ArrayRows):
        def read(self, start: int, stop: int) -> np.ndarray:
            return super().read(start, stop) + (stop - start == 1)

    with pytest.raises(Inconsistent):
        read_all(Odd("x", ROWS))
