"""What commands share that apply a model to rows: the model of a run, blocks of rows, the file to make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["BLOCK_BYTES", "check_free", "check_out", "load_autoencoder", "load_run"]

BLOCK_BYTES = 1 << 22  # of rows that are worked on at a time: 4 MiB, which `map_rows` mostly takes at one go


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
