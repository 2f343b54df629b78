"""Processes of one job, over loopback, with windows and blocks of some rows only."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from console import Outcome, without_report
from toys import QUICK_FLAGS

SMALL_WINDOWS = {"_WINDOW_BYTES": 36 * 150, "_BLOCK_BYTES": 36 * 7}
BLOCK_BYTES = 36 * 16  # of rows that are encoded at a time
SETUP = (
    f"import contractive.training._stream as stream; vars(stream).update({SMALL_WINDOWS}); "
    f"import contractive.cli._encode as encode; encode.BLOCK_BYTES = {BLOCK_BYTES}; "
)
RUN = "from contractive.cli import main; main()"
Process = subprocess.Popen[str]


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def start(
    port: int, size: int, index: int, *arguments: object, folder: Path, devices: int = 1, setup: str = ""
) -> Process:
    """One of the processes of a run, single-threaded."""
    place = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", size, "--process-id", index]
    flags = f"{QUICK_FLAGS} --xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count={devices}"
    words = [sys.executable, "-c", SETUP + setup + RUN, *without_report((*arguments, *place))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def start_all(size: int, *arguments: object, folder: Path, devices: int = 1, setup: str = "") -> list[Process]:
    """All processes of a job."""
    port = free_port()
    return [start(port, size, index, *arguments, folder=folder, devices=devices, setup=setup) for index in range(size)]


def ends(processes: list[Process], timeout: float = 120) -> list[Outcome]:
    """What each left."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Outcome(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
