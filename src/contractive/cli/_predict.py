"""`contractive encode`, `score`, `predict` and `sample`: a model in, an array or a picture in a file out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._data import Given, as_reader, open_given
from ._options import PICTURE_SIZE, ArrayName, BadRows, BadRowsName, ColumnNames, Data, Run
from ._typed import image_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ..sources import RowReader, RowSource

__all__ = ["encode", "load_autoencoder", "predict", "sample", "score"]

_BLOCK_BYTES = 1 << 23  # of rows that are worked on at a time: 8 MiB
_Out = Annotated[Path, typer.Option("--out", "-o", help="The .npy file to make.")]
_RowsOut = Annotated[Path, typer.Option("--out", "-o", help="The .npy or .parquet file to make.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older file of that name.")]


def encode(
    run: Run,
    data: Data,
    out: _RowsOut,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    overwrite: _Overwrite = False,
) -> None:
    """Write the codes of the rows of DATA, a row each: a .npy or .parquet file of shape (rows, components).

    Of data of any size some megabytes are in memory at a time. With --bad-rows skip the codes of bad rows are NaN.
    """
    estimator, source = _checked(run, Given(data, array, columns), out, overwrite, "Use `contractive predict`")
    width = estimator.model_.n_hidden
    n_bad = _write_each(out, source, estimator.transform, width, estimator.model_.dtype, bad_rows)
    typer.echo(f"wrote {out}: {_counted(source, n_bad)} of {width} {estimator.model_.dtype} components")


def score(
    run: Run,
    data: Data,
    out: _RowsOut,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    overwrite: _Overwrite = False,
) -> None:
    """Write how normal each row of DATA is, minus its reconstruction error: a .npy or .parquet file, a number a row.

    The error is summed over features: nats, or squared units of the data. Higher is more normal. Of data of any size
    some megabytes are in memory at a time. With --bad-rows skip the scores of bad rows are NaN.
    """
    import numpy as np

    estimator, source = _checked(run, Given(data, array, columns), out, overwrite, "Use `contractive inspect`")
    total, extremes = 0.0, (np.inf, -np.inf)

    def scores(rows: RowReader) -> np.ndarray:
        nonlocal total, extremes
        found = estimator.score_samples(rows)
        total += float(found.sum(dtype=np.float64))
        extremes = min(extremes[0], float(found.min())), max(extremes[1], float(found.max()))
        return found

    n_bad = _write_each(out, source, scores, 0, estimator.model_.dtype, bad_rows, ["score"])
    mean = total / max(1, len(source.rows) - n_bad)
    typer.echo(
        f"wrote {out}: {_counted(source, n_bad)}, scores {extremes[0]:.4f} to {extremes[1]:.4f}, mean {mean:.4f}"
    )


def predict(
    run: Run,
    data: Data,
    out: _Out,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of each class instead.")] = False,
    array: ArrayName = None,
    columns: ColumnNames = None,
    overwrite: _Overwrite = False,
) -> None:
    """Write the classes of the rows of DATA as a .npy file; with --proba, of shape (rows, classes), a column a class.

    RUN is what `classify` made.
    """
    import numpy as np

    from ..estimators import BaseClassifier
    from ..sources import blocks_ahead

    _check_out(out, overwrite)
    estimator = _load(run)
    if not isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(
            f"`RUN` must hold a classifier; got a {kind} in {str(run)!r}. Use `contractive encode` for its codes."
        )
    label = estimator.predict_proba if proba else estimator.predict
    rows = as_reader(open_given(Given(data, array, columns)))
    found = np.concatenate([label(block) for block in blocks_ahead(rows, _BLOCK_BYTES)])
    _write(out, found)
    what = "probabilities, columns" if proba else f"{found.dtype} labels,"
    classes = ", ".join(map(str, estimator.classes_[:10])) + ", ..." * (len(estimator.classes_) > 10)
    typer.echo(f"wrote {out}: {len(found)} rows of {what} of the classes {classes}")


def sample(
    run: Run,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Begin the walks at these rows instead of at random codes.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .png or .npy file to make.")] = Path("samples.png"),
    n_samples: Annotated[int, typer.Option("--n-samples", "-n", min=1, help="How many samples.")] = 100,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each walk along the tangents.")] = 20,
    std: Annotated[float, typer.Option(min=0, help="Standard deviation of a step's noise in the code.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What all draws depend on.")] = 0,
    picture_shape: Annotated[
        str | None,
        typer.Option("--image-shape", metavar="HxW", help=f"{PICTURE_SIZE} Guessed when square."),
    ] = None,
    array: ArrayName = None,
    columns: ColumnNames = None,
    overwrite: _Overwrite = False,
) -> None:
    """Draw new rows by walks along the tangents of the code: a picture of them, or a .npy file of shape (n, features).

    RUN is what `train` made.
    """
    from ..plots import tile_rows, write_picture

    _check_out(out, overwrite, (".npy", ".png"))
    estimator = load_autoencoder(run)
    shape = image_shape(picture_shape, estimator.n_features_in_)
    rows = None if data is None else open_given(Given(data, array, columns)).rows
    samples = estimator.sample(n_samples, n_steps=steps, std=std, X=rows, random_state=seed)
    if out.suffix == ".npy":
        _write(out, samples)
    else:
        across = math.ceil(math.sqrt(n_samples))
        limits = float(samples.min()), float(samples.max())  # of all, lest what is flat look like noise
        write_picture(out, tile_rows(samples, shape, grid_shape=(-(-n_samples // across), across), limits=limits))
    typer.echo(f"wrote {out}: {len(samples)} samples of {samples.shape[1]} features")


def _checked(run: Path, given: Given, out: Path, overwrite: bool, remedy: str) -> tuple[Any, RowSource]:
    """The auto-encoder of a run and rows for it.

    Raises:
        As opening them does; FileExistsError, ValueError: if `out` cannot be made.
    """
    _check_out(out, overwrite, (".npy", ".parquet"))
    return load_autoencoder(run, f" {remedy} for its classes."), open_given(given)


def _write_each(
    out: Path,
    source: RowSource,
    function: Callable[[RowReader], np.ndarray],
    width: int,
    dtype: np.dtype,
    bad_rows: BadRows,
    names: list[str] | None = None,
) -> int:
    """Write what a function makes of all rows, some of them at a time, the next being read meanwhile.

    Args:
        out: the file to make.
        source: the rows.
        function: of some rows; a row each.
        width: of what it makes; 0 for a number a row.
        dtype: of what it makes.
        bad_rows: whether rows that are not finite are refused, or NaN is written in their place.
        names: of the columns.

    Returns:
        How many bad rows there were.
    """
    import numpy as np

    from ..sources import ArrayRows, blocks_ahead, open_writer

    rows, n_bad, done = as_reader(source), 0, 0
    with open_writer(out, len(rows), width, dtype, names) as writer:
        for block in blocks_ahead(rows, _BLOCK_BYTES):
            good = np.arange(len(block))
            if bad_rows is BadRows.skip and block.dtype.kind == "f":
                good = np.flatnonzero(np.isfinite(block).all(axis=1))
            part = block if len(good) == len(block) else block[good]
            places = good + done
            named = ArrayRows(rows.name, part, lambda row, at=places: rows.place(int(at[row])))
            if len(good) == len(block):
                writer.write(function(named))
            else:
                made = np.full((len(block), width) if width else len(block), np.nan, dtype)
                if len(good):
                    made[good] = function(named)
                writer.write(made)
            n_bad += len(block) - len(good)
            done += len(block)
    return n_bad


def _counted(source: RowSource, n_bad: int) -> str:
    return f"{len(source.rows)} rows" + (f" ({n_bad} bad ones as NaN)" if n_bad else "")


def _load(run: Path) -> Any:
    from ..estimators import load
    from ..runs import model_path

    return load(model_path(run))


def load_autoencoder(run: Path, remedy: str = "") -> Any:
    """The auto-encoder of a run.

    Raises:
        ValueError: if the run holds a classifier; the message ends in the remedy.
    """
    from ..estimators import BaseClassifier

    estimator = _load(run)
    if isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(f"`RUN` must hold an auto-encoder; got a {kind} in {str(run)!r}.{remedy}")
    return estimator


def _check_out(out: Path, overwrite: bool, endings: tuple[str, ...] = (".npy",)) -> None:
    if out.suffix not in endings:
        raise ValueError(f"`--out` must end in {' or '.join(endings)}; got {str(out)!r}.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{str(out)!r} exists; choose another --out or pass --overwrite to replace it.")


def _write(out: Path, found: np.ndarray) -> None:
    import numpy as np

    from .._files import write_atomically

    write_atomically(out, lambda stream: np.save(stream, found, allow_pickle=False))
