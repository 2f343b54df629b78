"""Noticing that another process is gone: a word every few seconds between process 0 and each other one.

Without it, survivors would wait in a sum for ever, or be ended by JAX with words for its developers.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Watch", "leave"]

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
        self._end()
        self._tell_all(_BYE)
        self._hang_up()

    def close(self) -> None:
        """Watch no more, and say nothing: the others take this process for gone."""
        self._end()
        self._hang_up()

    def wait(self) -> None:
        """Wait until it is known which process is gone, at most so long as that can take."""
        self._said.wait(_SILENCE + 3 * _EVERY + _GRACE)

    def _end(self) -> None:
        self._over.set()
        self._thread.join(2 * _EVERY)

    def _hang_up(self) -> None:
        for connection in [*self._peers]:
            connection.close()

    def _run(self) -> None:
        sent = 0.0
        with selectors.DefaultSelector() as selector:
            for connection in self._peers:
                selector.register(connection, selectors.EVENT_READ)
            while not self._over.is_set():
                now = time.monotonic()
                if now - sent >= _EVERY:
                    sent = now
                    self._tell_all(_ALIVE)
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    sign, gone = self._heard(key.fileobj)
                    if sign == _GONE:
                        return self._say(gone, "ended")
                    if sign == _BYE:
                        selector.unregister(key.fileobj)
                        del self._peers[key.fileobj]
                        key.fileobj.close()
                for connection, number in self._peers.items():
                    if now - self._seen[connection] > _SILENCE:
                        return self._say(number, f"has not answered for {_SILENCE:g} s")
        return None

    def _heard(self, connection: socket.socket) -> tuple[int, int]:
        """The sign that came, and who is gone."""
        try:
            said = connection.recv(_SIGN.size, socket.MSG_WAITALL)
        except OSError:
            said = b""
        if len(said) < _SIGN.size:
            return _GONE, self._peers[connection]
        self._seen[connection] = time.monotonic()
        return _SIGN.unpack(said)

    def _say(self, number: int, what: str) -> None:
        if not self._over.wait(_GRACE):
            self._tell_all(_GONE, number)
            self._ended(f"process {number} of {self._size} {what}")
        self._said.set()

    def _tell_all(self, sign: int, gone: int = 0) -> None:
        for connection in [*self._peers]:
            with suppress(OSError):  # whom it does not reach is found out by listening
                connection.sendall(_SIGN.pack(sign, gone))


def leave(last: str, words: str) -> None:
    """Say why this process ends, and end it with exit code 1, whatever its other threads do: `ended` of `join`.

    The main thread may be in a sum that never comes to an end, or wait for a disk.

    Args:
        last: what comes of it, "training stopped." say.
        words: what has happened to another process.

    Example:
        >>> from functools import partial
        >>> ended = partial(leave, "training stopped. Go on with another number of processes.")  # for `join`
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(2, f"contractive: {words}; {last}\n".encode())
    os._exit(1)
