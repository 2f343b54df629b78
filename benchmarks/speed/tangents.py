"""Time the tangent planes of a 784-2000-2000 stack on MNIST, and how near the fast way comes to the exact one.

Writes `tangents.json`: seconds for the rows that were asked for, what 50,000 take at that speed, and the share of the
squared singular values that the planes capture of what the best ones do.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from racing import machine

from contractive import load, load_mnist
from contractive.geometry import cheapest_method, map_tangents, tangents
from contractive.jacobian import jacobian
from contractive.models import Model, initialize

HERE = Path(__file__).parent
ALL_ROWS, N_TANGENTS, CHECKED_ROWS = 50_000, 15, 8
TARGET_MINUTES = 10


def main() -> None:
    """Time and check, then write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000, help="rows to time; 50000 for all")
    parser.add_argument("--model", type=Path, help="a trained model file; random weights without")
    parser.add_argument("--out", type=Path, default=HERE / "tangents.json")
    options = parser.parse_args()
    model: Model = load(options.model).model_ if options.model else random_stack()
    model = jax.tree.map(jnp.asarray, model)
    rows = load_mnist()[0][0][: options.rows]
    map_tangents(model, rows[:256], N_TANGENTS, uint8_scale=256)  # compiles
    began = time.perf_counter()
    map_tangents(model, rows, N_TANGENTS, uint8_scale=256)
    seconds = time.perf_counter() - began
    found = {
        "machine": machine(),
        "model": "trained" if options.model else "random weights",
        "method": str(cheapest_method(model, N_TANGENTS)),
        "rows": len(rows),
        "seconds": round(seconds, 2),
        "minutes_for_50000_rows": round(seconds * ALL_ROWS / len(rows) / 60, 2),
        "target_minutes": TARGET_MINUTES,
        "captured_energy": captured_energy(model, rows[:CHECKED_ROWS]),
    }
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def random_stack() -> Model:
    """Two layers of 2,000 units with the weights that training starts from."""
    return initialize(784, 2000, rng=np.random.RandomState(0), hidden_layer_sizes=(2000,))


def captured_energy(model: Model, rows: np.ndarray) -> list[float]:
    """||J T^T||_F^2 over the sum of the largest squared singular values, for each row; 1 is the best."""
    shares = []
    for row in rows:
        x = jnp.asarray(row.astype(np.float32) / 256)
        J = np.asarray(jacobian(model, x), np.float64)
        best = np.sum(np.linalg.svd(J, compute_uv=False)[:N_TANGENTS] ** 2)
        planes = np.asarray(tangents(model, x, N_TANGENTS), np.float64)
        shares.append(round(float(np.sum((J @ planes.T) ** 2) / best), 5))
    return shares


if __name__ == "__main__":
    main()
