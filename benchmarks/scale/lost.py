"""Kill one of the processes that train together, again and again. Writes `results/lost.json`.

Two processes train; one of them, each as often, is killed at a random moment. The other must stop by itself within 60
seconds and say who is gone; then two go on, until the training has ended by itself. Its last weights must be those of
one process that was never killed, to float32's tolerance: 1e-4 of the largest.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from common import COMMAND, record, scratch
from processes import free_port
from safetensors.numpy import load_file

from contractive.runs import checkpoint_paths

JOB = ["train", "rows.npy", "--components", 32, "--batch-size", 8, "--epochs", 4, "--no-report"]
SAVING = ["--checkpoint-every", "0.1s"]
SECONDS, TOLERANCE = 60, 1e-4
Process = subprocess.Popen[str]


def main() -> None:
    """Kill until there were enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    counts: dict[str, float] = {"kills": 0, "stopped and named it": 0, "slowest_seconds": 0.0, "runs": 0, "same": 0}
    with scratch() as folder:
        np.save(folder / "rows.npy", rng.integers(0, 256, (8_000, 64), dtype=np.uint8))
        for process in _started(folder, 1, [*JOB, "--out", "whole"]):
            _succeed(process)
        expected = load_file(folder / "whole" / "model.safetensors")
        while counts["kills"] < options.kills:
            shutil.rmtree(folder / "run", ignore_errors=True)
            while not _ended(folder, counts, rng):
                record("lost", counts)
            counts["runs"] += 1
            got = load_file(folder / "run" / "model.safetensors")
            counts["same"] += all(_is_close(got[name], expected[name]) for name in expected)
            record("lost", counts)


def _started(folder: Path, n_processes: int, words: list[object]) -> list[Process]:
    place = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", n_processes]
    return [
        subprocess.Popen(
            [*COMMAND, *map(str, [*words, *SAVING, *place, "--process-id", index])],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(n_processes)
    ]


def _ended(folder: Path, counts: dict[str, float], rng: np.random.Generator) -> bool:
    """Begin, or go on, and kill one within two seconds of a new checkpoint; whether training had ended before."""
    newest = checkpoint_paths(folder / "run")[:1]
    has_begun = (folder / "run" / "config.json").exists()
    processes = _started(folder, 2, ["resume", "run", "--no-report"] if has_begun else [*JOB, "--out", "run"])
    while checkpoint_paths(folder / "run")[:1] == newest and processes[0].poll() is None:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 2))
    victim = int(counts["kills"]) % 2
    processes[victim].kill()
    began = time.monotonic()
    survivor = processes[1 - victim]
    try:
        said = survivor.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        survivor.kill()
        said = survivor.communicate()[1]
    processes[victim].communicate()
    if survivor.returncode == 0:  # nothing was left to stop but the farewell
        return processes[0].returncode == 0
    counts["kills"] += 1
    counts["slowest_seconds"] = round(max(counts["slowest_seconds"], time.monotonic() - began), 1)
    counts["stopped and named it"] += said.count("\n") == 1 and f"process {victim} of 2" in said
    return False


def _succeed(process: Process) -> None:
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(said)


def _is_close(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max())


if __name__ == "__main__":
    main()
