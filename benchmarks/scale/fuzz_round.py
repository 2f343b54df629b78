"""What `fuzz.py` starts: reads the inputs of a job, one after the other, and writes down how far it got."""

from __future__ import annotations

import importlib
import json
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

__all__ = ["PLACES", "Job", "keep"]

# What is written down, so that it stays however the process ends; the last is 1 while the other reader has its turn.
PLACES = ("done", "read", "refused", "failures", "in the other reader")
_ADDRESSES = 4 << 30  # bytes: a reader that asks for more is refused them, and fails


class Job(TypedDict):
    """Some inputs of a format.

    Args:
        name: of the format.
        seed: of the valid files and of what is done to them.
        first: the number of the first input.
        count: of inputs.
        guided: whether Atheris says what is done to them.
        folder: where the input and what is written down lie.
        kept: where failures are kept.
    """

    name: str
    seed: int
    first: int
    count: int
    guided: bool
    folder: str
    kept: str


def main(job: Job) -> None:
    """Read all inputs of a job."""
    atheris = _instrumented() if job["guided"] else None
    fuzzing = importlib.import_module("fuzzing")  # after the package, which Atheris must see being imported
    warnings.simplefilter("error")
    path = Path(job["folder"]) / f"input{fuzzing.FORMATS[job['name']].ending}"
    left = np.memmap(path.with_name("left"), np.int64, "r+")
    fuzzing.valid_files(job["name"], job["seed"])  # outside of the limits
    _limit_addresses()

    def read(content: bytes, is_whole: bool, rng: np.random.Generator) -> None:
        path.write_bytes(content)
        verdict = _limited(fuzzing, job["name"], path, is_whole, rng, left)
        if verdict.outcome in fuzzing.FAILURES:
            keep(Path(job["kept"]), job["name"], verdict.outcome, path, verdict.words)
        left[PLACES.index(verdict.outcome if verdict.outcome in PLACES else "failures")] += 1
        left[0] += 1

    if atheris is not None:
        _guide(atheris, fuzzing, job, read)
    for number in range(job["first"], job["first"] + job["count"]):
        rng = np.random.default_rng([job["seed"], number, *job["name"].encode()])
        made = fuzzing.content_of(job["name"], job["seed"], rng)
        read(made.content, made.is_whole, rng)


def keep(folder: Path, name: str, what: str, path: Path, words: str) -> None:
    """Keep an input that fails, and what was said.

    Args:
        folder: where.
        name: of the format.
        what: came of it.
        path: of the input.
        words: what was said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp("", f"{name}-{what.replace(' ', '-')}-", folder))
    (place / path.name).write_bytes(path.read_bytes())
    (place / "words.txt").write_text(words)


def _instrumented() -> Any:
    """Atheris, which counts where the package's readers have been."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["contractive.sources", "contractive.serialization"]):
        for module in ("contractive.sources", "contractive.serialization"):
            importlib.import_module(module)
    return atheris


def _limited(fuzzing: Any, name: str, path: Path, is_whole: bool, rng: np.random.Generator, left: np.ndarray) -> Any:
    """The verdict on a file, where the kernel ends the process that takes far too long."""
    most = 2 * fuzzing.Limits().seconds

    def turn() -> None:
        left[-1] = 1
        signal.setitimer(signal.ITIMER_REAL, most)

    signal.setitimer(signal.ITIMER_REAL, most)
    verdict = fuzzing.judge(fuzzing.FORMATS[name], path, rng, is_whole=is_whole, before_expected=turn)
    signal.setitimer(signal.ITIMER_REAL, 0)
    left[-1] = 0
    return verdict


def _limit_addresses() -> None:
    """Refuse the process much more memory than it has, whether it is written to or not."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _guide(atheris: Any, fuzzing: Any, job: Job, read: Callable[..., None]) -> None:
    """Let Atheris change valid files, every other time as is done without it; does not return."""
    corpus = Path(job["folder"]) / "corpus"
    corpus.mkdir()
    for number, content in enumerate(fuzzing.valid_files(job["name"], job["seed"])):
        (corpus / str(number)).write_bytes(content)

    def change(content: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(content, most)
        rng = np.random.default_rng([job["seed"], seed])
        return fuzzing.content_of(job["name"], job["seed"], rng).content[:most]

    def once(content: bytes) -> None:
        read(content, False, np.random.default_rng([job["seed"], len(content), *content[:8]]))

    flags = [f"-atheris_runs={job['count']}", f"-seed={job['seed'] + job['first'] + 1}", "-max_len=65536"]
    flags += ["-timeout=0", "-rss_limit_mb=0", "-handle_alrm=0"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], once, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
