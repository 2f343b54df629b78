"""Kill trainings at random moments and damage files in every place. Writes `results/faults.json`.

Kills: a training that writes a checkpoint as often as it can is killed after a random time, again and again until it
ends by itself; each time it must go on, and its last weights must be those of a training that was never killed.
Damage: a bit flipped or the rest cut off at places all over a checkpoint and a model file; each must be refused with
its name.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from common import COMMAND, record, run, scratch
from safetensors.numpy import load_file

from contractive import load
from contractive.estimators import load_checkpoint
from contractive.runs import checkpoint_paths

JOB = ["train", "rows.npy", "--components", 32, "--batch-size", 8, "--epochs", 4, "--no-report"]
SAVING = ["--checkpoint-every", "0.02s"]


def main() -> None:
    """Do both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=2000, help="of each of the two files")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with scratch() as folder:
        np.save(folder / "rows.npy", rng.integers(0, 256, (40_000, 64), dtype=np.uint8))
        whole = run(*JOB, "--out", "whole", *SAVING, folder=folder)
        if whole.code:
            raise RuntimeError(whole.err)
        found = {"kills": _kill(folder, options.kills, rng)}
        record("faults", found)
        for kind, path, read in (
            ("checkpoint", checkpoint_paths(folder / "whole")[0], load_checkpoint),
            ("model file", folder / "whole" / "model.safetensors", load),
        ):
            found[kind] = _damage(path, read, options.damages, rng)
            record("faults", found)


def _kill(folder: Path, n_kills: int, rng: np.random.Generator) -> dict[str, int]:
    """Kill until there were enough, beginning a new training whenever one has ended."""
    counts = {"kills": 0, "while writing": 0, "before the first checkpoint": 0, "runs": 0, "of the same bits": 0}
    expected = load_file(folder / "whole" / "model.safetensors")
    while counts["kills"] < n_kills:
        shutil.rmtree(folder / "run", ignore_errors=True)
        command = [*JOB, "--out", "run"]
        while True:
            if (folder / "run" / "config.json").exists():
                command = ["resume", "run", "--no-report"]
            process = subprocess.Popen(
                [*COMMAND, *map(str, command), *SAVING], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            if _is_killed(process, folder / "run", rng):
                counts["kills"] += 1
                counts["while writing"] += _is_writing(folder / "run")
                counts["before the first checkpoint"] += not checkpoint_paths(folder / "run")
                continue
            if process.returncode:
                raise RuntimeError(f"{command} ended with {process.returncode}: {process.communicate()[1].decode()}")
            break
        counts["runs"] += 1
        got = load_file(folder / "run" / "model.safetensors")
        counts["of the same bits"] += all(np.array_equal(got[name], expected[name]) for name in expected)
        record("faults", {"kills": counts})
    return counts


def _is_killed(process: subprocess.Popen[bytes], run: Path, rng: np.random.Generator) -> bool:
    """Kill a process at a random moment; whether it had not ended before.

    One in four is killed in its first seconds, whatever it does then; the others within a second of a new checkpoint,
    so that all of them together come to an end: half of these as soon as the next one is being written.
    """
    newest = checkpoint_paths(run)[:1]
    deadline = time.monotonic() + (rng.uniform(0, 4) if rng.random() < 0.25 else 600)
    while process.poll() is None and time.monotonic() < deadline and checkpoint_paths(run)[:1] == newest:
        time.sleep(0.005)
    deadline = time.monotonic() + rng.uniform(0, 1)
    waits_for_writing = rng.random() < 0.5
    while process.poll() is None and time.monotonic() < deadline and not (waits_for_writing and _is_writing(run)):
        time.sleep(0.0005)
    if process.poll() is not None:
        return False
    process.kill()
    process.communicate()
    return True


def _is_writing(run: Path) -> bool:
    return any((run / "checkpoints").glob(".*.tmp"))


def _damage(path: Path, read: object, n_damages: int, rng: np.random.Generator) -> dict[str, int]:
    """Flip a bit or cut the rest off, at places evenly spread over the file, its header twice as densely."""
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = np.concatenate(
        [
            rng.integers(0, header, n_damages // 3),
            np.linspace(0, len(content) - 1, n_damages - n_damages // 3).astype(int),
        ]
    )
    damaged = path.with_name(f"damaged-{path.name}")
    counts = {"damages": 0, "refused by name": 0}
    for number, place in enumerate(places.tolist()):
        changed = bytearray(content)
        if number % 2:
            changed[place] ^= 1 << int(rng.integers(8))
        else:
            del changed[place:]
        damaged.write_bytes(changed)
        counts["damages"] += 1
        try:
            read(damaged)  # type: ignore[operator]
        except (OSError, ValueError) as error:
            counts["refused by name"] += str(damaged) in str(error)
    return counts


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"{time.perf_counter() - began:.0f} s")
