"""Check the model of cost in `cost_model.py` against 1, 2 and 4 processes, and say what it predicts of many hosts.

No run that is predicted is used to fit the model. Its parameters are measured by `probes.py`: a step by one process,
and by one on each core that know nothing of each other; reading; sums over two processes that do nothing else. Probes
and runs take turns; each number is the median of its rounds. Each process is single-threaded and has 1,000 rows of
every minibatch; more processes than cores take turns on them. Their sums go over the network, as the hosts' do, and not
through memory. Writes `results/cost.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from common import record
from cost_model import Machine, predicted
from processes import BATCH, FEATURES, FLAGS, GRADIENT_FLOATS, UNITS, free_port, pinned, speed, write_noise

CHECKED, HOSTS = (1, 2, 4), (8, 64, 1024)  # processes
SIZES: dict[str, Any] = {
    "gradient_bytes": 4 * GRADIENT_FLOATS,
    "rows_bytes": BATCH * FEATURES,
}
PROBES = Path(__file__).parent / "probes.py"


def probe(*commands: list[object]) -> list[dict[str, float]]:
    """What probes say that run at the same time, each on a core of its own."""
    running = [
        subprocess.Popen(
            [*pinned(place), sys.executable, str(PROBES), *map(str, command)],
            env=os.environ | FLAGS,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place, command in enumerate(commands)
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"probes {commands} did not run to the end.")
    return [json.loads(text) for text in said]


def parameters(folder: Path, n_cores: int) -> dict[str, float]:
    """What one round of probes finds for `Machine`, and of a step where all cores compute."""
    path = folder / "x.npy"
    [alone] = probe(["compute", path])
    crowd = probe(*[["compute", path]] * n_cores)
    [reading] = probe(["read", path])
    port = free_port()
    sums, _ = probe(["network", port, 2, 0], ["network", port, 2, 1])
    # Of two processes, the ring has two messages one after the other, each of half of what is summed.
    latency = sums["few"] / 2
    return {
        **alone,
        **reading,
        "crowded": median(one["computing"] for one in crowd),
        "agreeing": max(0.0, sums["gather"] - sums["few"]),
        "latency": latency,
        "bandwidth": SIZES["gradient_bytes"] / (sums["gradient"] - sums["few"]),
    }


def measured(n_rows: int, n_epochs: int, n_rounds: int) -> tuple[Machine, dict[int, float]]:
    """The model's parameters, and the seconds of a minibatch of each number of processes."""
    found: dict[str, list[float]] = defaultdict(list)
    seconds: dict[int, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(folder, n_rows)
        for _ in range(n_rounds):
            for key, value in parameters(folder, len(os.sched_getaffinity(0))).items():
                found[key].append(value)
            for n_processes in CHECKED:
                rows_per_second = speed(n_processes, n_epochs, folder, over_network=True)
                seconds[n_processes].append(BATCH * n_processes / rows_per_second)
    typical = {key: median(values) for key, values in found.items()}
    crowding = max(1.0, typical.pop("crowded") / typical["computing"])
    machine = Machine(crowding=crowding, disk=inf, **typical)
    return machine, {n_processes: median(values) for n_processes, values in seconds.items()}


def checked(machine: Machine, seconds: dict[int, float]) -> dict[str, Any]:
    """What the model says of the runs that were measured."""
    n_cores, found = len(os.sched_getaffinity(0)), {}
    for n_processes, measured_seconds in seconds.items():
        sharing = -(-n_processes // n_cores)
        cost = predicted(machine, n_processes, sharing=sharing, crowded=n_processes >= n_cores, **SIZES)
        found[str(n_processes)] = {
            "predicted": cost.total,
            "measured": measured_seconds,
            "error": round(cost.total / measured_seconds - 1, 3),
            "parts": cost._asdict(),
        }
    return found


def foretold(machine: Machine, n_rows: int) -> dict[str, Any]:
    """What the model says of hosts with a process each."""
    found = {}
    alone = predicted(machine, 1, **SIZES).total
    for n_hosts in HOSTS:
        cost = predicted(machine, n_hosts, **SIZES)
        parts = cost._asdict()
        found[str(n_hosts)] = {
            "predicted": cost.total,
            "parts": parts,
            "efficiency": round(alone / cost.total, 3),
            "epoch": round(n_rows / (BATCH * n_hosts) * cost.total, 1),
            "limit": max(parts.keys() - {"computing"}, key=lambda name: parts[name]),
        }
    return found


def main() -> None:
    """Measure, check, predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="of the runs that are measured")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabits", type=float, default=25, help="of a host's network, a second")
    parser.add_argument("--message-us", type=float, default=50, help="microseconds of a message between two hosts")
    parser.add_argument("--disk-mb", type=float, default=500, help="megabytes a second of a host's disk")
    parser.add_argument("--host-rows", type=int, default=1_000_000_000, help="rows of an epoch of the hosts")
    options = parser.parse_args()
    machine, seconds = measured(options.rows, options.epochs, options.rounds)
    hosts = machine._replace(
        latency=options.message_us * 1e-6, bandwidth=options.gigabits * 1e9 / 8, disk=options.disk_mb * 1e6
    )
    record(
        "cost",
        {
            "job": {"features": FEATURES, "units": UNITS, "batch_a_process": BATCH, **SIZES},
            "parameters": {name: value for name, value in machine._asdict().items() if value != inf},
            "checked": checked(machine, seconds),
            "assumed": {name: vars(options)[name] for name in ("gigabits", "message_us", "disk_mb", "host_rows")},
            "hosts": foretold(hosts, options.host_rows),
        },
    )


if __name__ == "__main__":
    main()
