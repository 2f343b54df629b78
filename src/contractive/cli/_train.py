"""`contractive train`: an estimator, a run folder, and what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ._display import display
from ._interrupts import Interrupted, deferred_interrupt, finished
from ._options import (
    PICTURE_SIZE,
    Activation,
    CorruptionName,
    Engine,
    LayerModel,
    LossName,
    ModelName,
    OptimizerName,
    PenaltyName,
    Preset,
)
from ._report import REPORT, write_run_report
from ._settings import Settings, build_estimator, config_of, read_settings
from ._typed import image_shape as read_image_shape
from ._typed import whole_number

if TYPE_CHECKING:
    from ..runs import RunFolder
    from ..sources import RowSource
    from ..training import EpochRecord, Progress

__all__ = ["train"]


_NOT_PARAMETERS = frozenset("data out model layer_model preset config image_shape array report overwrite".split())

_MODEL, _PENALTY, _DENOISING, _STACK, _TRAINING, _STOPPING, _FILES = (
    "Model",
    "Penalties",
    "Denoising (dae)",
    "Stack (stacked)",
    "Training",
    "Early stopping",
    "Data and files",
)


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder to make.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="A data set by name (see `datasets`) or a .npy or .npz file."),
    ] = None,
    model: Annotated[
        ModelName | None,
        typer.Option(
            metavar="NAME",
            help="cae (contractive; the default), cae+h (with the higher-order term), dae (denoising), "
            "rcae (the reconstruction contracted), ae (plain) or stacked.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(metavar="NAME", help="Settings to start from: tutorial.", rich_help_panel=_MODEL),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings in a .toml file, or a run's config.json: the same job again.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    n_components: Annotated[
        int,
        typer.Option("--components", help="Units of the code.", rich_help_panel=_MODEL),
    ] = 100,
    hidden_layer_sizes: Annotated[
        str,
        typer.Option(
            metavar="N,N",
            help="Units of the layers between input and code, 1000,500 say; for stacked, of the lower layers.",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    activation: Annotated[
        Activation,
        typer.Option(metavar="NAME", help="sigmoid, tanh, relu, softplus, gelu or linear.", rich_help_panel=_MODEL),
    ] = Activation.sigmoid,
    loss: Annotated[
        LossName,
        typer.Option(
            metavar="NAME", help="squared_error, or cross_entropy for data in [0, 1].", rich_help_panel=_MODEL
        ),
    ] = LossName.squared_error,
    tied_weights: Annotated[
        bool,
        typer.Option(
            "--tied/--untied", help="Decode with the transposed weight, or with its own.", rich_help_panel=_MODEL
        ),
    ] = True,
    contraction: Annotated[
        float | None,
        typer.Option(help="Coefficient lambda >= 0.", show_default="0.1; 0 for ae and dae", rich_help_panel=_PENALTY),
    ] = None,
    penalty: Annotated[
        PenaltyName,
        typer.Option(
            metavar="NAME",
            help="What lambda penalises: auto, closed_form, exact or hutchinson (the code's Jacobian), reconstruction "
            "or reconstruction_hutchinson (that of g(f(x))), spectral (the largest singular value).",
            rich_help_panel=_PENALTY,
        ),
    ] = PenaltyName.auto,
    n_probes: Annotated[
        int,
        typer.Option(help="Random signs an example, for hutchinson.", rich_help_panel=_PENALTY),
    ] = 1,
    hessian_weight: Annotated[
        float | None,
        typer.Option(
            help="Coefficient gamma >= 0 of the higher-order term.",
            show_default="0; 0.1 for cae+h",
            rich_help_panel=_PENALTY,
        ),
    ] = None,
    hessian_std: Annotated[
        float,
        typer.Option(help="Standard deviation of its noise, in units of the data.", rich_help_panel=_PENALTY),
    ] = 0.1,
    n_hessian_samples: Annotated[
        int,
        typer.Option(help="Its draws of noise an example.", rich_help_panel=_PENALTY),
    ] = 4,
    weight_decay: Annotated[
        float,
        typer.Option(help="Coefficient of the sum of squared weights.", rich_help_panel=_PENALTY),
    ] = 0.0,
    corruption: Annotated[
        CorruptionName,
        typer.Option(metavar="NAME", help="masking, gaussian or salt_and_pepper.", rich_help_panel=_DENOISING),
    ] = CorruptionName.masking,
    corruption_level: Annotated[
        float,
        typer.Option(help="Share of entries, for masking and salt_and_pepper.", rich_help_panel=_DENOISING),
    ] = 0.25,
    corruption_std: Annotated[
        float,
        typer.Option(help="Standard deviation of gaussian, in units of the data.", rich_help_panel=_DENOISING),
    ] = 0.1,
    layer_model: Annotated[
        LayerModel | None,
        typer.Option(
            metavar="NAME",
            help="What each layer is: cae (the default), cae+h, dae, rcae or ae.",
            rich_help_panel=_STACK,
        ),
    ] = None,
    joint_epochs: Annotated[
        int,
        typer.Option(help="Epochs with all layers together at the end.", rich_help_panel=_STACK),
    ] = 0,
    max_epochs: Annotated[
        int,
        typer.Option(
            "--epochs", help="How often to go through the data, each layer of a stack.", rich_help_panel=_TRAINING
        ),
    ] = 50,
    random_state: Annotated[
        int,
        typer.Option("--seed", help="Seed of all that is random.", rich_help_panel=_TRAINING),
    ] = 0,
    optimizer: Annotated[
        OptimizerName,
        typer.Option(metavar="NAME", help="adam, momentum or sgd.", rich_help_panel=_TRAINING),
    ] = OptimizerName.adam,
    learning_rate: Annotated[
        float,
        typer.Option(help="Step size.", rich_help_panel=_TRAINING),
    ] = 1e-3,
    batch_size: Annotated[
        str,
        typer.Option(metavar="N", help="Rows a minibatch, or auto: 128 or all rows.", rich_help_panel=_TRAINING),
    ] = "auto",
    shuffle: Annotated[
        bool,
        typer.Option("--shuffle/--no-shuffle", help="Give each epoch an order of its own.", rich_help_panel=_TRAINING),
    ] = True,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping/--no-early-stopping",
            help="Hold out rows, stop by their error, keep the best weights.",
            rich_help_panel=_TRAINING,
        ),
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option(
            metavar="NAME", help="auto, jax, or native: plain SGD on small batches.", rich_help_panel=_TRAINING
        ),
    ] = Engine.auto,
    validation_fraction: Annotated[
        float,
        typer.Option(help="Share of the rows that are held out.", rich_help_panel=_STOPPING),
    ] = 0.1,
    n_iter_no_change: Annotated[
        int,
        typer.Option(help="Epochs without improvement before it stops.", rich_help_panel=_STOPPING),
    ] = 5,
    tol: Annotated[
        float,
        typer.Option(help="The least improvement that counts.", rich_help_panel=_STOPPING),
    ] = 1e-4,
    uint8_scale: Annotated[
        float,
        typer.Option(help="What uint8 data is divided by.", rich_help_panel=_FILES),
    ] = 256,
    array: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which array of a .npz file that holds several.", rich_help_panel=_FILES),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help=f"{PICTURE_SIZE} Guessed when square.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Write report.html, what `report` makes, at the end.", rich_help_panel=_FILES
        ),
    ] = True,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an older run folder of that name.", rich_help_panel=_FILES),
    ] = False,
) -> None:
    """Train an auto-encoder of the family and write a run folder.

    The folder holds model.safetensors, config.json, history.jsonl (a line an epoch), curves.png, filters.png and
    report.html.
    """
    from ..runs import RunFolder
    from ..sources import open_rows

    settings = Settings() if config is None else read_settings(config)
    names = {
        name: value and value.value for name, value in (("model", model), ("preset", preset), ("layer", layer_model))
    }
    estimator = build_estimator(names["model"], names["preset"], names["layer"], settings, _typed(context))
    if data in (None, settings.data) or settings.data is None:  # else the file speaks of other data
        array = settings.array if array is None else array
        image_shape = settings.image_shape if image_shape is None else image_shape
    data = settings.data if data is None else data
    if data is None:
        raise ValueError("DATA must be given: a data set's name or a file, or `data` in --config; got none.")
    source = open_rows(data, array=array)
    shape = read_image_shape(image_shape, source.n_features, source.image_shape)
    with deferred_interrupt() as check_interrupt:  # from the first file on, so that none is left behind
        folder = RunFolder(out, overwrite=overwrite)
        try:
            job = config_of(source, array, image_shape, estimator, __version__)
            folder.write_config(job)
            _fit_into(folder, estimator, source, check_interrupt)
            curves = estimator.loss_curve_, estimator.jacobian_norm_curve_, estimator.validation_loss_curve_
            folder.write_pictures(estimator.components_, shape, curves)
        finally:
            folder.discard()
    if report:  # on finished files: what ends it takes nothing away
        path = folder.path / REPORT
        try:
            write_run_report(path, estimator, source, run=folder.path, config=job, image_shape=image_shape)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} {folder.path} holds all but {REPORT}.") from error
        except OSError as error:
            raise OSError(f"{str(path)!r}: {error.strerror or error}. {folder.path} holds all but {REPORT}.") from error
    written = "model.safetensors, config.json, history.jsonl, curves.png, filters.png"
    typer.echo(f"wrote {folder.path}: {written}{f', {REPORT}' if report else ''}")


def _typed(context: typer.Context) -> dict[str, Any]:
    """The parameters that were typed, as the estimators take them."""
    typed: dict[str, Any] = {}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name not in _NOT_PARAMETERS and source is not None and source.name == "COMMANDLINE":
            typed[name] = value.value if isinstance(value, StrEnum) else value
    if typed.get("batch_size", "auto") != "auto":
        typed["batch_size"] = whole_number("--batch-size", typed["batch_size"], " or 'auto'")
    if "hidden_layer_sizes" in typed:
        text = typed["hidden_layer_sizes"]
        typed["hidden_layer_sizes"] = tuple(
            whole_number("--hidden-layer-sizes", size, ", several with commas between them")
            for size in (text.split(",") if text.strip() else ())
        )
    return typed


def _fit_into(folder: RunFolder, estimator: Any, source: RowSource, check_interrupt: Callable[[], None]) -> None:
    """Train, show how it goes, and write down each finished epoch.

    Raises:
        Interrupted: after Ctrl-C, with what the folder holds.
    """
    from ..training import EpochRecord

    n_rows = source.rows.shape[0] if source.rows.ndim else 0
    try:
        with display(_total_epochs(estimator), n_rows) as show:

            def follow(estimator: Any, event: Progress | EpochRecord) -> None:
                if isinstance(event, EpochRecord):
                    folder.finish_epoch(event._asdict(), estimator.save)
                show(event)
                check_interrupt()

            estimator.set_params(callbacks=[follow]).fit(source.rows)
        folder.write_model(estimator.save)  # early stopping may have gone back to better weights
    except KeyboardInterrupt as interrupt:
        if not folder.is_published:
            raise Interrupted("interrupted before the first epoch ended; nothing was written.") from interrupt
        raise Interrupted(f"interrupted; {finished(folder, estimator)}.") from interrupt
    except (TypeError, ValueError, FloatingPointError) as error:
        if not folder.is_published:
            raise
        raise type(error)(f"{error} {finished(folder, estimator)}.") from error


def _total_epochs(estimator: Any) -> int:
    """Epochs that training takes when nothing ends it early; what is no number counts as none, until `fit` says so."""
    layers = getattr(estimator, "layers", None)
    own = estimator.max_epochs if layers is None else estimator.joint_epochs
    return (own if isinstance(own, int) else 0) + sum(map(_total_epochs, layers or ()))
