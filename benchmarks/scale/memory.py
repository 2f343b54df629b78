"""Measure the most memory that training takes while it streams files of 1, 5, 20 GB. Writes `results/memory.json`."""

from __future__ import annotations

import argparse

from common import N_FEATURES, record, run, scratch, write_rows

FORMATS = ("npy", "parquet")
OPTIONS = ["--components", 50, "--batch-size", 1000, "--epochs", 1, "--no-report"]


def main() -> None:
    """Train once on each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 5, 20])
    parser.add_argument("--memory", default="1.5GiB", help="what training is allowed")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {kind: {} for kind in FORMATS}
    for size in options.gigabytes:
        for kind in FORMATS:
            with scratch() as folder:
                path = folder / f"rows.{kind}"
                write_rows(path, int(size * 1e9 / N_FEATURES))
                ran = run("train", path, "--out", "run", "--memory", options.memory, *OPTIONS, folder=folder)
                if ran.code or "read again each epoch" not in ran.out:
                    raise RuntimeError(f"{kind} of {size} GB was not streamed: {ran.out}{ran.err}")
                found[kind][f"{size:g}"] = round(ran.peak_mib, 1)
            record("memory", {"allowed": options.memory, "peak_mib": found})


if __name__ == "__main__":
    main()
