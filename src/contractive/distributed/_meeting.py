"""How processes find each other: by what was said or the cluster's own variables, at process 0's address.

They meet here before JAX is asked to join them, as JAX ends the whole process where another one does not come.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import NamedTuple

from .._validation import shown

try:  # JAX's way to Slurm, Open MPI and Kubernetes: its public door, `initialize`, would not let us meet first
    from jax._src.clusters import ClusterEnv
except ImportError:  # pragma: no cover - another version of JAX, where all is to be given
    ClusterEnv = None

__all__ = ["Place", "found_place", "meet"]

_HELLO = struct.Struct("!8sII")  # a word that only we say, index, size
_WORD = b"contract"
_PORT = struct.Struct("!I")
_HOW = "Give --coordinator HOST:PORT, --processes and --process-id, or start under Slurm, Open MPI or Kubernetes."


class Place(NamedTuple):
    """Where a process stands among those of a run.

    Args:
        host: where process 0 is.
        port: where it listens until all have come.
        size: processes of the run.
        number: this one's, from 0.
        device_ids: which of the machine's accelerators are this process's own, or None for all.
    """

    host: str
    port: int
    size: int
    number: int
    device_ids: list[int] | None = None


def found_place(coordinator: str | None, n_processes: int | None, process_id: int | None, timeout: float) -> Place:
    """What was given, and for the rest what the cluster says.

    Raises:
        ValueError: if that is not enough or makes no sense.
    """
    device_ids = None
    if ClusterEnv is not None and None in (coordinator, n_processes, process_id):
        try:
            coordinator, n_processes, process_id, device_ids = ClusterEnv.auto_detect_unset_distributed_params(
                coordinator, n_processes, process_id, None, None, max(1, int(timeout))
            )
        except RuntimeError as error:
            raise ValueError(f"the cluster does not say which processes there are ({error}). {_HOW}") from error
    if coordinator is None or n_processes is None or process_id is None:
        raise ValueError(f"no cluster was detected, and not all of a process's place was given. {_HOW}")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"`coordinator` must be HOST:PORT; got {shown(coordinator)}.")
    if n_processes < 1:
        raise ValueError(f"`n_processes` must be >= 1; got {n_processes}.")
    if not 0 <= process_id < n_processes:
        raise ValueError(f"`process_id` must be in 0 to {n_processes - 1}; got {process_id}.")
    return Place(host.strip("[]"), int(port), n_processes, process_id, None if device_ids is None else [*device_ids])


def meet(place: Place, timeout: float) -> tuple[dict[socket.socket, int], int]:
    """Wait until all are there.

    Returns:
        Connections with the other's index: process 0's to all, the others' to process 0; and the port at process 0's
        host where JAX is to meet.

    Raises:
        ConnectionError: if the others do not come, or process 0 is not there, within `timeout` seconds.
        OSError: if process 0 cannot listen.
        ValueError: if another one says another number of processes.
    """
    return _wait_for_all(place, timeout) if place.number == 0 else _come(place, timeout)


def _wait_for_all(place: Place, timeout: float) -> tuple[dict[socket.socket, int], int]:
    deadline, found = time.monotonic() + timeout, dict[socket.socket, int]()
    try:
        listening = socket.create_server(("", place.port), backlog=place.size)
    except OSError as error:
        raise OSError(error.errno, f"process 0 cannot listen at port {place.port}: {error.strerror}") from error
    with listening:
        while len(found) < place.size - 1:
            listening.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                missing = sorted({*range(1, place.size)} - {*found.values()})
                raise ConnectionError(
                    f"process{'es' * (len(missing) > 1)} {', '.join(map(str, missing))} of {place.size} did not come "
                    f"to {place.host}:{place.port} within {timeout:g} s. Were they started?"
                ) from None
            index = _greeted(connection, place.size)
            if index is not None and index not in found.values():
                found[connection] = index
    port = _free_port()
    for connection in found:
        connection.sendall(_PORT.pack(port))
    return found, port


def _greeted(connection: socket.socket, size: int) -> int | None:
    """Which process has come; None for a stranger."""
    connection.settimeout(5)
    with suppress(OSError):
        said = connection.recv(_HELLO.size, socket.MSG_WAITALL)
        if len(said) == _HELLO.size:
            word, index, their_size = _HELLO.unpack(said)
            if word == _WORD and their_size != size:
                connection.close()
                raise ValueError(f"`n_processes` must be the same everywhere; got {size} and {their_size}.")
            if word == _WORD and 0 < index < size:
                return index
    connection.close()
    return None


def _come(place: Place, timeout: float) -> tuple[dict[socket.socket, int], int]:
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            connection = socket.create_connection((place.host, place.port), timeout=max(0.1, left))
            break
        except OSError as error:
            if left < 1:
                raise ConnectionError(
                    f"process 0 is not at {place.host}:{place.port} after {timeout:g} s "
                    f"({error.strerror or error}). Was it started, and is this its address?"
                ) from error
            time.sleep(0.2)
    with suppress(OSError):
        connection.sendall(_HELLO.pack(_WORD, place.number, place.size))
        connection.settimeout(timeout + 5)  # process 0 gives up first, with the better words
        said = connection.recv(_PORT.size, socket.MSG_WAITALL)
        if len(said) == _PORT.size:
            return {connection: 0}, _PORT.unpack(said)[0]
    connection.close()
    raise ConnectionError(f"process 0 at {place.host}:{place.port} left before all {place.size} had come.")


def _free_port() -> int:
    with socket.create_server(("", 0)) as found:
        return found.getsockname()[1]
