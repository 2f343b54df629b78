"""`contractive predict` and `sample`: a model in, an array or a picture in a file out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._apply import BLOCK_BYTES, check_out, load_autoencoder, load_run
from ._data import Given, as_reader, open_given
from ._options import PICTURE_SIZE, ArrayName, ColumnNames, Data, Overwrite, Run
from ._typed import image_shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["predict", "sample"]

_Out = Annotated[Path, typer.Option("--out", "-o", help="The .npy file to make.")]


def predict(
    run: Run,
    data: Data,
    out: _Out,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of each class instead.")] = False,
    array: ArrayName = None,
    columns: ColumnNames = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the classes of the rows of DATA as a .npy file; with --proba, of shape (rows, classes), a column a class.

    RUN is what `classify` made.
    """
    import numpy as np

    from ..estimators import BaseClassifier
    from ..sources import blocks_ahead

    check_out(out, overwrite)
    estimator = load_run(run)
    if not isinstance(estimator, BaseClassifier):
        kind = type(estimator).__name__
        raise ValueError(
            f"`RUN` must hold a classifier; got a {kind} in {str(run)!r}. Use `contractive encode` for its codes."
        )
    label = estimator.predict_proba if proba else estimator.predict
    rows = as_reader(open_given(Given(data, array, columns)))
    found = np.concatenate([label(block) for block in blocks_ahead(rows, BLOCK_BYTES)])
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
    overwrite: Overwrite = False,
) -> None:
    """Draw new rows by walks along the tangents of the code: a picture of them, or a .npy file of shape (n, features).

    RUN is what `train` made.
    """
    from ..plots import tile_rows, write_picture

    check_out(out, overwrite, (".npy", ".png"))
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


def _write(out: Path, found: np.ndarray) -> None:
    import numpy as np

    from .._files import write_atomically

    write_atomically(out, lambda stream: np.save(stream, found, allow_pickle=False))
