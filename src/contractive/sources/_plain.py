"""Numbers that are written to a file as they lie in memory, past the system's cache where the disk takes them so."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO

import numpy as np

from ._base import paged_empty

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such module
    fcntl = None

__all__ = ["PlainWriter"]

_PIECE_BYTES = 1 << 22  # that are sent at a time; pieces begin at its multiples in the file, as direct writing asks


class PlainWriter:
    """Writes numbers as they lie in memory, a piece of 4 MiB at a time.

    What is written is not read again soon: in the system's cache it would push out what is, and copying it there costs
    a core a tenth of the time that encoding takes.

    Args:
        stream: where to, from where it stands; nothing else is written to it until `finish`.
        dtype: of what is written.
    """

    def __init__(self, stream: BinaryIO, dtype: np.dtype):
        stream.flush()
        self._file, self._dtype, self._is_direct = stream.fileno(), dtype, True
        self._piece = paged_empty((_PIECE_BYTES,), np.dtype(np.uint8))  # direct writing asks for whole pages
        self._start = self._stop = stream.tell() % _PIECE_BYTES  # of what is in the piece, and waits

    def write(self, rows: np.ndarray) -> None:
        """As for `RowWriter`."""
        content = np.ascontiguousarray(rows, self._dtype).reshape(-1).view(np.uint8)
        while len(content):
            part = content[: _PIECE_BYTES - self._stop]
            self._piece[self._stop : self._stop + len(part)] = part
            self._stop, content = self._stop + len(part), content[len(part) :]
            if self._stop == _PIECE_BYTES:
                self._send()

    def finish(self) -> None:
        """Send what waits."""
        self._send()

    def abandon(self) -> None:
        """Nothing is open."""

    def _send(self) -> None:
        waiting, done = self._piece[self._start : self._stop], 0
        if self._is_direct and len(waiting) == _PIECE_BYTES:
            done = _write_directly(self._file, waiting.data)
            self._is_direct = done > 0
        while done < len(waiting):
            done += os.write(self._file, waiting[done:].data)
        self._start = self._stop = 0


def _write_directly(file: int, content: memoryview) -> int:
    """How many bytes were written from memory to the disk without a copy; 0 where that cannot be, whatever the reason.

    Where the disk is full, writing the rest as usual says so.
    """
    if fcntl is None or not hasattr(os, "O_DIRECT"):  # pragma: no cover - only Linux has it
        return 0
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    with suppress(OSError):
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT)
        try:
            return os.write(file, content)
        finally:
            fcntl.fcntl(file, fcntl.F_SETFL, flags)
    return 0
