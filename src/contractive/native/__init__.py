"""A compiled kernel for the smallest minibatches: plain SGD on the tied sigmoid auto-encoder, on the CPU.

`tied_sgd.c` beside this file is compiled for the machine and the shape at hand by the system's C compiler, once, into
the user's cache. It computes what `training.update` computes; without a compiler, everything runs on JAX.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .._files import cache_folder, write_atomically
from .._processors import n_processors

__all__ = ["MAX_BATCH", "Kernel", "build_kernel"]

MAX_BATCH = 16
_UNITS, _GROUP, _MAX_THREADS = 4, 16, 64
# -fno-math-errno lets the square root be an instruction; contraction to fused multiply-adds is the compiler's default.
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-pthread")
_SECONDS_TO_COMPILE = 60


class _Job(ctypes.Structure):
    """The struct `job` of `tied_sgd.c`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "hidden_bias", "visible_bias", "rows", "order", "costs")),
        *((name, ctypes.c_int64) for name in ("n_rows", "start", "stop")),
        *((name, ctypes.c_int32) for name in ("n_hidden", "n_units", "threads")),
        *((name, ctypes.c_float) for name in ("contraction", "rate", "scale")),
    )


class Kernel:
    """`tied_sgd.c` for one number of features, one batch size and one type of rows.

    Args:
        path: the compiled library.
        n_features: features of a row.
    """

    def __init__(self, path: Path, n_features: int):
        self._function = ctypes.CDLL(str(path)).tied_sgd
        self._width = -(-n_features // _GROUP) * _GROUP
        self._n_features = n_features

    def run(
        self,
        parameters: tuple[np.ndarray, np.ndarray, np.ndarray],
        rows: np.ndarray,
        order: np.ndarray,
        costs: np.ndarray,
        bounds: tuple[int, int],
        *,
        contraction: float,
        learning_rate: float,
        scale: float,
        threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Train on some minibatches of an epoch.

        Args:
            parameters: weight (hidden, features), hidden bias and visible bias, float32; not changed.
            rows: all rows, C-contiguous, of the type that the kernel was built for.
            order: row numbers of each minibatch, uint32 of shape (minibatches, batch size).
            costs: float32 of shape (minibatches, 2); the rows of these minibatches are written.
            bounds: the first minibatch and the one after the last.
            contraction: lambda >= 0.
            learning_rate: step size > 0.
            scale: what a row is divided by.
            threads: how many to use, or None for one a processor. Bits depend on it, as sums are split by it.

        Returns:
            The three parameters after the last update.

        Raises:
            MemoryError: if memory or threads cannot be had.
        """
        weight, hidden_bias, visible_bias = parameters
        n_hidden = len(weight)
        n_units = -(-n_hidden // _UNITS) * _UNITS
        filled = np.zeros((n_units, self._width), np.float32)
        filled[:n_hidden, : self._n_features] = weight
        hidden, visible = np.zeros(n_units, np.float32), np.zeros(self._width, np.float32)
        hidden[:n_hidden], visible[: self._n_features] = hidden_bias, visible_bias
        threads = min(threads or n_processors(), n_units // _UNITS, self._width // _GROUP, _MAX_THREADS)
        pointers = (array.ctypes.data for array in (filled, hidden, visible, rows, order, costs))
        numbers = (len(rows), *bounds, n_hidden, n_units, threads, contraction, learning_rate, scale)
        if self._function(ctypes.byref(_Job(*pointers, *numbers))):  # pragma: no cover - there is always enough for it
            raise MemoryError("the native kernel got no memory or no threads; pass engine='jax'.")
        return filled[:n_hidden, : self._n_features], hidden[:n_hidden], visible[: self._n_features]


@cache
def build_kernel(n_features: int, batch_size: int, row_type: np.dtype, *, jacobian: bool = True) -> Kernel | None:
    """The kernel for a shape, compiled at first need; None where that is not possible.

    Args:
        n_features: features of a row, >= 1.
        batch_size: rows a minibatch, from 1 to `MAX_BATCH`.
        row_type: uint8 or float32.
        jacobian: False leaves out the penalty and its norm, for measuring what they cost.

    Returns:
        The kernel, or None if this is not Linux, or there is no C compiler, or one that cannot compile it.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or not hasattr(os, "sched_getaffinity"):
        return None
    row = {"uint8": "uint8_t", "float32": "float"}[row_type.name]
    shape = {"FEATURES": n_features, "BATCH": batch_size, "ROW": row, "JACOBIAN": int(jacobian)}
    command = [compiler, *_FLAGS, *(f"-D{name}={value}" for name, value in shape.items())]
    source = resources.files("contractive.native").joinpath("tied_sgd.c").read_bytes()
    # The library holds instructions of this very processor, and a home folder may be shared by many.
    key = hashlib.sha256(b"\0".join([source, *map(str.encode, command), _processor().encode()])).hexdigest()
    path = cache_folder() / "native" / f"tied_sgd-{key[:24]}.so"
    try:
        if not path.exists():
            _compile(command, source, path)
        return Kernel(path, n_features)
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(command: list[str], source: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory() as folder:
        code, library = Path(folder) / "tied_sgd.c", Path(folder) / "tied_sgd.so"
        code.write_bytes(source)
        subprocess.run(
            [*command, str(code), "-lm", "-o", str(library)],
            check=True,
            capture_output=True,
            timeout=_SECONDS_TO_COMPILE,
        )
        content = library.read_bytes()
    write_atomically(path, lambda stream: stream.write(content))


@cache
def _processor() -> str:
    """What tells processors apart whose instructions differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    except OSError:
        told = set()
    return "\n".join([platform.machine(), platform.processor(), *sorted(told)])
