"""What the drivers of both jobs share: contenders in processes and environments of their own, taking turns."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from environments import MissingPeerError, ensure
from protocol import Worker

__all__ = ["entry", "interpreters", "machine", "peak_memory", "start_workers", "take_turns"]

HERE = Path(__file__).parent
PAUSE = 0.3  # seconds between turns: threads of the one before may still spin


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    name = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),  # noqa: SIM115
        platform.processor(),
    )
    return {"processor": name, "cores": os.cpu_count(), "python": platform.python_version()}


def interpreters(
    here: Iterable[str], peers: Mapping[str, str], chosen: Collection[str], missing: dict[str, str]
) -> dict[str, Path]:
    """The interpreter of each contender.

    Args:
        here: Contenders that run in this process's own environment.
        peers: Peer -> the environment it runs in, a key of `environments.ENVIRONMENTS`.
        chosen: The peers wanted.
        missing: Takes peer -> reason for each one that cannot be had.
    """
    found = {name: Path(sys.executable) for name in here}
    for peer in chosen:
        try:
            found[peer] = ensure(peers[peer])
        except MissingPeerError as error:
            missing[peer] = str(error)
            print(f"missing: {peer}: {error}", file=sys.stderr)
    return found


@contextmanager
def start_workers(interpreters: Mapping[str, Path], data: Path, batch_size: int) -> Iterator[dict[str, Worker]]:
    """Every contender's process, each compiling by itself; its script is in `ours/` or `peers/`."""
    with ExitStack() as stack:
        workers = {}
        for name, interpreter in interpreters.items():
            script = next(path for side in ("ours", "peers") if (path := HERE / side / f"{name}.py").exists())
            workers[name] = stack.enter_context(Worker([str(interpreter), str(script)], data, batch_size))
        yield workers


def entry(worker: Worker) -> dict[str, Any]:
    """What the results say of a contender before its first turn, once it is ready."""
    ready = worker.wait_ready()
    return {"versions": ready["versions"], "compile_seconds": ready["compile_seconds"], "seconds": []}


def take_turns(workers: Mapping[str, Worker], minibatches: Mapping[str, int]) -> dict[str, float]:
    """One round: each contender trains while the others wait; seconds a minibatch of each."""
    seconds = {}
    for name, worker in workers.items():
        time.sleep(PAUSE)
        answer = worker.ask({"run": minibatches[name]})
        seconds[name] = answer["seconds"] / answer["minibatches"]
    return seconds


def peak_memory(pid: int) -> float:
    """The most memory that a running process has had resident, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
