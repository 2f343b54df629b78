"""Rows per second of two single-threaded processes that train together, beside one.

Each process has a core of its own (taskset) and 1,000 rows of every minibatch: two train on minibatches of 2,000.
Beside them, two that know nothing of each other: what the machine has to give. Rounds of all three take turns, so that
what else the machine does falls on all; a round's speed is the median of its epochs but the first, which compiles, and
what is quoted the median of the ratios within a round, as a machine that others share has another speed in each.
Writes `results/processes.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import COMMAND, record

BATCH, FEATURES, UNITS = 1000, 784, 500  # rows of a minibatch for each process
GRADIENT_FLOATS = UNITS * FEATURES + UNITS + FEATURES + 2  # and the two costs
FLAGS = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}  # single-threaded
# As between machines, where processes find no memory of each other's.
APART = "from contractive.distributed._exchange import SharedMemory; SharedMemory.prepare = lambda self: None; "
CONTENDERS = {"one": (1, 1), "two": (2, 1), "two apart": (1, 2)}  # processes of a group, groups


def pinned(place: int) -> list[str]:
    """What puts a command on a core, the same one for places that differ by the number of cores."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[place % len(cores)])] if shutil.which("taskset") else []


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def start(
    n_processes: int, n_epochs: int, folder: Path, group: int, over_network: bool
) -> list[subprocess.Popen[bytes]]:
    """A group of processes that train together on `x.npy`, into `run` and the number of the group."""
    job = f"train x.npy --out run{group} --overwrite --no-report --components {UNITS} --loss cross_entropy"
    job += f" --epochs {n_epochs} --batch-size {BATCH * n_processes} --optimizer sgd --checkpoint-every never"
    job += f" --distributed --coordinator 127.0.0.1:{free_port()} --processes {n_processes} --process-id"
    *python, code = COMMAND
    words = [*python, (APART if over_network else "") + code, *job.split()]
    return [
        subprocess.Popen(
            [*pinned(group * n_processes + place), *words, str(place)],
            cwd=folder,
            env=os.environ | FLAGS,
            stdout=subprocess.DEVNULL,
        )
        for place in range(n_processes)
    ]


def speed(n_processes: int, n_epochs: int, folder: Path, n_groups: int = 1, *, over_network: bool = False) -> float:
    """Rows per second of all processes together, whose sums go through memory or over the network."""
    processes = [one for group in range(n_groups) for one in start(n_processes, n_epochs, folder, group, over_network)]
    if any([process.wait() for process in processes]):
        raise RuntimeError(f"{n_processes} processes did not train to the end.")
    total = 0.0
    for group in range(n_groups):
        lines = (folder / f"run{group}" / "history.jsonl").read_text().splitlines()
        total += statistics.median(json.loads(line)["rows_per_second"] for line in lines[1:])
    return total


def write_noise(folder: Path, n_rows: int) -> None:
    """Write rows of random bytes as `x.npy`."""
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 256, (n_rows, FEATURES), dtype=np.uint8))


def measured(n_rows: int, n_epochs: int, n_rounds: int) -> dict[str, Any]:
    """The speeds of each round, and what they say."""
    speeds: dict[str, list[float]] = {label: [] for label in CONTENDERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder, n_rows)
        for _ in range(n_rounds):
            for label, (n_processes, n_groups) in CONTENDERS.items():
                speeds[label].append(speed(n_processes, n_epochs, folder, n_groups))
    medians = {label: statistics.median(values) for label, values in speeds.items()}
    return {
        "job": {"rows": n_rows, "features": FEATURES, "units": UNITS, "batch_a_process": BATCH, "epochs": n_epochs},
        "rows_per_second": speeds,
        "median": medians,
        "ratio": _ratio(speeds["two"], speeds["one"]),
        "ratio_apart": _ratio(speeds["two apart"], speeds["one"]),
    }


def _ratio(speeds: list[float], others: list[float]) -> float:
    return round(statistics.median(speed / other for speed, other in zip(speeds, others, strict=True)), 3)


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    record("processes", measured(options.rows, options.epochs, options.rounds))


if __name__ == "__main__":
    main()
