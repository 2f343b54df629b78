"""Memory that processes share: here threads, which have files, maps and pipes of their own all the same."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from contractive.distributed import _exchange
from contractive.distributed._exchange import SharedMemory


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(_exchange, "_MEMORY", tmp_path)
    return tmp_path


def in_threads(size: int, act: Callable[[SharedMemory, int], Any]) -> list[Any]:
    """What each of some that have met does."""
    memories = [SharedMemory(7, index, size) for index in range(size)]
    memories[0].prepare()
    for one in memories:
        one.meet()
    memories[0].forget()
    try:
        with ThreadPoolExecutor(size) as pool:
            return list(pool.map(act, memories, range(size), timeout=30))
    finally:
        for one in memories:
            one.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_all_see_the_arrays_of_each_however_slow_some_are(memory: Path, size: int, dtype: type):
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(40, size, 9, 7)).astype(dtype), rng.normal(size=(40, size, 3)).astype(dtype)
    costs = rng.normal(size=(40, size)).astype(dtype)
    slowness = rng.exponential(0.002, size=(2, 40, size))

    def act(memory: SharedMemory, index: int) -> list[np.ndarray]:
        memory.reserve((63 + 3 + 1) * np.dtype(dtype).itemsize)
        found = []
        for turn in range(40):
            time.sleep(slowness[0, turn, index])
            seen = memory.exchange(weights[turn, index], biases[turn, index], costs[turn, index])
            time.sleep(slowness[1, turn, index])  # others may be at the next one by now
            found.append(seen[:, : 63 + 3 + 1].copy())
        return found

    for found in in_threads(size, act):
        for turn, seen in enumerate(found):
            flat = [weights[turn].reshape(size, -1), biases[turn], costs[turn][:, None]]
            np.testing.assert_array_equal(seen, np.concatenate(flat, axis=1), strict=True)
    assert not [*memory.iterdir()]  # no name is left behind


def test_jax_takes_what_is_seen_without_a_copy():
    def act(memory: SharedMemory, index: int) -> list[bool]:
        memory.reserve(4 * 7)
        seen = [memory.exchange(np.full(7, index, np.float32)) for _ in range(2)]
        return [jax.device_put(one).unsafe_buffer_pointer() == one.ctypes.data for one in seen]

    assert in_threads(2, act) == [[True, True]] * 2


def test_room_is_made_for_larger_arrays_and_smaller_ones():
    together = threading.Barrier(2)

    def act(memory: SharedMemory, index: int) -> list[float]:
        found = []
        for n_values in (3, 5000, 20):
            together.wait()  # as processes do, who hear of each other meanwhile
            memory.reserve(4 * n_values)
            together.wait()
            for turn in range(3):
                seen = memory.exchange(np.full(n_values, index + turn, np.float32))
                found.append(float(seen[:, :n_values].sum()))
        return found

    expected = [float(n_values * (1 + 2 * turn)) for n_values in (3, 5000, 20) for turn in range(3)]
    assert in_threads(2, act) == [expected] * 2


def test_others_on_another_machine_are_not_met(memory: Path):
    with pytest.raises(OSError, match="contractive-7"):
        SharedMemory(7, 1, 2).meet()
    SharedMemory(7, 0, 2).prepare()
    with pytest.raises(OSError, match="contractive-7"):
        SharedMemory(7, 0, 2).prepare()
    assert (memory / "contractive-7").stat().st_mode & 0o77 == 0
