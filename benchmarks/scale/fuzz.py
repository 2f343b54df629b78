"""Read a million damaged files of every format that is read. Writes `results/fuzz.json`, and what fails beside it.

Each input is a valid file with bits flipped, parts cut out, moved or put in, or numbers of its headers set to extremes
below checksums that are right. It is read whole, block by block and by number. What must come of it is one line that
refuses it by name, or rows that another reader finds, too; within 10 seconds, and with no more memory beyond what the
process had before than four times the file and 32 MiB, in which the smallest file has room for the buffers of its
reader. `fuzzing` says how each of these is found out.

Inputs are read in processes of their own, so that one that ends its process is counted and kept like any other
failure, and the rest go on after it. What is recorded is added to, with new inputs, by every run.

With `--guided`, Atheris (`pip install atheris`) changes inputs towards code of the package that none has reached yet:
`python benchmarks/scale/fuzz.py --guided --inputs 100000`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from common import RESULTS, record, scratch
from fuzz_round import PLACES, Job, keep
from fuzzing import FORMATS

# Reading a file of these takes several times what the others take.
SHARES = {"parquet": 0.5, "arrow": 0.5, "model": 0.5, "checkpoint": 0.5}
KEPT = RESULTS / "fuzz-failures"
_ROUND = 20_000  # inputs of a process
# Of "unchecked" ones the package found rows, and the other reader ended the process.
_COUNTS = ("inputs", "read", "refused", "failures", "unchecked", "guided")


def main() -> None:
    """Give each format its share, a round of each after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all formats together")
    parser.add_argument("--seconds", type=float, default=np.inf, help="after which no other round begins")
    parser.add_argument("--seed", type=int, default=0, help="of the valid files and of what is done to them")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--guided", action="store_true", help="let Atheris choose what is changed")
    options = parser.parse_args()
    shares = np.array([SHARES.get(name, 1) for name in options.formats])
    sizes = np.ceil(options.inputs * shares / shares.sum()).astype(int).tolist()
    missing = dict(zip(options.formats, sizes, strict=True))
    found, began = _recorded(), time.monotonic()
    while any(missing.values()):
        for name in [name for name, number in missing.items() if number]:
            if time.monotonic() - began > options.seconds:
                return
            counts = found.setdefault(name, dict.fromkeys(_COUNTS, 0))
            count = min(_ROUND, missing[name])
            job = Job(
                name=name,
                seed=options.seed,
                first=counts["inputs"],
                count=count,
                guided=options.guided,
                folder="",
                kept=str(KEPT),
            )
            _round(job, counts)
            missing[name] -= count
            record("fuzz", {"inputs": sum(counts["inputs"] for counts in found.values()), "formats": found})


def _recorded() -> dict[str, dict[str, int]]:
    path = RESULTS / "fuzz.json"
    return json.loads(path.read_text())["formats"] if path.is_file() else {}


def _round(job: Job, counts: dict[str, int]) -> None:
    """Read some inputs in another process, and go on after each that ends it; adds to the counts.

    Raises:
        RuntimeError: if a process ends without an input.
    """
    last = job["first"] + job["count"]
    while job["first"] < last:
        with scratch() as folder:
            left = np.memmap(folder / "left", np.int64, "w+", shape=(len(PLACES),))
            job = Job(**{**job, "count": last - job["first"], "folder": str(folder)})
            command = [sys.executable, str(Path(__file__).with_name("fuzz_round.py")), json.dumps(job)]
            environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 17)}  # what is freed is given back at once
            ended = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            state = dict(zip(PLACES, left.tolist(), strict=True))
            is_ended = state["done"] < job["count"]
            if is_ended and not [*folder.glob("input*")]:
                raise RuntimeError(ended.stderr.decode())
            if is_ended and state["in the other reader"]:
                counts["unchecked"] += 1
            elif is_ended:
                counts["failures"] += 1
                what = "hang" if ended.returncode == -signal.SIGALRM else f"ended {ended.returncode}"
                keep(KEPT, job["name"], what, next(folder.glob("input*")), ended.stderr.decode())
        for name in ("read", "refused", "failures"):
            counts[name] += state[name]
        n_read = state["done"] + is_ended
        counts["inputs"] += n_read
        counts["guided"] += n_read * job["guided"]
        job["first"] += n_read


if __name__ == "__main__":
    main()
