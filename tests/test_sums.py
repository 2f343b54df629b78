"""Sums in memory that processes share: here threads, which have files, maps and pipes of their own all the same."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contractive.distributed import _sums
from contractive.distributed._sums import SharedSums


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(_sums, "_MEMORY", tmp_path)
    return tmp_path


def in_threads(size: int, act: Callable[[SharedSums, int], Any]) -> list[Any]:
    """What each of some that have met does."""
    sums = [SharedSums(7, index, size) for index in range(size)]
    sums[0].prepare()
    for one in sums:
        one.meet()
    sums[0].forget()
    try:
        with ThreadPoolExecutor(size) as pool:
            return list(pool.map(act, sums, range(size), timeout=30))
    finally:
        for one in sums:
            one.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_all_get_the_same_sums_however_slow_some_are(memory: Path, size: int, dtype: type):
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(40, size, 9, 7)).astype(dtype), rng.normal(size=(40, size, 3)).astype(dtype)
    costs = rng.normal(size=(40, size)).astype(dtype)
    slowness = rng.exponential(0.002, size=(40, size))

    def act(sums: SharedSums, index: int) -> list[list[np.ndarray]]:
        sums.reserve((63 + 3 + 1) * np.dtype(dtype).itemsize)
        found = []
        for turn in range(40):
            time.sleep(slowness[turn, index])
            found.append(sums.add_up(weights[turn, index], biases[turn, index], costs[turn, index]))
        return found

    first, *others = in_threads(size, act)
    for turn in range(40):
        for place, arrays in enumerate((weights, biases, costs)):
            got, exact = first[turn][place], arrays[turn].astype(float).sum(axis=0)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, exact, rtol=0, atol=4 * size * np.finfo(dtype).eps)
            for other in others:
                np.testing.assert_array_equal(other[turn][place], got)
    assert not [*memory.iterdir()]  # no name is left behind


def test_room_is_made_for_larger_arrays_and_smaller_ones():
    together = threading.Barrier(2)

    def act(sums: SharedSums, index: int) -> list[float]:
        found = []
        for n_values in (3, 5000, 20):
            together.wait()  # as processes do, who hear of each other meanwhile
            sums.reserve(4 * n_values)
            together.wait()
            found += [float(sums.add_up(np.full(n_values, index + turn, np.float32))[0].sum()) for turn in range(3)]
        return found

    expected = [float(n_values * (1 + 2 * turn)) for n_values in (3, 5000, 20) for turn in range(3)]
    assert in_threads(2, act) == [expected] * 2


def test_others_on_another_machine_are_not_met(memory: Path):
    with pytest.raises(OSError, match="contractive-7"):
        SharedSums(7, 1, 2).meet()
    SharedSums(7, 0, 2).prepare()
    with pytest.raises(OSError, match="contractive-7"):
        SharedSums(7, 0, 2).prepare()
    assert (memory / "contractive-7").stat().st_mode & 0o77 == 0
