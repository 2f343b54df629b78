"""Rows per second of two single-threaded processes that train together, beside one.

Each process has a core of its own (taskset) and 1,000 rows of every minibatch: two train on minibatches of 2,000.
Rounds of one and of two take turns, so that what else the machine does falls on both; a round's speed is the median of
its epochs but the first, which compiles. Writes `results/processes.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import record

RUN = "from contractive.cli import main; main()"
BATCH, FEATURES, UNITS = 1000, 784, 500  # rows of a minibatch for each process


def command(place: int, rest: list[str]) -> list[str]:
    """A process on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    pin = ["taskset", "-c", str(cores[place % len(cores)])] if shutil.which("taskset") else []
    return [*pin, sys.executable, "-c", RUN, *rest]


def epoch_speed(n_processes: int, n_epochs: int, folder: Path) -> float:
    """Rows per second of all processes together."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    job = f"train x.npy --out run --overwrite --no-report --components {UNITS} --loss cross_entropy --epochs {n_epochs}"
    job += f" --batch-size {BATCH * n_processes} --optimizer sgd --checkpoint-every never --distributed"
    job += f" --coordinator 127.0.0.1:{port} --processes {n_processes} --process-id"
    flags = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    processes = [
        subprocess.Popen(
            command(place, [*job.split(), str(place)]), cwd=folder, env=os.environ | flags, stdout=subprocess.DEVNULL
        )
        for place in range(n_processes)
    ]
    if any([process.wait() for process in processes]):
        raise RuntimeError(f"{n_processes} processes did not train to the end.")
    lines = (folder / "run" / "history.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["rows_per_second"] for line in lines[1:])


def measured(n_rows: int, n_epochs: int, n_rounds: int) -> dict[str, Any]:
    """The speeds of each round, and what they say."""
    speeds: dict[str, list[float]] = {"one": [], "two": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 256, (n_rows, FEATURES), dtype=np.uint8))
        for _ in range(n_rounds):
            for label, n_processes in (("one", 1), ("two", 2)):
                speeds[label].append(epoch_speed(n_processes, n_epochs, folder))
    medians = {label: statistics.median(values) for label, values in speeds.items()}
    return {
        "job": {"rows": n_rows, "features": FEATURES, "units": UNITS, "batch_a_process": BATCH, "epochs": n_epochs},
        "rows_per_second": speeds,
        "median": medians,
        "ratio": round(medians["two"] / medians["one"], 3),
    }


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
