"""What a minibatch costs where several processes train one model: a sum of parts that are each measured alone."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from contractive.training._loop import _CHUNK_SECONDS, _LONGEST_CHUNK, _SHARE_OF_LOOKS

__all__ = ["Cost", "Machine", "predicted"]

_SUMS_A_CHUNK = 2  # in which the processes then agree on signals, and on how long the next chunk is


class Machine(NamedTuple):
    """What a machine and its network take.

    Args:
        computing: seconds of a minibatch's step by one process, with a core and the rest of the machine to itself.
        crowding: how many times as long a step takes where all cores compute, >= 1.
        spread: standard deviation of a step's seconds from one minibatch to the next.
        reading: seconds that a core works to bring a minibatch's rows from the system's cache to their places.
        disk: bytes a second of one host's disk; infinite where the rows are in the system's cache.
        calling: seconds from the end of a chunk to the start of the next, without what the processes have to agree on.
        agreeing: seconds of a sum of a few numbers, without its messages.
        latency: seconds of one message between two processes.
        bandwidth: bytes a second that a process sends while it receives as many.
    """

    computing: float
    crowding: float
    spread: float
    reading: float
    disk: float
    calling: float
    agreeing: float
    latency: float
    bandwidth: float


class Cost(NamedTuple):
    """Seconds of one minibatch by what they are spent on.

    Args:
        computing: the steps of the processes that share a core.
        reading: bringing rows to their places, which takes the core of the step.
        bytes: sending and adding up the gradient.
        messages: the latency of the messages that carry it.
        chunks: looking at what came of a chunk and agreeing on the next, a minibatch's share.
        waiting: for the slowest.
        disk: waiting for the disk, where all the above takes less time than it.
    """

    computing: float
    reading: float
    bytes: float
    messages: float
    chunks: float
    waiting: float
    disk: float

    @property
    def total(self) -> float:
        """Seconds of the minibatch."""
        return sum(self)


def predicted(
    machine: Machine,
    n_processes: int,
    *,
    gradient_bytes: float,
    rows_bytes: float,
    sharing: int = 1,
    crowded: bool = False,
) -> Cost:
    """The seconds of a minibatch.

    With P processes, k of which share a core and so take turns, and a gradient of G bytes:

        step      k (crowding computing + reading)
        gradient  k 2 (P - 1) (latency + G / (P bandwidth)), the ring: each process sends 2 (P - 1) parts of G / P
        chunk     k (calling + 2 (agreeing + 2 (P - 1) latency)), shared by the minibatches of 0.25 s, or of 20 times
                  what agreeing takes, up to 5 s
        waiting   spread sqrt(k) z, with z the mean of the largest of P / k normal values
        disk      what a minibatch's rows take longer to come from the disk than all the above

    Args:
        machine: what the parts take.
        n_processes: that train together, >= 1.
        gradient_bytes: of the model's gradient.
        rows_bytes: of the rows that one process takes of a minibatch, as they lie in the file.
        sharing: processes that share a core, >= 1.
        crowded: whether all cores of a machine compute.
    """
    step = sharing * machine.computing * (machine.crowding if crowded else 1)
    reading = sharing * machine.reading
    parts = 2 * (n_processes - 1)
    sent = sharing * parts * gradient_bytes / n_processes / machine.bandwidth
    messages = sharing * parts * machine.latency
    busy = step + reading + sent + messages
    looking = sharing * _SUMS_A_CHUNK * (machine.agreeing + parts * machine.latency)
    seconds = max(_CHUNK_SECONDS, min(looking / _SHARE_OF_LOOKS, _LONGEST_CHUNK))
    chunks = (sharing * machine.calling + looking) / max(1, round(seconds / busy))
    n_cores = n_processes / sharing
    slowest = NormalDist().inv_cdf((n_cores - 0.375) / (n_cores + 0.25))  # Blom's approximation
    waiting = machine.spread * sqrt(sharing) * slowest
    disk = max(0.0, rows_bytes / machine.disk - (busy + chunks + waiting))
    return Cost(step, reading, sent, messages, chunks, waiting, disk)
