"""`contractive encode` and `contractive predict`: rows in, an array in a file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._options import ArrayName, Data, Run

if TYPE_CHECKING:
    import numpy as np

__all__ = ["encode", "predict"]

_Out = Annotated[Path, typer.Option("--out", "-o", help="The .npy file to make.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older file of that name.")]


def encode(run: Run, data: Data, out: _Out, array: ArrayName = None, overwrite: _Overwrite = False) -> None:
    """Write the codes of the rows of DATA as a .npy file of shape (rows, components)."""
    from ..estimators import BaseClassifier
    from ..sources import open_rows

    _check_out(out, overwrite)
    estimator = _load(run)
    if isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(
            f"`RUN` must hold an auto-encoder; got a {kind} in {str(run)!r}. Use `contractive predict` for its classes."
        )
    codes = estimator.transform(open_rows(data, array=array).rows)
    _write(out, codes)
    typer.echo(f"wrote {out}: {codes.shape[0]} rows of {codes.shape[1]} {codes.dtype} components")


def predict(
    run: Run,
    data: Data,
    out: _Out,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of each class instead.")] = False,
    array: ArrayName = None,
    overwrite: _Overwrite = False,
) -> None:
    """Write the classes of the rows of DATA as a .npy file; with --proba, of shape (rows, classes), a column a class.

    RUN is what `classify` made.
    """
    from ..estimators import BaseClassifier
    from ..sources import open_rows

    _check_out(out, overwrite)
    estimator = _load(run)
    if not isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(
            f"`RUN` must hold a classifier; got a {kind} in {str(run)!r}. Use `contractive encode` for its codes."
        )
    rows = open_rows(data, array=array).rows
    found = estimator.predict_proba(rows) if proba else estimator.predict(rows)
    _write(out, found)
    what = "probabilities, columns" if proba else f"{found.dtype} labels,"
    classes = ", ".join(map(str, estimator.classes_[:10])) + ", ..." * (len(estimator.classes_) > 10)
    typer.echo(f"wrote {out}: {len(found)} rows of {what} of the classes {classes}")


def _load(run: Path) -> Any:
    from ..estimators import load
    from ..runs import model_path

    return load(model_path(run))


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix != ".npy":
        raise ValueError(f"`--out` must end in .npy; got {str(out)!r}.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{str(out)!r} exists; choose another --out or pass --overwrite to replace it.")


def _write(out: Path, found: np.ndarray) -> None:
    import numpy as np

    from .._files import write_atomically

    write_atomically(out, lambda stream: np.save(stream, found, allow_pickle=False))
