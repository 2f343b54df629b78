"""`contractive classify` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._fine_tuning import Job, run_job
from ._options import (
    PICTURE_SIZE,
    ClassifierName,
    Data,
    DecayName,
    LayerModel,
    LossName,
    MLflowServer,
    OptimizerName,
    PenaltyName,
    SmoothnessName,
    TensorBoardFolder,
)

__all__ = ["classify"]

_MODEL, _REPRESENTATION, _TERMS, _TANGENTS, _TRAINING, _STOPPING, _FILES = (
    "Model",
    "Representation",
    "Fine-tuning: what is penalised",
    "Tangents (mtc)",
    "Fine-tuning: how it goes",
    "Early stopping",
    "Data and files",
)


def classify(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The run folder to make.")],
    model: Annotated[
        ClassifierName,
        typer.Option(
            metavar="NAME",
            help="classifier (contractive), or mtc (manifold tangent): held still along the tangents of the data.",
            rich_help_panel=_MODEL,
        ),
    ] = ClassifierName.classifier,
    n_labels: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Use the labels of N rows only, as many of each class; the others have none.",
            show_default="all",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    unlabeled: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="What stands for no label in the data, -1 say.",
            show_default="every value is a class",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    random_state: Annotated[
        int, typer.Option("--seed", help="Seed of all that is random.", rich_help_panel=_MODEL)
    ] = 0,
    representation: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="The run folder or model file of a trained auto-encoder, used as it is, instead of one made here.",
            rich_help_panel=_REPRESENTATION,
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(metavar="N,N", help="Units of the layers that are made here.", rich_help_panel=_REPRESENTATION),
    ] = "500,500",
    layer_model: Annotated[
        LayerModel | None,
        typer.Option(
            metavar="NAME",
            help="What each layer is: cae, cae+h, dae, rcae or ae.",
            show_default="cae; cae+h for mtc",
            rich_help_panel=_REPRESENTATION,
        ),
    ] = None,
    pretraining_contraction: Annotated[
        float | None,
        typer.Option(
            "--contraction",
            help="Coefficient lambda >= 0 while the layers are made.",
            show_default="0.1; 0 for ae and dae",
            rich_help_panel=_REPRESENTATION,
        ),
    ] = None,
    loss: Annotated[
        LossName,
        typer.Option(
            metavar="NAME",
            help="squared_error, or cross_entropy for data in [0, 1].",
            rich_help_panel=_REPRESENTATION,
        ),
    ] = LossName.squared_error,
    pretraining_epochs: Annotated[
        int, typer.Option(help="How often each layer goes through all rows.", rich_help_panel=_REPRESENTATION)
    ] = 50,
    dropout: Annotated[
        float, typer.Option(help="Share of the hidden units that an update leaves out.", rich_help_panel=_TERMS)
    ] = 0.0,
    input_dropout: Annotated[
        float, typer.Option(help="Share of the data's entries that an update leaves out.", rich_help_panel=_TERMS)
    ] = 0.0,
    max_norm: Annotated[
        float | None,
        typer.Option(
            help="The largest norm of a unit's incoming weights.", show_default="no limit", rich_help_panel=_TERMS
        ),
    ] = None,
    contraction: Annotated[
        float,
        typer.Option(
            "--fine-tuning-contraction",
            help="Coefficient lambda >= 0 that is kept on during fine-tuning, on all rows.",
            rich_help_panel=_TERMS,
        ),
    ] = 0.0,
    penalty: Annotated[
        PenaltyName,
        typer.Option(
            "--fine-tuning-penalty",
            metavar="NAME",
            help="What it penalises: auto, closed_form, exact, hutchinson, reconstruction, reconstruction_hutchinson "
            "or spectral.",
            rich_help_panel=_TERMS,
        ),
    ] = PenaltyName.auto,
    n_probes: Annotated[
        int,
        typer.Option("--fine-tuning-probes", help="Random signs an example, for hutchinson.", rich_help_panel=_TERMS),
    ] = 1,
    weight_decay: Annotated[
        float, typer.Option(help="Coefficient of the sum of squared weights.", rich_help_panel=_TERMS)
    ] = 0.0,
    smoothness: Annotated[
        SmoothnessName | None,
        typer.Option(
            metavar="NAME",
            help="spectral: hold the output still in the direction in which it changes most, on all rows.",
            show_default="none",
            rich_help_panel=_TERMS,
        ),
    ] = None,
    smoothness_weight: Annotated[float, typer.Option(help="Its coefficient, >= 0.", rich_help_panel=_TERMS)] = 1.0,
    smoothness_radius: Annotated[
        float, typer.Option(help="How far that step goes, in units of the data.", rich_help_panel=_TERMS)
    ] = 1.0,
    smoothness_warmup: Annotated[
        int, typer.Option(help="Epochs in which that step grows to its length.", rich_help_panel=_TERMS)
    ] = 0,
    n_power_iterations: Annotated[
        int, typer.Option(help="Steps of the search for that direction.", rich_help_panel=_TERMS)
    ] = 1,
    n_tangents: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Directions of the tangent plane at a row; auto: 15, or fewer where the encoder's rank or "
            "half of the features are.",
            rich_help_panel=_TANGENTS,
        ),
    ] = "auto",
    tangent_weight: Annotated[
        float, typer.Option(help="Coefficient beta >= 0 of the change along them.", rich_help_panel=_TANGENTS)
    ] = 0.1,
    tangent_radius: Annotated[
        float | None,
        typer.Option(
            help="Hold the output still at steps of this length along them, in units of the data, not by its slope.",
            show_default="the slope",
            rich_help_panel=_TANGENTS,
        ),
    ] = None,
    n_tangent_probes: Annotated[
        int,
        typer.Option(
            help="Of the slope: 0 for all of them, exactly; N for N random combinations an update.",
            rich_help_panel=_TANGENTS,
        ),
    ] = 0,
    tangent_cache: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep the tangent planes in FOLDER for other runs with the same rows and the same --representation.",
            show_default="none",
            rich_help_panel=_TANGENTS,
        ),
    ] = None,
    max_epochs: Annotated[
        int, typer.Option("--epochs", help="How often to go through the rows.", rich_help_panel=_TRAINING)
    ] = 50,
    optimizer: Annotated[
        OptimizerName,
        typer.Option(metavar="NAME", help="adam, momentum or sgd.", rich_help_panel=_TRAINING),
    ] = OptimizerName.adam,
    learning_rate: Annotated[float, typer.Option(help="Step size.", rich_help_panel=_TRAINING)] = 1e-3,
    learning_rate_decay: Annotated[
        DecayName,
        typer.Option(
            metavar="NAME",
            help="How it falls to zero at the last epoch: linear, cosine or none.",
            rich_help_panel=_TRAINING,
        ),
    ] = DecayName.none,
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
            "--early-stopping",
            help="Stop by the error of the validation rows, which are held out of a file's.",
            rich_help_panel=_STOPPING,
        ),
    ] = False,
    validation_fraction: Annotated[
        float, typer.Option(help="Share of a file's labelled rows that is held out.", rich_help_panel=_STOPPING)
    ] = 0.1,
    n_iter_no_change: Annotated[
        int, typer.Option(help="Epochs without improvement before it stops.", rich_help_panel=_STOPPING)
    ] = 5,
    tol: Annotated[float, typer.Option(help="The least improvement that counts.", rich_help_panel=_STOPPING)] = 1e-4,
    array: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which array of a .npz file holds the rows.", rich_help_panel=_FILES),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The array of a .npz file that holds the labels, or a .npy file of them.",
            show_default="y, for a .npz file",
            rich_help_panel=_FILES,
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help=f"{PICTURE_SIZE} Guessed when square.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    tensorboard: TensorBoardFolder = None,
    mlflow: MLflowServer = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an older run folder of that name.", rich_help_panel=_FILES),
    ] = False,
) -> None:
    """Learn a representation of all rows, fine-tune a classifier on those with a label, and write a run folder.

    The folder holds model.safetensors, config.json, history.jsonl (a line an epoch of fine-tuning), curves.png and
    filters.png.

    Of a data set with a name, the validation rows choose the epoch whose weights are kept, and the test rows are looked
    at once, at the end. For more to choose in the representation, `train` it and pass --representation.
    """
    given = {name: getattr(value, "value", value) for name, value in context.params.items()}
    typed = {
        name
        for name in given
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
    run_job(Job(given, typed))
