"""How the driver talks to a contender: JSON lines to a worker process that trains one job.

Imported by every peer inside its own environment, so: the standard library and NumPy only.
The worker is started as `python peers/NAME.py DATA.npy BATCH`. It answers one line
`{"ready": true, "compile_seconds": ..., "versions": {...}}`, then one line a command:

    {"run": n}      -> {"seconds": ..., "minibatches": n}
    {"check": n}    -> the numbers to agree on (`Check`), after n minibatches from the initial state
    {"call": name}  -> what that method of the contender returns
    {"quit": true}  -> ends
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypedDict

import numpy as np

__all__ = [
    "CONTRACTION",
    "LEARNING_RATE",
    "N_FEATURES",
    "N_HIDDEN",
    "Check",
    "Contender",
    "Penalty",
    "Totals",
    "Trainer",
    "Worker",
    "WorkerError",
    "check_values",
    "initial_weight",
    "main",
]

N_FEATURES = 784
N_HIDDEN = 500
LEARNING_RATE = 0.01
CONTRACTION = 0.1

# Sums over the minibatches of a run: of the mean cross-entropy, of the mean ||J||_F^2.
Totals = tuple[float, float]


class Check(TypedDict):
    """What the contenders must agree on."""

    reconstruction_error: float
    jacobian_frobenius_sq: float
    weight_frobenius_sq: float
    weight_corner: list[list[float]]


class Penalty(TypedDict):
    """A contender's mean ||J||_F^2 over the first minibatch at the initial state.

    Attributes:
        value: What it reports.
        gradient: Its gradient with respect to the weight, of shape (N_FEATURES, N_HIDDEN).
    """

    value: float
    gradient: list[list[float]]


def initial_weight(dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """The tutorial's first weight, of shape (N_FEATURES, N_HIDDEN)."""
    r = 4 * np.sqrt(6 / (N_FEATURES + N_HIDDEN))
    return np.random.RandomState(123).uniform(-r, r, (N_FEATURES, N_HIDDEN)).astype(dtype)


def check_values(totals: Totals, minibatches: int, weight: np.ndarray) -> Check:
    """The answer to a check.

    Args:
        totals: What `Contender.run` returned.
        minibatches: How many minibatches it covered.
        weight: The weight after them, of shape (N_FEATURES, N_HIDDEN).
    """
    weight = np.asarray(weight, np.float64)
    return {
        "reconstruction_error": float(totals[0]) / minibatches,
        "jacobian_frobenius_sq": float(totals[1]) / minibatches,
        "weight_frobenius_sq": float(np.sum(weight**2)),
        "weight_corner": weight[400:404, 200:204].tolist(),
    }


class Trainer(ABC):
    """One implementation of a job: what a worker's process serves.

    Args:
        data: Rows in [0, 1], float32, of shape (n, features); n a multiple of `batch_size`.
        batch_size: Rows a minibatch.
    """

    def __init__(self, data: np.ndarray, batch_size: int) -> None:
        if len(data) % batch_size:
            raise ValueError(f"`batch_size` must divide {len(data)} rows; got {batch_size}.")
        self.data = data
        self.batch_size = batch_size
        self.n_batches = len(data) // batch_size
        self._position = 0

    @abstractmethod
    def prepare(self) -> dict[str, str]:
        """Builds and compiles; leaves the initial state; returns the versions in use."""

    @abstractmethod
    def reset(self) -> None:
        """Puts the initial parameters back."""

    @abstractmethod
    def run_span(self, start: int, stop: int) -> Totals:
        """Trains on minibatches start..stop-1 in order and blocks until that is done."""

    @abstractmethod
    def check(self, minibatches: int) -> Mapping[str, Any]:
        """Trains from the initial state and reports what came of it."""

    def run(self, minibatches: int) -> Totals:
        """Trains on the next minibatches, starting over at the end of the data."""
        reconstruction_error = jacobian_frobenius_sq = 0.0
        while minibatches:
            stop = min(self._position + minibatches, self.n_batches)
            totals = self.run_span(self._position, stop)
            reconstruction_error += totals[0]
            jacobian_frobenius_sq += totals[1]
            minibatches -= stop - self._position
            self._position = stop % self.n_batches
        return reconstruction_error, jacobian_frobenius_sq

    def run_afresh(self, minibatches: int) -> Totals:
        """Trains from the initial state on the first minibatches."""
        self.reset()
        self._position = 0
        return self.run(minibatches)


class Contender(Trainer):
    """One implementation of the tutorial's job; its rows have N_FEATURES entries.

    Args:
        data: As `Trainer`'s.
        batch_size: As `Trainer`'s.
        contraction: The penalty's coefficient lambda, >= 0.
        learning_rate: The size of a step.
    """

    def __init__(
        self,
        data: np.ndarray,
        batch_size: int,
        *,
        contraction: float = CONTRACTION,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        super().__init__(data, batch_size)
        self.contraction = contraction
        self.learning_rate = learning_rate

    @abstractmethod
    def weight(self) -> np.ndarray:
        """The weight now, of shape (N_FEATURES, N_HIDDEN)."""

    def check(self, minibatches: int) -> Check:
        """Trains from the initial state and reports what came of it."""
        return check_values(self.run_afresh(minibatches), minibatches, self.weight())

    def penalty(self) -> Penalty:
        """The penalty as this contender trains it: what a step of size 1 does with lambda = 1 and not with 0."""
        n = self.batch_size
        found, weights = [], []
        for contraction in (0.0, 1.0):
            twin = type(self)(self.data[:n], n, contraction=contraction, learning_rate=1.0)
            twin.prepare()
            found.append(twin.check(1)["jacobian_frobenius_sq"])
            weights.append(np.asarray(twin.weight(), np.float64))
        return {"value": found[1], "gradient": (weights[0] - weights[1]).tolist()}


def main(contender: type[Trainer], *, warmup: int = 3) -> None:
    """The worker's process: `python NAME.py DATA.npy BATCH`.

    Args:
        contender: The class to serve.
        warmup: Minibatches trained on before the worker says it is ready.
    """
    data, batch_size = np.load(sys.argv[1]), int(sys.argv[2])
    # Answers go to the real stdout; whatever libraries print goes to stderr with the rest.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start = time.perf_counter()
    worker = contender(data, batch_size)
    versions = {"python": sys.version.split()[0], **worker.prepare()}
    worker.run(warmup)
    seconds = time.perf_counter() - start
    _answer(answers, {"ready": True, "compile_seconds": seconds, "versions": versions})
    for line in sys.stdin:
        command = json.loads(line)
        if "quit" in command:
            return
        _answer(answers, _obey(worker, command))


def _obey(worker: Trainer, command: dict[str, Any]) -> Any:
    if "run" in command:
        start = time.perf_counter()
        worker.run(command["run"])
        return {"seconds": time.perf_counter() - start, "minibatches": command["run"]}
    if "check" in command:
        return worker.check(command["check"])
    if "call" in command:
        return getattr(worker, command["call"])()
    raise ValueError(f"a command is one of run, check, call, quit; got {sorted(command)}.")


def _answer(stream: IO[str], values: Any) -> None:
    stream.write(json.dumps(values) + "\n")
    stream.flush()


class WorkerError(RuntimeError):
    """A worker died, hung or answered nonsense; the message ends with its last words."""


class Worker:
    """The driver's end of one worker process; a context manager that ends it.

    Args:
        command: The interpreter and the script, such as `[".envs/torch/bin/python", "NAME.py"]`.
        data: The .npy file of float32 rows.
        batch_size: Rows a minibatch.
        env: Environment variables on top of this process's.

    Attributes:
        ready: The worker's first answer, after `wait_ready`.
    """

    def __init__(
        self,
        command: Sequence[str],
        data: Path,
        batch_size: int,
        *,
        env: dict[str, str] | None = None,
    ) -> None:
        self._name = Path(command[-1]).stem
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self.ready: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [*command, str(data), str(batch_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **(env or {})},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id, for reading its peak memory."""
        return self._process.pid

    def wait_ready(self, timeout: float = 900) -> dict[str, Any]:
        """Blocks until the worker has compiled and warmed up; `timeout` in seconds."""
        self.ready = self._read(timeout)
        return self.ready

    def ask(self, command: dict[str, Any], timeout: float = 600) -> dict[str, Any]:
        """Sends one command and returns its answer; `timeout` in seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_read` then says why
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        return self._read(timeout)

    def close(self, timeout: float = 10) -> None:
        """Ends the process, by force after `timeout` seconds; harmless the second time."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b'{"quit": true}\n')
                self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _read(self, timeout: float) -> dict[str, Any]:
        """Reads one line; a worker writes a whole line at once and only when asked."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self._process.kill()
                raise WorkerError(f"{self._name}: no answer in {timeout:g} s\n{self._last_words()}")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self._name}: exit code {code}\n{self._last_words()}")
        return json.loads(line)

    def _last_words(self, lines: int = 15) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").rstrip()
        return "\n".join(_tail(text.splitlines(), lines))


def _tail(lines: list[str], count: int) -> Iterator[str]:
    return (f"    {line}" for line in lines[-count:])
