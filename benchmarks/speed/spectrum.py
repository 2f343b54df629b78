"""Time the leading singular values of a 784-1000 encoder on MNIST, and how near they come to the exact ones.

Writes `spectrum.json`: seconds for the rows that were asked for, what 10,000 take at that speed, the same by tangents
as deeper encoders are done, and the largest relative error at some rows. The CPU seconds beside them tell how busy the
machine was: on two idle cores they are at most twice the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from racing import machine

from contractive import load, load_mnist
from contractive.geometry import map_spectra
from contractive.models import Model, initialize

HERE = Path(__file__).parent
ALL_ROWS, N_VALUES, CHECKED_ROWS, ROUNDS = 10_000, 10, 64, 2
TARGET_SECONDS = 20


def main() -> None:
    """Time and check, then write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000, help="rows to time; 10000 for all")
    parser.add_argument("--model", type=Path, help="a trained model file of one layer; random weights without")
    parser.add_argument("--out", type=Path, default=HERE / "spectrum.json")
    options = parser.parse_args()
    model: Any = load(options.model).model_ if options.model else initialize(784, 1000, rng=np.random.RandomState(0))
    rows = load_mnist()[0][0][: options.rows]
    found = {
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "model": "trained" if options.model else "random weights",
        "rows": len(rows),
        "target_seconds": TARGET_SECONDS,
        **{method: timed(model, rows, method) for method in ("auto", "krylov")},
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def timed(model: Model, rows: np.ndarray, method: str) -> dict[str, float]:
    """The fastest of some rounds, once compiled, and the error."""
    wall, cpu, values = [], [], np.empty(0)
    for _ in range(ROUNDS + 1):
        began, used = time.perf_counter(), time.process_time()
        values = map_spectra(model, rows, N_VALUES, uint8_scale=256, method=method)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    seconds = min(wall[1:])
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(min(cpu[1:]), 2),
        "compile_seconds": round(max(0.0, wall[0] - seconds), 1),
        "seconds_for_10000_rows": round(seconds * ALL_ROWS / len(rows), 1),
        "largest_relative_error": float(f"{largest_error(model, rows, values):.1e}"),
    }


def largest_error(model: Any, rows: np.ndarray, values: np.ndarray) -> float:
    """Against the singular values in float64, with the derivative of the sigmoid written out."""
    weight, bias = np.asarray(model.weight, float), np.asarray(model.hidden_bias, float)
    gram, worst = weight @ weight.T, 0.0
    for place in np.unique(np.linspace(0, len(rows) - 1, CHECKED_ROWS).astype(int)):
        h = 1 / (1 + np.exp(-(weight @ (rows[place] / 256) + bias)))
        slopes = h * (1 - h)
        exact = np.sqrt(np.linalg.eigvalsh(slopes[:, None] * gram * slopes)[::-1][:N_VALUES])
        worst = max(worst, float(np.abs(values[place] / exact - 1).max()))
    return worst


if __name__ == "__main__":
    main()
