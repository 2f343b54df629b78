"""Measure what a checkpoint a minute costs training, 784-500 with Adam. Writes `results/checkpoints.json`.

Two things count: the time in which training waits for its state to be copied, and the processor's time that writing
takes in a thread of its own, which training could have had. Both are measured for each checkpoint of a real training.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
from common import record, scratch

from contractive import ContractiveAutoencoder, load_mnist
from contractive.estimators import snapshot
from contractive.serialization import write_checkpoint


def main() -> None:
    """Write one after each chunk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=40)
    options = parser.parse_args()
    copied: list[float] = []
    written: list[float] = []
    with scratch() as folder:

        def follow(estimator: Any, event: object) -> bool:
            began = time.perf_counter()
            taken = snapshot(estimator)
            copied.append(time.perf_counter() - began)
            began = time.process_time()
            write_checkpoint(folder / "checkpoint.safetensors", *taken)
            written.append(time.process_time() - began)
            return len(copied) >= options.checkpoints

        rows: np.ndarray = load_mnist()[0][0]
        model = ContractiveAutoencoder(500, loss="cross_entropy", batch_size=100, max_epochs=100, callbacks=[follow])
        model.fit(rows)
        size = (folder / "checkpoint.safetensors").stat().st_size
    record(
        "checkpoints",
        {
            "bytes": size,
            "seconds_to_copy": round(median(copied), 4),
            "processor_seconds_to_write": round(median(written), 4),
            "share_at_one_a_minute": round((median(copied) + median(written)) / 60, 5),
        },
    )


if __name__ == "__main__":
    main()
