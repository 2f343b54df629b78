"""Time the tutorial's job side by side with what people would use instead; write `results.json` and `README.md`.

Contenders run in processes and environments of their own, in turn, round by round, so that a slow moment of the
machine meets all of them; a ratio is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from environments import PEERS
from protocol import N_FEATURES, N_HIDDEN, Worker
from racing import entry, interpreters, machine, peak_memory, start_workers, take_turns
from reference import check, disagreements
from table import write_table

from contractive.datasets import load_mnist

HERE = Path(__file__).parent
OURS = ("contractive_cae", "contractive_jax", "contractive_plain")
N_ROWS = 50_000
BATCHES = (10, 100, 1000)
CHECKED_MINIBATCHES = {10: 50, 100: 5, 1000: 5}
SECONDS_A_TURN = 1.2  # how long one contender trains before the next one's turn


def main() -> None:
    """Run everything, or what `--quick` leaves of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, at least 5 for a table")
    parser.add_argument("--batch", type=int, nargs="*", default=BATCHES, help="batch sizes")
    parser.add_argument("--only", nargs="*", default=list(PEERS), help="peers to run against")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.json and README.md")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "missing": {}, "training": {}}
    contenders = interpreters(OURS, PEERS, options.only, results["missing"])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "train.npy"
        np.save(data, load_mnist("float32")[0][0])
        for batch_size in options.batch:
            results["training"][str(batch_size)] = race(contenders, data, batch_size, options.rounds)
            save(results, options.out)
    results["processes"] = processes(options.rounds)
    save(results, options.out)
    print((options.out / "README.md").read_text())


def save(results: dict[str, Any], folder: Path) -> None:
    """Write what there is, so that an interrupted run leaves its finished part."""
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    write_table(results, folder / "README.md")


def race(
    contenders: dict[str, Path],
    data: Path,
    batch_size: int,
    rounds: int,
    *,
    other_jobs: Collection[str] = ("contractive_plain",),
) -> dict[str, Any]:
    """Seconds an epoch of each contender in each round, with the check of what it computes.

    Args:
        contenders: Each one's interpreter.
        data: The .npy file of rows.
        batch_size: Rows a minibatch.
        rounds: How many.
        other_jobs: Those that train another objective on purpose, which are not checked.
    """
    n_minibatches = N_ROWS // batch_size
    rows = np.load(data, mmap_mode="r")
    entries: dict[str, Any] = {}
    with start_workers(contenders, data, batch_size) as workers:
        turns: dict[str, int] = {}
        for name, worker in workers.items():
            entries[name] = entry(worker)
            checked = name not in other_jobs
            entries[name]["disagreements"] = disagreement(name, worker, rows, batch_size) if checked else None
            worker.ask({"run": 2})
            turns[name] = turn_length(worker, n_minibatches)
        products = []
        for _ in range(rounds):
            products.append(workers[OURS[0]].ask({"call": "matrix_product_gflops"})["gflops"])
            for name, seconds in take_turns(workers, turns).items():
                entries[name]["seconds"].append(seconds * n_minibatches)
            latest = "  ".join(f"{name} {entries[name]['seconds'][-1]:.2f}" for name in workers)
            print(f"batch {batch_size}: {latest}", flush=True)
        for name, worker in workers.items():
            entries[name]["peak_memory_mib"] = peak_memory(worker.pid)
    flops = 6 * 2 * N_ROWS * N_FEATURES * N_HIDDEN
    return {"contenders": entries, "gflops": products, "flop_an_epoch": flops}


def turn_length(worker: Worker, n_minibatches: int) -> int:
    """The minibatches of a contender's turn; doubled until the cost of a call does not count for much."""
    probed, seconds = 4, 0.0
    while (seconds := worker.ask({"run": probed})["seconds"]) < SECONDS_A_TURN / 2 and probed < n_minibatches:
        probed *= 2
    return max(2, min(n_minibatches, round(SECONDS_A_TURN * probed / seconds)))


def disagreement(name: str, worker: Worker, rows: np.ndarray, batch_size: int) -> list[str]:
    """What a contender computes otherwise than plain NumPy."""
    minibatches = CHECKED_MINIBATCHES[batch_size]
    expected = check(rows, batch_size, minibatches, as_published=name == "theano_as_published")
    return disagreements(worker.ask({"check": minibatches}), expected)


def processes(rounds: int) -> dict[str, Any]:
    """Whole processes: the help text, and the tutorial's job for one epoch from the command line."""
    command = str(Path(sys.executable).parent / "contractive")
    help_runs = [run_process([command, "--help"]) for _ in range(2 * rounds)]
    with tempfile.TemporaryDirectory() as folder:
        job = [command, "train", "mnist", "--preset", "tutorial", "--epochs", "1", "--no-report", "--out"]
        job_runs = [run_process([*job, f"{folder}/{index}"]) for index in range(rounds)]
    return {"help": help_runs, "one_epoch": job_runs}


def run_process(command: list[str]) -> dict[str, float]:
    """Wall seconds and peak resident memory in MiB of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - began, "peak_memory_mib": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    main()
