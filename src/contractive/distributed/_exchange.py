"""What the processes of one machine tell each other, through memory that they share and not over its network."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

__all__ = ["MOST_BYTES", "MOST_PROCESSES", "SharedMemory"]

MOST_PROCESSES = 16
"""As each reads what all have written."""

MOST_BYTES = 1 << 28
"""Of one array; twice as many are reserved for each process."""

_ALIGNED = 64
_MEMORY = Path("/dev/shm")  # files in memory, where the system has them


class SharedMemory:
    """Shows all processes the arrays of each.

    Two slots a process, taken in turns, in a file that all map, and a pipe to each, by which the others say that theirs
    is filled: writing and reading it, unlike looking at a flag, keeps the order of the memory on every processor. Who
    fills a slot anew has heard of all others once more since, so that they have read what it held.

    Args:
        number: of this meeting, the same for all and for no others.
        index: this process's, from 0.
        size: how many there are.
    """

    def __init__(self, number: int, index: int, size: int):
        parent = _MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())
        self._folder, self._index, self._size = parent / f"contractive-{number:x}", index, size
        self._heard, self._turn, self._capacity = [0] * size, 0, 0
        self._open = list[int]()

    def prepare(self) -> None:
        """What one process does, before the others `meet` it.

        Raises:
            OSError: if there is no room or right.
        """
        self._folder.mkdir(mode=0o700)
        (self._folder / "arrays").touch()
        for index in range(self._size):
            os.mkfifo(self._folder / str(index))

    def meet(self) -> None:
        """Open what has been prepared.

        Raises:
            OSError: if it is not there, as on another machine.
        """
        for name in ["arrays", *range(self._size)]:
            self._open.append(os.open(self._folder / str(name), os.O_RDWR))
        self._file, *self._pipes = self._open

    def forget(self) -> None:
        """Leave no name behind, once all have met: the memory goes with the last process, however it ends."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def reserve(self, n_bytes: int) -> None:
        """Have room for arrays of as many bytes and no more, as all must; while no process exchanges any.

        Raises:
            OSError: if there is not enough.
        """
        capacity = -(-n_bytes // _ALIGNED) * _ALIGNED
        if capacity == self._capacity:
            return
        total = 2 * self._size * capacity
        os.posix_fallocate(self._file, 0, total)  # else what is missing would only be noticed by a signal
        slots = np.frombuffer(mmap.mmap(self._file, total), np.uint8)
        self._slots, self._capacity = slots.reshape(2, self._size, capacity), capacity

    def exchange(self, *parts: np.ndarray) -> np.ndarray:
        """What all processes give, which all call it with arrays alike.

        Args:
            parts: arrays of this process, of one dtype, together of at most as many bytes as were reserved.

        Returns:
            The memory itself, of shape (processes, as many of the dtype as were reserved): of each process the entries
            of its arrays, one array after the other. It is to be read before the next call.
        """
        arrays = [np.asarray(part) for part in parts]
        shared = self._slots[self._turn % 2].view(arrays[0].dtype)
        done = 0
        for array in arrays:
            shared[self._index, done : done + array.size] = array.reshape(-1)
            done += array.size
        self._turn += 1
        self._wait()
        return shared

    def close(self) -> None:
        """Let the pipes and the file go."""
        while self._open:
            os.close(self._open.pop())

    def _wait(self) -> None:
        """Say that this slot is filled, and wait until all are."""
        for index, pipe in enumerate(self._pipes):
            if index != self._index:
                os.write(pipe, bytes([self._index]))
        self._heard[self._index] = self._turn
        while min(self._heard) < self._turn:
            for index in os.read(self._pipes[self._index], 4096):
                self._heard[index] += 1
