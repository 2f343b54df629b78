"""What commands share that apply a model to rows: the model of a run, blocks of rows, the file to make."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["BLOCK_BYTES", "check_free", "check_out", "keep_freed_memory", "load_autoencoder", "load_run"]

BLOCK_BYTES = 1 << 22  # of rows that are worked on at a time: 4 MiB, which `map_rows` mostly takes at one go
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def load_run(run: Path) -> Any:
    """The model of a run, of whatever kind.

    Raises:
        As `estimators.load` does.
    """
    from ..estimators import load
    from ..runs import model_path

    return load(model_path(run))


def load_autoencoder(run: Path, remedy: str = "") -> Any:
    """The auto-encoder of a run.

    Raises:
        ValueError: if the run holds a classifier; the message ends in the remedy.
    """
    from ..estimators import BaseClassifier

    estimator = load_run(run)
    if isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(f"`RUN` must hold an auto-encoder; got a {kind} in {str(run)!r}.{remedy}")
    return estimator


def check_out(out: Path, overwrite: bool, endings: tuple[str, ...] = (".npy",), option: str = "--out") -> None:
    """Refuse a file to make that has another ending, or that is there and is not to be replaced.

    Raises:
        FileExistsError, ValueError: for these two.
    """
    if out.suffix not in endings:
        raise ValueError(f"`{option}` must end in {' or '.join(endings)}; got {str(out)!r}.")
    check_free(out, overwrite, option)


def check_free(out: Path, overwrite: bool, option: str = "--out") -> None:
    """Refuse a file to make that is there and is not to be replaced.

    Raises:
        FileExistsError: for that.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{str(out)!r} exists; choose another {option} or pass --overwrite to replace it.")


def keep_freed_memory() -> None:
    """Have glibc keep the memory of a block for the next one, for the rest of the process.

    Else much of it goes back to the system and comes anew, a page at a time, which took a sixth of `encode`'s time.
    """
    with suppress(AttributeError, OSError, TypeError):  # other systems' C libraries
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that it takes: blocks are smaller
        mallopt(_M_TRIM_THRESHOLD, 1 << 28)
