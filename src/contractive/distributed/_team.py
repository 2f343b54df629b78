"""The processes that share the rows of one pass: they sum nothing, and so do without JAX's runtime."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax

from .._files import hidden_file
from ..sources import PartedFile, RowWriter
from ._meeting import found_place, meet
from ._watch import Watch

__all__ = ["Team", "join_team"]

_LENGTH = struct.Struct("!I")


def join_team(
    coordinator: str | None,
    n_processes: int | None,
    process_id: int | None,
    *,
    ended: Callable[[str], object],
    timeout: float = 60,
) -> Team:
    """Join the processes that share one pass over rows; to be called before JAX computes anything.

    Args:
        coordinator: as for `join`, like the next two.
        n_processes: of the job.
        process_id: of this one, from 0.
        ended: is told in a few words, in a thread of its own, that another process is gone, and is to end this one.
        timeout: seconds to wait for the others.

    Raises:
        ConnectionError: if the others do not come in time, or process 0 is not there.
        OSError: if process 0 cannot listen at its port.
        ValueError: if no cluster is detected, or what is given makes no sense.
    """
    place = found_place(coordinator, n_processes, process_id, timeout)
    if place.device_ids is not None:  # as `join` has it done: each process takes its own accelerators only
        own = ",".join(map(str, place.device_ids))
        jax.config.update("jax_cuda_visible_devices", own)
        jax.config.update("jax_rocm_visible_devices", own)
    watched, _ = meet(place, timeout)
    lines, _ = meet(place, timeout)  # a second time, as the watch listens to what is said over the first
    return Team(place.number, place.size, watched, lines, ended)


class Team:
    """The processes that share the rows of one pass, within a `with` block.

    Args:
        index: this one's, from 0.
        size: how many there are.
        watched: connections over which they watch each other, as `meet` gives them.
        lines: connections over which they talk.
        ended: as for `join_team`.
    """

    index: int
    size: int

    def __init__(
        self,
        index: int,
        size: int,
        watched: dict[socket.socket, int],
        lines: dict[socket.socket, int],
        ended: Callable[[str], object],
    ):
        self.index, self.size, self._lines, self._ended = index, size, lines, ended
        self._unfinished: list[Path] = []
        for line in lines:
            line.settimeout(None)  # the watch knows when to wait no longer
        self._watch = Watch(watched, size, self._break)

    @property
    def writes(self) -> bool:
        """Whether this is the process that makes files and prints."""
        return self.index == 0

    def share(self, starts: Sequence[int]) -> Sequence[int]:
        """This process's share of blocks, as many as any other's but for one.

        Args:
            starts: where the blocks begin, and where the last one ends.

        Raises:
            ValueError: if there are fewer blocks than processes.
        """
        n_blocks = len(starts) - 1
        if n_blocks < self.size:
            raise ValueError(
                f"`n_processes` must be at most {n_blocks}, the number of blocks that these rows are read in; "
                f"got {self.size}. Start fewer processes."
            )
        first, last = (n_blocks * number // self.size for number in (self.index, self.index + 1))
        return starts[first : last + 1]

    def gather(self, said: Any) -> list[Any]:
        """What each process says, of JSON's types; all must call it.

        Raises:
            ConnectionError: if another process is gone, and `ended` has come back.
        """
        try:
            if not self.writes:
                [line] = self._lines
                _say(line, said)
                return _heard(line)
            found = {0: said} | {number: _heard(line) for line, number in self._lines.items()}
            for line in self._lines:
                _say(line, [found[number] for number in range(self.size)])
            return [found[number] for number in range(self.size)]
        except OSError as error:
            self._watch.wait()  # which ends this process with words of who is gone
            raise ConnectionError("another process is gone.") from error

    @contextmanager
    def open_writer(self, path: Path, file: PartedFile, start: int, stop: int, job: Any) -> Iterator[RowWriter]:
        """Write rows of a file that all processes make together; it is there once all of them have written theirs.

        Args:
            path: the file, which must lie where all processes see it.
            file: what writes it.
            start: the first of this process's rows.
            stop: the one after its last.
            job: what must be the same everywhere, by name, of JSON's types.

        Raises:
            OSError: if the folder cannot be written, is another one elsewhere, or the disk is full.
            RuntimeError: if other rows were written than announced.
            ValueError: if another process has another job.
        """
        with hidden_file(path) as hidden, hidden_file(path) as other:
            said = self.gather([hidden.name, other.name, job])  # of the names, process 0's are taken
            hidden, other = self._unfinished = [path.with_name(name) for name in said[0][:2]]
            _check_jobs([theirs for *_, theirs in said])
            if self.writes:
                file.begin(hidden)
            self.gather(None)
            with ExitStack() as stack:
                writer = None
                with suppress(FileNotFoundError):
                    writer = stack.enter_context(file.open(hidden, start, stop))
                _check_found(path, self.gather(writer is not None))  # before process 0 may fail and remove it
                assert writer is not None
                yield writer
            self.gather(None)
            if self.writes:
                file.publish(hidden, other)
            self.gather(None)  # none leaves before the file is there

    def _break(self, words: str) -> None:
        """Leave nothing half-written behind, whichever process is gone, process 0 among them."""
        for path in self._unfinished:
            path.unlink(missing_ok=True)
        self._ended(words)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._watch.leave()
        else:
            self._watch.close()  # the others do not know of it, and are not to wait
        for line in self._lines:
            line.close()


def _check_jobs(jobs: Sequence[dict[str, Any]]) -> None:
    for number, job in enumerate(jobs):
        for name, value in job.items():
            if value != jobs[0][name]:
                raise ValueError(
                    f"{name} must be the same in all processes; got {jobs[0][name]} in process 0 and {value} in "
                    f"process {number}."
                )


def _check_found(path: Path, found: Sequence[bool]) -> None:
    if not all(found):
        raise FileNotFoundError(
            f"{str(path)!r} must lie on a disk that all processes share; process {found.index(False)} does not find "
            "there what process 0 began."
        )


def _say(line: socket.socket, said: Any) -> None:
    words = json.dumps(said).encode()
    line.sendall(_LENGTH.pack(len(words)) + words)


def _heard(line: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_received(line, _LENGTH.size))
    return json.loads(_received(line, length))


def _received(line: socket.socket, length: int) -> bytes:
    """So many bytes.

    Raises:
        OSError: if the other one is gone.
    """
    found = line.recv(length, socket.MSG_WAITALL)
    if len(found) < length:
        raise ConnectionError("the line is cut.")
    return found
