"""`contractive train`: an estimator, a run folder, and what is shown meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._data import Given, in_memory, open_given, read_size
from ._fitting import SIGNALS, Saving, draw, finish, fit_into, make_trackers
from ._interrupts import deferred_requests
from ._options import (
    DATA,
    PICTURE_SIZE,
    Activation,
    BadRows,
    CheckpointEvery,
    Coordinator,
    CorruptionName,
    Distributed,
    Engine,
    KeepCheckpoints,
    LayerModel,
    LossName,
    MemorySize,
    MLflowServer,
    ModelName,
    OptimizerName,
    PenaltyName,
    Preset,
    Processes,
    ProcessId,
    ReadAheadWindows,
    TensorBoardFolder,
)
from ._settings import Settings, build_estimator, config_of, read_settings
from ._together import fit_along, joined
from ._typed import image_shape as read_image_shape
from ._typed import whole_number

__all__ = ["train"]


_NOT_PARAMETERS = frozenset(
    "data out model layer_model preset config image_shape array columns bad_rows memory report overwrite "
    "checkpoint_every keep_checkpoints read_ahead distributed coordinator processes process_id "
    "tensorboard mlflow".split()
)

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
        typer.Argument(metavar="DATA", help=DATA),
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
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Which columns of tables, in this order.",
            show_default="all",
            rich_help_panel=_FILES,
        ),
    ] = None,
    bad_rows: Annotated[
        BadRows | None,
        typer.Option(
            metavar="NAME",
            help="What to do with rows that are no numbers: refuse, or skip.",
            show_default="refuse",
            rich_help_panel=_FILES,
        ),
    ] = None,
    memory: MemorySize = None,
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
    checkpoint_every: CheckpointEvery = None,
    keep_checkpoints: KeepCheckpoints = 3,
    read_ahead: ReadAheadWindows = 1,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    tensorboard: TensorBoardFolder = None,
    mlflow: MLflowServer = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an older run folder of that name.", rich_help_panel=_FILES),
    ] = False,
) -> None:
    """Train an auto-encoder of the family and write a run folder.

    The folder holds model.safetensors, config.json, history.jsonl (a line an epoch), curves.png, filters.png,
    report.html and, of longer runs, checkpoints to go on from (`contractive resume`).
    """
    from ..runs import RunFolder
    from ..sources import RowReader

    settings = Settings() if config is None else read_settings(config)
    names = {
        name: value and value.value for name, value in (("model", model), ("preset", preset), ("layer", layer_model))
    }
    estimator = build_estimator(names["model"], names["preset"], names["layer"], settings, _typed(context))
    skips, streamed = None, None
    if data in (None, settings.data) or settings.data is None:  # else the file speaks of other data
        array = settings.array if array is None else array
        columns = settings.columns if columns is None else columns
        skips, streamed = settings.bad_rows, settings.streamed
        image_shape = settings.image_shape if image_shape is None else image_shape
    data = settings.data if data is None else data
    if data is None:
        raise ValueError("DATA must be given: a data set's name or a file, or `data` in --config; got none.")
    given = Given(data, array, columns, (skips or "refuse") if bad_rows is None else bad_rows.value)
    saving = Saving.read(checkpoint_every, keep_checkpoints)
    source = in_memory(open_given(given), estimator, read_size("--memory", memory), distributed or streamed, read_ahead)
    streamed = isinstance(source.rows, RowReader)
    shape = read_image_shape(image_shape, source.n_features, source.image_shape)
    trackers = make_trackers(tensorboard, mlflow, shape, out.resolve().name)
    place = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    group = joined(out, distributed=distributed, **place)
    with deferred_requests(*SIGNALS) as requests, group or nullcontext():  # from the first file on: none is left behind
        if group is not None and not group.writes:
            return fit_along(estimator, source, requests, group)
        folder = RunFolder(out, overwrite=overwrite)
        try:
            job = config_of(source, given, image_shape, estimator, streamed=streamed)
            folder.write_config(job)
            fit_into(folder, estimator, source, requests, saving, group, trackers)
            draw(folder, estimator, shape)
        finally:
            folder.discard()
    return finish(folder, estimator, source, job, image_shape, report=report)


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
