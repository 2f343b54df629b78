"""Compare training on rows in memory with training on rows that are read. Writes `results/speed.json`.

Job: 784-500, cross-entropy, contraction 0.1, SGD, batch 100; the disk is warm. The three take turns, each a process of
one epoch more than is measured, as the first compiles.
"""

from __future__ import annotations

import argparse
import json
from statistics import median

from common import record, run, scratch, write_rows

JOB = ["--components", 500, "--loss", "cross_entropy", "--optimizer", "sgd", "--batch-size", 100, "--no-report"]
KINDS = {"memory": ("npy", "16GiB"), "npy": ("npy", "1.15GiB"), "parquet": ("parquet", "1.15GiB")}


def main() -> None:
    """Take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with scratch() as folder:
        for ending in ("npy", "parquet"):
            write_rows(folder / f"rows.{ending}", options.rows)
        for number in range(options.rounds):
            for kind, (ending, memory) in KINDS.items():
                out = f"{kind}{number}"
                words = ["--out", out, "--memory", memory, "--epochs", options.epochs + 1, *JOB]
                ran = run("train", f"rows.{ending}", *words, folder=folder)
                if ran.code or ("read again" in ran.out) != (kind != "memory"):
                    raise RuntimeError(f"{kind}: {ran.out}{ran.err}")
                lines = (folder / out / "history.jsonl").read_text().splitlines()[1:]
                speeds[kind].append(median(json.loads(line)["rows_per_second"] for line in lines))
    medians = {kind: median(values) for kind, values in speeds.items()}
    record(
        "speed",
        {
            "rows": options.rows,
            "rows_per_second": {kind: [round(value) for value in values] for kind, values in speeds.items()},
            "share_of_memory": {kind: round(medians[kind] / medians["memory"], 3) for kind in ("npy", "parquet")},
        },
    )


if __name__ == "__main__":
    main()
