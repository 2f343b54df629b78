"""The names that options take, and the arguments that several commands share; nothing heavy is imported.

The names are kept equal to what the library knows by a test, as asking it would import JAX.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Activation",
    "ArrayName",
    "BadRows",
    "BadRowsName",
    "CheckpointEvery",
    "ClassifierName",
    "ColumnNames",
    "CorruptionName",
    "DATA",
    "Coordinator",
    "Data",
    "DecayName",
    "Distributed",
    "Engine",
    "KeepCheckpoints",
    "LabelsName",
    "LayerModel",
    "LossName",
    "MLflowServer",
    "MemorySize",
    "ModelName",
    "OptimizerName",
    "Overwrite",
    "PICTURE_SIZE",
    "Part",
    "PenaltyName",
    "Preset",
    "ProcessId",
    "Processes",
    "ReadAheadWindows",
    "Run",
    "SharedRows",
    "SmoothnessName",
    "TensorBoardFolder",
]


class Activation(StrEnum):
    """Hidden nonlinearities; `activations.ACTIVATIONS`."""

    sigmoid = "sigmoid"
    tanh = "tanh"
    relu = "relu"
    softplus = "softplus"
    gelu = "gelu"
    linear = "linear"


class LossName(StrEnum):
    """Reconstruction errors; `losses.LOSSES`."""

    squared_error = "squared_error"
    cross_entropy = "cross_entropy"


class OptimizerName(StrEnum):
    """Optimisers; `training.OPTIMIZERS`."""

    sgd = "sgd"
    momentum = "momentum"
    adam = "adam"


class Engine(StrEnum):
    """Engines; `training.ENGINES`."""

    auto = "auto"
    jax = "jax"
    native = "native"


class CorruptionName(StrEnum):
    """Corruptions; `corruption.CORRUPTIONS`."""

    masking = "masking"
    gaussian = "gaussian"
    salt_and_pepper = "salt_and_pepper"


class PenaltyName(StrEnum):
    """Penalties; `estimators.PENALTY_NAMES`."""

    auto = "auto"
    closed_form = "closed_form"
    exact = "exact"
    hutchinson = "hutchinson"
    reconstruction = "reconstruction"
    reconstruction_hutchinson = "reconstruction_hutchinson"
    spectral = "spectral"


class ModelName(StrEnum):
    """Members of the family; `presets.MODELS`."""

    cae = "cae"
    cae_h = "cae+h"
    dae = "dae"
    rcae = "rcae"
    ae = "ae"
    stacked = "stacked"


class LayerModel(StrEnum):
    """What a layer of a stack may be; `presets.MODELS` without the stack."""

    cae = "cae"
    cae_h = "cae+h"
    dae = "dae"
    rcae = "rcae"
    ae = "ae"


class ClassifierName(StrEnum):
    """Classifiers; `presets.CLASSIFIERS`."""

    classifier = "classifier"
    mtc = "mtc"


class DecayName(StrEnum):
    """How a classifier's step size falls; `training.DECAYS`."""

    none = "none"
    linear = "linear"
    cosine = "cosine"


class SmoothnessName(StrEnum):
    """In which direction a classifier's output is held still; `estimators.SMOOTHNESS_NAMES`."""

    spectral = "spectral"


class Preset(StrEnum):
    """Named settings; `presets.PRESETS`."""

    tutorial = "tutorial"


class Part(StrEnum):
    """What an exported file computes; `export.PARTS`."""

    all = "all"
    encoder = "encoder"
    decoder = "decoder"


class BadRows(StrEnum):
    """What happens to rows that hold NaN, infinity or no numbers."""

    refuse = "refuse"
    skip = "skip"


DATA = (
    "A data set by name (see `datasets`), a file (.npy, .npz, IDX, .csv, .parquet, .arrow, .feather), a pattern of "
    "such names in quotes, or a folder of them or of pictures."
)
Data = Annotated[str, typer.Argument(metavar="DATA", help=DATA)]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older file of that name.")]
PICTURE_SIZE = "Picture size, HxWx3 for colours; 1xN for none."
ArrayName = Annotated[str | None, typer.Option("--array", help="Which array of a .npz file that holds several.")]
ColumnNames = Annotated[
    str | None,
    typer.Option("--columns", metavar="NAME,NAME", help="Which columns of tables, in this order.", show_default="all"),
]
BadRowsName = Annotated[
    BadRows,
    typer.Option("--bad-rows", metavar="NAME", help="What to do with rows that are no numbers: refuse, or skip."),
]
CheckpointEvery = Annotated[
    str | None,
    typer.Option(
        metavar="INTERVAL",
        help="Write a checkpoint every 30s, 5m, 1h or 2epochs, for `resume`; or never.",
        show_default="10m",
        rich_help_panel="Checkpoints",
    ),
]
KeepCheckpoints = Annotated[
    int, typer.Option(min=1, help="How many of the newest checkpoints stay.", rich_help_panel="Checkpoints")
]
ReadAheadWindows = Annotated[
    int,
    typer.Option(
        "--read-ahead",
        min=1,
        help="Windows of 64 MiB that are read before they are needed, of rows that are not in memory.",
        rich_help_panel="Data and files",
    ),
]
MemorySize = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="How much the process may take, 2GiB say; rows that do not fit are read again each epoch.",
        show_default="most of what is free",
        rich_help_panel="Data and files",
    ),
]
TensorBoardFolder = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        metavar="FOLDER",
        help="Write each epoch's numbers, filters and weights there, for TensorBoard.",
        show_default=False,
        rich_help_panel="Tracking",
    ),
]
MLflowServer = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        metavar="URI",
        help="Tell this MLflow server of parameters, numbers and the model, http://localhost:5000 say.",
        show_default=False,
        rich_help_panel="Tracking",
    ),
]
_PROCESSES = "Several processes"
Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Train on every device of all processes that are started with it; each reads a part of the rows.",
        rich_help_panel=_PROCESSES,
    ),
]
SharedRows = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Share the rows among all processes that are started with it; all write into one file on a shared disk.",
        rich_help_panel=_PROCESSES,
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        "--coordinator",
        metavar="HOST:PORT",
        help="Where process 0 is and may listen.",
        show_default="what Slurm, Open MPI or Kubernetes say",
        rich_help_panel=_PROCESSES,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", metavar="N", help="How many there are.", rich_help_panel=_PROCESSES),
]
ProcessId = Annotated[
    int | None,
    typer.Option(
        "--process-id",
        metavar="I",
        help="Which one this is, from 0, which writes.",
        rich_help_panel=_PROCESSES,
    ),
]
LabelsName = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAME",
        help="The array of a .npz file that holds the labels, or a .npy file of them.",
        show_default="y, for a .npz file",
    ),
]
