"""What the measurements of scale share: made-up rows in files, processes of their own, and results as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contractive import load_mnist
from contractive.sources import open_writer

__all__ = ["COMMAND", "N_FEATURES", "RESULTS", "Ran", "record", "run", "scratch", "write_rows"]

N_FEATURES = 784
RESULTS = Path(__file__).parent / "results"
COMMAND = [sys.executable, "-c", "from contractive.cli import main; main()"]
_BLOCK = 50_000


class Ran(NamedTuple):
    """What a process came to.

    Args:
        code: its exit code.
        out: what it printed.
        err: what it complained of.
        peak_mib: the most memory that it had at a time.
    """

    code: int
    out: str
    err: str
    peak_mib: float


def run(*arguments: object, folder: Path) -> Ran:
    """Run `contractive ARGUMENTS` in a folder, to its end."""
    # Of a process of its own in between, as the peak is that of all children so far.
    probe = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(json.loads(sys.argv[1]), capture_output=True, text=True)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(json.dumps([done.returncode, done.stdout, done.stderr, peak / 1024]))"
    )
    words = json.dumps([*COMMAND, *map(str, arguments)])
    done = subprocess.run([sys.executable, "-c", probe, words], cwd=folder, capture_output=True, text=True, check=True)
    return Ran(*json.loads(done.stdout))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for large files, removed at the end; `$CONTRACTIVE_SCRATCH` says where."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("CONTRACTIVE_SCRATCH")) as folder:
        yield Path(folder)


def write_rows(path: Path, n_rows: int) -> None:
    """Write MNIST's rows again and again, each time with other noise, as bytes: .npy, or .parquet of one list."""
    digits = load_mnist()[0][0]
    rng = np.random.default_rng(0)
    if path.suffix == ".npy":
        with open_writer(path, n_rows, N_FEATURES, np.dtype(np.uint8)) as writer:
            for block in _blocks(digits, n_rows, rng):
                writer.write(block)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("pixels", pa.list_(pa.uint8(), N_FEATURES))])
    with pq.ParquetWriter(path, schema) as writer:
        for block in _blocks(digits, n_rows, rng):
            pixels = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), N_FEATURES)
            writer.write_table(pa.table([pixels], schema=schema))


def _blocks(digits: np.ndarray, n_rows: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for start in range(0, n_rows, _BLOCK):
        block = digits[: min(_BLOCK, n_rows - start)].copy()
        block[:, rng.integers(N_FEATURES, size=8)] ^= 1
        yield block


def record(name: str, found: dict[str, Any]) -> None:
    """Write a result, with what it was measured on, and print it."""
    with open("/proc/cpuinfo") as lines:
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    about = {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": about, **found}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
