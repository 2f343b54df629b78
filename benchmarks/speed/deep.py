"""Time the deep encoder's exact penalty beside Jacobians by automatic differentiation; write `deep.json` and `deep.md`.

As in `run.py` contenders take turns, each in a process of its own, and a ratio is the median over the rounds of the
ratio within a round. Memory is the peak of a whole process after a fixed number of steps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from deep_job import BATCH_SIZE, N_FEATURES, training_rows
from deep_reference import deep_check
from deep_table import write_table
from environments import DEEP_PEERS
from protocol import Worker
from racing import entry, interpreters, machine, peak_memory, start_workers, take_turns
from reference import TOLERANCE, disagreements

HERE = Path(__file__).parent
OURS = ("deep_exact", "deep_hutchinson", "deep_plain")
ON_OUR_JAX = ("deep_jax_jacrev", "deep_jax_blocked", "deep_jax_plain")
CHECKED_MINIBATCHES = 3
ESTIMATE_TOLERANCE = 0.05  # of what depends on random probes; leaving out the penalty's gradient is off by 0.2
MEMORY_MINIBATCHES = 16  # before a contender's memory is read; it has stopped growing by then
SECONDS_A_TURN = 1.5  # how long one contender trains before the next one's turn


def main() -> None:
    """Run everything, or what `--quick` leaves of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, at least 5 for a table")
    parser.add_argument("--quick", action="store_true", help=f"{N_FEATURES[0]} features only, two rounds")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for deep.json and deep.md")
    options = parser.parse_args()
    rounds, sizes = (2, N_FEATURES[:1]) if options.quick else (options.rounds, N_FEATURES)
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds, "missing": {}, "training": {}}
    contenders = interpreters((*OURS, *ON_OUR_JAX), DEEP_PEERS, [*DEEP_PEERS], results["missing"])
    for n_features in sizes:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "train.npy"
            np.save(data, training_rows(n_features))
            results["training"][str(n_features)] = {"contenders": race(contenders, data, rounds)}
        (options.out / "deep.json").write_text(json.dumps(results, indent=1) + "\n")
        write_table(results, options.out / "deep.md")
    print((options.out / "deep.md").read_text())


def race(contenders: dict[str, Path], data: Path, rounds: int) -> dict[str, Any]:
    """Seconds a step of each contender in each round, its peak memory and the check of what it computes."""
    rows = np.load(data)
    expected = {penalty: deep_check(rows, CHECKED_MINIBATCHES, penalty=penalty) for penalty in (True, False)}
    with start_workers(contenders, data, BATCH_SIZE) as workers:
        entries = {name: entry(worker) for name, worker in workers.items()}
        turns: dict[str, int] = {}
        for name, worker in workers.items():
            worker.ask({"run": MEMORY_MINIBATCHES})
            entries[name]["peak_memory_mib"] = peak_memory(worker.pid)
            entries[name]["disagreements"] = disagreement(name, worker, expected["plain" not in name])
            probe = worker.ask({"run": 2})["seconds"] / 2
            turns[name] = max(1, round(SECONDS_A_TURN / probe))
        for _ in range(rounds):
            for name, seconds in take_turns(workers, turns).items():
                entries[name]["seconds"].append(seconds)
            latest = "  ".join(f"{name} {1000 * entries[name]['seconds'][-1]:.1f}" for name in workers)
            print(f"{rows.shape[1]} features, ms: {latest}", flush=True)
    return entries


def disagreement(name: str, worker: Worker, expected: dict[str, Any]) -> list[str]:
    """What a contender computes otherwise than plain NumPy."""
    tolerance = ESTIMATE_TOLERANCE if name == "deep_hutchinson" else TOLERANCE
    return disagreements(worker.ask({"check": CHECKED_MINIBATCHES}), expected, tolerance)


if __name__ == "__main__":
    main()
