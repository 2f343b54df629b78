"""`contractive report`: what a run learned as one page that opens from the disk."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._apply import check_free, load_autoencoder
from ._data import Given, open_given
from ._options import DATA, PICTURE_SIZE, ArrayName, BadRows, BadRowsName, ColumnNames, Run
from ._settings import read_named
from ._typed import image_shape as read_image_shape

if TYPE_CHECKING:
    from ..sources import RowSource

__all__ = ["CONFIG", "REPORT", "report", "run_source", "write_run_report"]

REPORT = "report.html"
"""What the page is called in a run folder."""

CONFIG = "config.json"
"""What the settings of a run are called in its folder."""

_NOTHING_TYPED = Given("")


def report(
    run: Run,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help=DATA,
            show_default="the data of the run",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The .html file to make.", show_default="report.html in the run folder"
        ),
    ] = None,
    n_rows: Annotated[
        int, typer.Option("--rows", min=1, help="How many rows of the data are drawn and looked at, at most.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What all draws depend on.")] = 0,
    image_shape: Annotated[
        str | None,
        typer.Option(
            "--image-shape",
            metavar="HxW",
            help=PICTURE_SIZE,
            show_default="that of the run, else guessed",
        ),
    ] = None,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file that --out names.")] = False,
) -> None:
    """Write one HTML file that shows what a run learned, with the model in it to be tried.

    It needs nothing beside it: no network, no server. RUN is what `train` made, which writes the same page as
    report.html; this replaces it.
    """
    if out is not None and out.suffix != ".html":
        raise ValueError(f"`--out` must end in .html; got {str(out)!r}.")
    folder = run if run.is_dir() else run.parent
    path = folder / REPORT if out is None else out
    # The report of a run folder is the run's own, to be made again.
    if out is not None or run.is_file():
        check_free(path, overwrite)
    estimator = load_autoencoder(run, " Report the run of its representation.")
    config = read_named(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    typed = Given(data or "", array, columns, bad_rows.value)
    remedy = f"Name the rows: contractive report {run} DATA."
    source = run_source(run, config, typed, remedy=remedy) if data is None else open_given(typed)
    shown = image_shape
    if shown is None and data is None and config.get("image_shape") is not None:
        shown = str(config["image_shape"])
    echo = write_run_report(
        path, estimator, source, run=run, config=config, image_shape=shown, n_rows=n_rows, seed=seed
    )
    typer.echo(f"wrote {echo}")


def write_run_report(
    path: Path,
    estimator: Any,
    source: RowSource,
    *,
    run: Path,
    config: Mapping[str, Any],
    image_shape: str | None,
    n_rows: int = 1000,
    seed: int = 0,
) -> str:
    """Write the report of an estimator on rows; what was written, in words.

    Args:
        path: the file to make or replace.
        estimator: the fitted auto-encoder.
        source: the data.
        run: the run folder or the model file, whose name is the page's title.
        config: what `config.json` holds.
        image_shape: as typed, or None for what the data say of themselves.
        n_rows: how many rows are looked at, at most.
        seed: what all draws depend on.

    Raises:
        ValueError: if `image_shape` or the data do not fit the model.
        OSError: if the file cannot be written.
    """
    from ..report import About, write_report

    size = write_report(
        path,
        estimator,
        source.rows,
        about=About(_title(run), source.name, config),
        image_shape=read_image_shape(image_shape, estimator.n_features_in_, source.image_shape),
        n_rows=n_rows,
        seed=seed,
    )
    n_all = source.rows.shape[0]
    return f"{path}: {size / 1e6:.1f} MB, {min(n_rows, n_all):,} of {n_all:,} rows of {source.name}"


def _title(run: Path) -> str:
    """The name of a run folder, or of a model file without its ending."""
    return run.resolve().name if run.is_dir() else run.stem


def run_source(run: Path, config: Mapping[str, Any], typed: Given = _NOTHING_TYPED, *, remedy: str) -> RowSource:
    """The rows that a run was trained on; what else was typed of them counts most.

    Raises:
        FileNotFoundError: if the run's data is gone; the message ends in the remedy.
        ValueError: if the run does not say which it is; likewise.
    """
    known = config.get("data")
    name = known.get("name") if isinstance(known, Mapping) else known
    if not isinstance(name, str):
        raise ValueError(f"{str(run)!r} has no {CONFIG} that names its data. {remedy}")
    about = known if isinstance(known, Mapping) else config
    skips = "skip" in (typed.bad_rows, about.get("bad_rows"))
    own = Given(
        _place(name, run),
        typed.array or about.get("array"),
        typed.columns or about.get("columns"),
        "skip" if skips else "refuse",
    )
    try:
        return open_given(own)._replace(name=name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name!r}, the data of {str(run)!r}, is gone. {remedy}") from error


def _place(name: str, run: Path) -> str:
    """Where the data is that a run names: from here, or else from a folder that the run is in, the nearest first."""
    from ..datasets import DATASETS

    if name not in DATASETS and not Path(name).exists():
        for folder in run.resolve().parents:
            if (folder / name).exists() or glob.glob(str(folder / name)):
                return str(folder / name)
    return name
