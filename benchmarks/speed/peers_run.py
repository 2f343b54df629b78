"""Race the tutorial's job against what people would pick instead, penalties checked; write `peers.json`, `peers.md`.

First each contender's own penalty, at the same weights on the same rows, is held to the exact one and its gradient.
One that does not train is recorded with its error. Then those that do take turns as in `run.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from environments import PACKAGE_PEERS, PEERS
from exact_penalty import exact_penalty, penalty_errors
from peers_table import WITHOUT_PENALTY, write_table
from protocol import WorkerError, initial_weight
from racing import interpreters, machine, start_workers
from run import race

from contractive.datasets import load_mnist

HERE = Path(__file__).parent
OURS = ("contractive_cae", "contractive_jax", "contractive_plain")
CONTENDERS = {**PEERS, **PACKAGE_PEERS}
# They train on other errors of reconstruction than the tutorial, or on other models.
OTHER_JOBS = ("contractive_plain", *(peer for peer in PACKAGE_PEERS if peer != "jax_jacrev"))
ACTIVATIONS = {"rapidae_relu": "relu"}  # of the encoder; the sigmoid where nothing is said
BATCHES = (10, 100)
CHECKED_ROWS = 10


def main() -> None:
    """Check all, then race all, or what the options leave of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, at least 5 for a table")
    parser.add_argument("--batch", type=int, nargs="*", default=BATCHES, help="batch sizes")
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS), help="peers")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for peers.json and peers.md")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "missing": {}, "training": {}}
    contenders = interpreters(OURS, CONTENDERS, options.only, results["missing"])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "train.npy"
        np.save(data, load_mnist("float32")[0][0])
        results["penalties"] = check_all(contenders, data, results["missing"])
        able = {name: python for name, python in contenders.items() if name not in results["missing"]}
        for batch_size in options.batch:
            results["training"][str(batch_size)] = race(able, data, batch_size, options.rounds, other_jobs=OTHER_JOBS)
            save(results, options.out)
    print((options.out / "peers.md").read_text())


def save(results: dict[str, Any], folder: Path) -> None:
    """Write what there is, so that an interrupted run leaves its finished part."""
    (folder / "peers.json").write_text(json.dumps(results, indent=1) + "\n")
    write_table(results, folder / "peers.md")


def check_all(contenders: dict[str, Path], data: Path, missing: dict[str, str]) -> dict[str, dict[str, float]]:
    """How far each contender's penalty is from the exact one.

    Args:
        contenders: Each one's interpreter.
        data: The .npy file of rows.
        missing: Takes contender -> reason for each one that does not train.
    """
    rows = np.load(data, mmap_mode="r")[:CHECKED_ROWS]
    errors = {}
    for name, interpreter in contenders.items():
        try:
            with start_workers({name: interpreter}, data, CHECKED_ROWS) as workers:
                workers[name].wait_ready()
                if name in WITHOUT_PENALTY:
                    continue
                found = workers[name].ask({"call": "penalty"})
        except WorkerError as error:
            missing[name] = reason(str(error))
            print(f"missing: {name}: {missing[name]}", flush=True)
            continue
        exact = exact_penalty(initial_weight(np.float64), rows, ACTIVATIONS.get(name, "sigmoid"))
        errors[name] = penalty_errors(found, exact)
        print(f"{name}: {errors[name]}", flush=True)
    return errors


def reason(words: str) -> str:
    """The line of a worker's last words that says what went wrong: the last that names an error, else the first."""
    lines = [line.strip() for line in words.splitlines()]
    return next((line for line in reversed(lines) if "Error: " in line), lines[0])


if __name__ == "__main__":
    main()
