"""Noticing that another process is gone: a word every few seconds between process 0 and each other one.

Without it, survivors would wait in a sum for ever, or be ended by JAX with words for its developers.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Watch"]

_EVERY = 2.0  # seconds between two signs of life
_SILENCE = 30.0  # seconds without one after which a process counts as gone
_GRACE = 2.0  # seconds in which what ended another process may end this one by its own words
_ALIVE, _BYE, _GONE = range(3)
_SIGN = struct.Struct("!BI")  # which of these, and which process is gone


class Watch:
    """Watches the other processes in a thread of its own.

    Args:
        connections: with the index of the process at the other end.
        size: processes of the run.
        ended: is told, once, that a process is gone.
    """

    def __init__(self, connections: dict[socket.socket, int], size: int, ended: Callable[[str], object]):
        self._peers, self._size, self._ended = dict(connections), size, ended
        self._over, self._said = threading.Event(), threading.Event()
        self._seen = dict.fromkeys(self._peers, time.monotonic())
        for connection in self._peers:
            connection.settimeout(_EVERY)
        self._thread = threading.Thread(target=self._run, name="contractive-watch", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Say that this process ends as it should, and watch no more."""
        self._over.set()
        self._thread.join(2 * _EVERY)
        self._tell_all(_BYE)
        self.close()

    def close(self) -> None:
        """Watch no more, and say nothing: the others take this process for gone."""
        self._over.set()
        for connection in self._peers:
            connection.close()

    def wait(self) -> None:
        """Wait until it is known which process is gone, at most so long as that can take."""
        self._said.wait(_SILENCE + 3 * _EVERY + _GRACE)

    def _run(self) -> None:
        sent = 0.0
        with selectors.DefaultSelector() as selector:
            for connection in self._peers:
                selector.register(connection, selectors.EVENT_READ)
            while not self._over.is_set():
                if time.monotonic() - sent >= _EVERY:
                    sent = time.monotonic()
                    self._tell_all(_ALIVE)
                for key, _ in selector.select(0.1):
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    said = self._heard(connection)
                    if said is None:
                        selector.unregister(connection)
                        del self._peers[connection]
                    elif said:
                        return self._gone(said)
                for connection, index in self._peers.items():
                    if time.monotonic() - self._seen[connection] > _SILENCE:
                        return self._gone(f"process {index} of {self._size} has not answered for {_SILENCE:g} s", index)
        return None

    def _heard(self, connection: socket.socket) -> str | None:
        """What is wrong, nothing, or None after a farewell."""
        index = self._peers[connection]
        try:
            said = connection.recv(_SIGN.size, socket.MSG_WAITALL)
        except OSError:
            said = b""
        if len(said) < _SIGN.size:
            return f"process {index} of {self._size} ended"
        self._seen[connection] = time.monotonic()
        sign, gone = _SIGN.unpack(said)
        if sign == _GONE:
            return f"process {gone} of {self._size} ended"
        return None if sign == _BYE else ""

    def _gone(self, words: str, index: int | None = None) -> None:
        if not self._over.wait(_GRACE):
            gone = index if index is not None else int(words.split()[1])
            self._tell_all(_GONE, gone)
            self._ended(words)
        self._said.set()

    def _tell_all(self, sign: int, gone: int = 0) -> None:
        for connection in self._peers:
            with suppress(OSError):  # whom it does not reach is found out by listening
                connection.sendall(_SIGN.pack(sign, gone))
