"""What each part of a minibatch's cost takes by itself, for `cost.py`, which runs this in processes of their own.

Prints a JSON object of seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from statistics import median, quantiles
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from processes import BATCH, FEATURES, GRADIENT_FLOATS, UNITS

from contractive.distributed import join
from contractive.models import initialize
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.sources import RowReader, open_rows
from contractive.training import (
    Chunk,
    Engine,
    TrainingState,
    epoch_keys,
    epoch_order,
    initial_state,
    make_engine,
    make_feed,
    resolve_optimizer,
)

N_MINIBATCHES, N_SUMS = 10, 20
_IQR = 1.349  # of a normal distribution with standard deviation 1


def reader(path: str) -> RowReader:
    """The rows of a file."""
    rows = open_rows(path).rows
    assert isinstance(rows, RowReader)
    return rows


def begun(rows: RowReader) -> tuple[Engine, TrainingState]:
    """What trains one process of a group, and where it starts."""
    model = initialize(FEATURES, UNITS, rng=np.random.RandomState(0), loss="cross_entropy")
    transformation = resolve_optimizer("sgd", 0.01)
    engine = make_engine(
        model, Objective((Contraction(0.1),)), transformation, rows, batch_size=BATCH, uint8_scale=255, shared=True
    )
    return engine, initial_state(model, transformation, N_MINIBATCHES)


def compute(rows: RowReader, seconds: float) -> dict[str, float]:
    """The step of a minibatch whose rows are in memory, and a call that has no minibatch to train on."""
    engine, state = begun(rows)
    n_rows = N_MINIBATCHES * BATCH
    loaded = engine.load(np.array(rows[:n_rows]), None)
    order = epoch_order(n_rows, BATCH, shuffle=True, seed=0, epoch=1)
    keys = epoch_keys(N_MINIBATCHES, seed=0, epoch=1)

    def timed(first: int, last: int) -> float:
        nonlocal state
        start = time.perf_counter()
        state = engine.run(state, loaded, Chunk(order, (first, last), n_rows, keys))
        np.array(state.costs)
        return time.perf_counter() - start

    timed(0, N_MINIBATCHES)
    calls, steps, end = list[float](), list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        for place in range(N_MINIBATCHES):
            calls.append(timed(place, place))
            steps.append(timed(place, place + 1))
    low, middle, high = quantiles(steps, n=4)
    return {"computing": middle - median(calls), "spread": (high - low) / _IQR, "calling": median(calls)}


class Idle:
    """An engine that takes rows and does nothing with them."""

    name = "idle"

    def __init__(self, engine: Engine):
        self.load: Callable[..., Any] = engine.load

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """As for `Engine`."""
        return state


def read(rows: RowReader, seconds: float) -> dict[str, float]:
    """Reading a minibatch's rows from the system's cache, in the order of an epoch, to where the engine wants them."""
    engine, state = begun(rows)
    feed = make_feed(Idle(engine), rows, None, batch_size=BATCH, shuffle=True, seed=0)
    n_minibatches, found, end = -(-len(rows) // BATCH), list[float](), time.monotonic() + seconds
    while len(found) < 3 or time.monotonic() < end:
        start = time.perf_counter()
        for run in feed.runs(range(1, 2)):
            run(state, (0, n_minibatches))
        found.append((time.perf_counter() - start) / n_minibatches)
    return {"reading": median(found)}


def network(port: int, n_processes: int, index: int, n_rounds: int) -> dict[str, float]:
    """Sums over all processes: of a few numbers, of as many as the gradient has, and as the training loop asks."""
    with join(f"127.0.0.1:{port}", n_processes, index) as group:
        mesh = Mesh(np.array(jax.devices()), ("data",))

        def sums(values: jax.Array) -> jax.Array:
            half = partial(jax.lax.fori_loop, 0, N_SUMS, lambda _, total: jax.lax.psum(total, "data") * 0.5)
            return jax.shard_map(half, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False)(
                values
            )

        def seconds_of(size: int) -> float:
            placed = jax.device_put(np.zeros(size, np.float32), jax.local_devices()[0])
            values = jax.make_array_from_single_device_arrays((size,), NamedSharding(mesh, PartitionSpec()), [placed])
            compiled = jax.jit(sums)
            compiled(values).block_until_ready()
            return median(timed(lambda: compiled(values).block_until_ready()) for _ in range(n_rounds)) / N_SUMS

        few, gradient = seconds_of(2), seconds_of(GRADIENT_FLOATS)
        return {
            "few": few,
            "gradient": gradient,
            "gather": median(timed(lambda: group.gather([0, 1])) for _ in range(50)),
        }


def timed(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("compute", "read"):
        command = commands.add_parser(name)
        command.add_argument("path")
        command.add_argument("--seconds", type=float, default=5)
    command = commands.add_parser("network")
    for name in ("port", "processes", "index"):
        command.add_argument(name, type=int)
    command.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if options.what == "network":
        found = network(options.port, options.processes, options.index, options.rounds)
    else:
        found = {"compute": compute, "read": read}[options.what](reader(options.path), options.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
