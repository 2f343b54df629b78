"""The processes of a run as one of them sees it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from types import TracebackType
from typing import Self

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ._exchange import MOST_BYTES, MOST_PROCESSES, SharedMemory
from ._meeting import found_place, meet
from ._watch import Watch, leave

__all__ = ["Group", "current", "join"]

_AXIS = "data"
_SPOKEN = 1 << 12  # bytes that are reserved at least for what is said
_BROKEN = ("Gloo", "gloo", "NCCL", "Connection reset", "Connection closed")  # what errors of JAX then speak of

_entered: list[Group] = []


def current() -> Group | None:
    """The group whose `with` block this is, in which estimators train together; None outside."""
    return _entered[-1] if _entered else None


def join(
    coordinator: str | None = None,
    n_processes: int | None = None,
    process_id: int | None = None,
    timeout: float = 60,
    ended: Callable[[str], object] | None = None,
) -> Group:
    """Join the processes of a run; to be called once, before JAX computes anything.

    Args:
        coordinator: "HOST:PORT" where process 0 is and may listen; None for what Slurm, Open MPI or Kubernetes say, as
            for the next two.
        n_processes: of the run.
        process_id: of this one, from 0.
        timeout: seconds to wait for the others.
        ended: is told in a few words, in a thread of its own, that another process is gone, and is to end this one,
            which may hang in JAX for ever. None prints the words and leaves with exit code 1.

    Returns:
        The group: `with join(...): estimator.fit(X)` trains in all of them together.

    Raises:
        ConnectionError: if the others do not come in time, or process 0 is not there.
        OSError: if process 0 cannot listen at its port.
        RuntimeError: if JAX has computed something before.
        ValueError: if no cluster is detected, or what is given makes no sense.
    """
    place = found_place(coordinator, n_processes, process_id, timeout)
    connections, port = meet(place, timeout)
    # The one place that touches JAX's settings: they cannot be arguments, and without them CPUs do not add up. JAX's
    # own answer to SIGTERM would take ours away.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)
    host = f"[{place.host}]" if ":" in place.host else place.host
    jax.distributed.initialize(
        f"{host}:{port}",
        place.size,
        place.number,
        local_device_ids=place.device_ids,
        cluster_detection_method="deactivate",
        initialization_timeout=max(1, int(timeout)),
    )
    return Group(place.number, place.size, Watch(connections, place.size, ended or partial(leave, "training stopped.")))


class Group:
    """The processes that train together.

    Args:
        index: this one's, from 0.
        size: how many there are.
        watch: over the others.
    """

    index: int
    size: int

    def __init__(self, index: int, size: int, watch: Watch):
        self.index, self.size, self._watch = index, size, watch
        self._mesh = Mesh(np.array(jax.devices()), (_AXIS,))
        self._exchange: Callable[..., np.ndarray] | None = None
        with _without_gloo():
            self.gather([0])  # makes the connections over which all later sums go
        if jax.default_backend() == "cpu":
            # The connections are there, and nothing else needs JAX's coordinator, which ends all processes by abort,
            # with a page of C++, as soon as its own is gone.
            jax.distributed.shutdown()

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.index == 0

    def gather(self, values: Sequence[float]) -> np.ndarray:
        """What each process says; all must call it, with as many values.

        Returns:
            float64 of shape (processes, values).
        """
        words = np.asarray(values, np.float64).view(np.uint32)  # which JAX leaves as they are in any precision
        if self._exchange is not None and words.nbytes <= _SPOKEN:
            return self._exchange(words)[:, : len(words)].copy().view(np.float64)
        said = np.zeros((1, self.size, len(words)), np.uint32)
        said[0, self.index] = words
        own = [device for device in self._mesh.devices.flat if device.process_index == jax.process_index()]
        parts = [jax.device_put(said if device is own[0] else np.zeros_like(said), device) for device in own]
        shape, sharding = (self._mesh.size, *said.shape[1:]), NamedSharding(self._mesh, PartitionSpec(_AXIS))
        total = _sum(jax.make_array_from_single_device_arrays(shape, sharding, parts), mesh=self._mesh)
        return np.array(total)[0].view(np.float64)

    def agree(self, values: Sequence[float]) -> np.ndarray:
        """What process 0 says, of shape (values,)."""
        return self.gather(values)[0]

    def any(self, flag: bool) -> bool:
        """Whether it holds in one of the processes."""
        return bool(self.gather([flag]).any())

    def exchange(self, n_bytes: int) -> Callable[..., np.ndarray] | None:
        """What shows all processes the arrays of each without a network; all must call this.

        Args:
            n_bytes: of the arrays of a process, at most.

        Returns:
            `SharedMemory.exchange`, or None where there is none: on other devices than CPUs, on several machines, for
            very many processes or bytes, or where there is no memory to share.
        """
        one_each = jax.default_backend() == "cpu" and len(jax.devices()) == self.size
        is_small = 1 < self.size <= MOST_PROCESSES and n_bytes <= MOST_BYTES
        if not (one_each and is_small and hasattr(os, "posix_fallocate")):
            return None
        memory = self._memory
        self._exchange = None  # all hear of each other over the network, so that none exchanges while room is made
        if memory is not None and not self.any(not _succeeds(partial(memory.reserve, max(n_bytes, _SPOKEN)))):
            self._exchange = memory.exchange
        return self._exchange

    @cached_property
    def _memory(self) -> SharedMemory | None:
        """What all processes share, or None where not all have the same memory; all must ask for it."""
        memory = SharedMemory(int(self.agree([secrets.randbits(52)])[0]), self.index, self.size)
        is_prepared = self.index != 0 or _succeeds(memory.prepare)
        self.any(False)  # all wait for that
        have_met = not self.any(not (is_prepared and _succeeds(memory.meet)))
        memory.forget()
        if have_met:
            return memory
        memory.close()
        return None

    def __enter__(self) -> Self:
        _entered.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _entered.remove(self)
        self._exchange = None
        if (memory := vars(self).get("_memory")) is not None:
            memory.close()
        if error is not None and any(word in str(error) for word in _BROKEN):
            self._watch.wait()  # pragma: no cover - whether JAX or the watch notices first is chance
        if error is not None and isinstance(error, Exception) and not isinstance(error, FloatingPointError):
            self._watch.close()  # the others do not know of it, and are not to wait
            return
        self._watch.leave()
        if jax.distributed.is_initialized():  # pragma: no cover - on CPUs it was left after the first sum
            jax.distributed.shutdown()


def _succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


@partial(jax.jit, static_argnames="mesh")
def _sum(parts: jax.Array, mesh: Mesh) -> jax.Array:
    total = partial(jax.lax.psum, axis_name=_AXIS)
    return jax.shard_map(total, mesh=mesh, in_specs=PartitionSpec(_AXIS), out_specs=PartitionSpec())(parts)


@contextmanager
def _without_gloo() -> Iterator[None]:
    """Keep to itself what gloo writes to the process's own standard output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
