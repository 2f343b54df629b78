"""Measure `contractive encode` on float32 rows, 784-500, beside matrix products. Writes `results/encode.json`.

What counts is the share of a large square product. That of a block of rows and the weight says what its shape allows.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
from common import N_FEATURES, record, scratch

from contractive import ContractiveAutoencoder, load, load_mnist
from contractive._processors import computing_in_callers
from contractive.cli._encode import Table, write_each
from contractive.cli._options import BadRows
from contractive.sources import open_rows

N_HIDDEN, SIDE, N_BLOCK = 500, 4096, 1024
_PRODUCTS = 100  # of a block at a time
_WARM = 2  # rounds that do not count, while the system gets used to a file that is new


def main() -> None:
    """Take turns with the product."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    square = jnp.ones((SIDE, SIDE))
    product = jax.jit(jnp.matmul).lower(square, square).compile()
    block, weight = jnp.ones((N_BLOCK, N_FEATURES)), jnp.ones((N_FEATURES, N_HIDDEN))
    of_block = jax.jit(jnp.matmul).lower(block, weight).compile()
    speeds: list[float] = []
    peaks: list[float] = []
    block_peaks: list[float] = []
    # Of a process of its own, as the command is: in it XLA's threads are others than here.
    with scratch() as folder, ProcessPoolExecutor(1, get_context("spawn")) as encoding:
        trained = ContractiveAutoencoder(N_HIDDEN, max_epochs=1, random_state=0).fit(load_mnist()[0][0][:1000])
        trained.save(folder / "model.safetensors")
        digits = load_mnist()[0][0].astype(np.float32) / 256
        path = folder / "rows.npy"
        np.save(path, np.tile(digits, (-(-options.rows // len(digits)), 1))[: options.rows])
        os.sync()
        for _ in range(_WARM + options.rounds):
            began = time.perf_counter()
            product(square, square).block_until_ready()
            peaks.append(2 * SIDE**3 / (time.perf_counter() - began) / 1e9)
            began = time.perf_counter()
            for _ in range(_PRODUCTS):
                of_block(block, weight).block_until_ready()
            n_operations = 2 * _PRODUCTS * N_BLOCK * N_FEATURES * N_HIDDEN
            block_peaks.append(n_operations / (time.perf_counter() - began) / 1e9)
            seconds = encoding.submit(_encode, folder / "model.safetensors", path, folder / "codes.npy").result()
            speeds.append(options.rows / seconds)
            (folder / "codes.npy").unlink()
    gflops = 2 * N_FEATURES * N_HIDDEN * median(speeds[_WARM:]) / 1e9
    record(
        "encode",
        {
            "rows": options.rows,
            "rows_per_second": [round(value) for value in speeds[_WARM:]],
            "product_gflops": [round(value, 1) for value in peaks[_WARM:]],
            "product_of_a_block_gflops": [round(value, 1) for value in block_peaks[_WARM:]],
            "share_of_product": round(gflops / median(peaks[_WARM:]), 3),
        },
    )


def _encode(model: Path, path: Path, out: Path) -> float:
    """The seconds that `contractive encode` takes once it has loaded the model."""
    table = Table(out, N_HIDDEN, np.dtype(np.float32))
    with computing_in_callers():
        trained = load(model)
        began = time.perf_counter()
        write_each(table, open_rows(str(path)), trained.transform, BadRows.refuse)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
