"""From the options of `contractive classify` to a fitted classifier, its run folder and its last two lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from ..presets import CLASSIFIERS
from ._data import Given
from ._display import display_phases
from ._fitting import entered, make_trackers
from ._interrupts import Interrupted, deferred_interrupt, finished
from ._labels import Measured, keep_few_labels, measure, read_unlabeled
from ._settings import Settings, build_estimator, config_of, option_of
from ._typed import image_shape, whole_number

if TYPE_CHECKING:
    from ..runs import RunFolder
    from ..sources import LabeledSource
    from ..supervised import FineTuningProgress, FineTuningRecord
    from ..tracking import Tracker
    from ..training import EpochRecord, Progress

__all__ = ["Job", "run_job"]

_OF_BOTH = (
    "dropout input_dropout max_norm contraction penalty n_probes weight_decay smoothness smoothness_weight "
    "smoothness_radius smoothness_warmup n_power_iterations optimizer learning_rate learning_rate_decay batch_size "
    "max_epochs shuffle validation_fraction early_stopping n_iter_no_change tol random_state"
).split()
_OF_TANGENTS = ("n_tangents", "tangent_weight", "tangent_radius", "n_tangent_probes", "tangent_cache")
_OF_LAYERS = {  # the options that make a representation, and how they are typed
    "layers": "--layers",
    "layer_model": "--layer-model",
    "pretraining_contraction": "--contraction",
    "loss": "--loss",
    "pretraining_epochs": "--pretraining-epochs",
}
# How parameters are typed: what is wrong with them is said of the option.
_TYPED_AS = {name: option_of(name) for name in (*_OF_BOTH, *_OF_TANGENTS, "unlabeled")} | {
    "contraction": "--fine-tuning-contraction",
    "penalty": "--fine-tuning-penalty",
    "n_probes": "--fine-tuning-probes",
}
_TYPED_AS_OF_LAYERS = {
    "contraction": "--contraction",
    "max_epochs": "--pretraining-epochs",
    "n_components": "--layers",
}
_OF_A_LAYER = r"`representation`: (?:`layers\[\d+\]`: )?"


class Job(NamedTuple):
    """What was asked for.

    Args:
        given: every option by the name of its parameter.
        typed: the names of those that were typed.
    """

    given: Mapping[str, Any]
    typed: Set[str]


class _Sizes(NamedTuple):
    """Epochs of pre-training, all layers together, and rows that an epoch of fine-tuning goes through."""

    pretraining_epochs: int
    rows_an_epoch: int


def run_job(job: Job) -> None:
    """Train and fine-tune what a job asks for, write its folder, and print what came of it."""
    from ..runs import RunFolder
    from ..sources import open_labeled

    given = job.given
    representation, n_layers = _representation(job)
    source = open_labeled(given["data"], array=given["array"], labels=given["labels"])
    labels, unlabeled = source.labels, read_unlabeled(given["unlabeled"], source.labels)
    if given["n_labels"] is not None:
        labels, unlabeled = keep_few_labels(labels, unlabeled, given["n_labels"], given["random_state"])
    source = source._replace(labels=labels)
    estimator = _classifier(job, representation, unlabeled)
    shape = image_shape(given["image_shape"], source.source.n_features, source.source.image_shape)
    trackers = make_trackers(given["tensorboard"], given["mlflow"], shape, given["out"].resolve().name)
    with deferred_interrupt() as check_interrupt:  # from the first file on, so that none is left behind
        folder = RunFolder(given["out"], overwrite=given["overwrite"])
        try:
            folder.write_config(_config(job, estimator, source))
            sizes = _Sizes(n_layers * given["pretraining_epochs"], _rows_an_epoch(estimator, source))
            _fit_into(folder, estimator, source, sizes, check_interrupt, trackers)
            records = estimator.history_
            curves = [record.error_rate for record in records], estimator.loss_curve_, estimator.validation_error_curve_
            folder.write_pictures(_filters(estimator), shape, curves, ("error rate", "log-loss"))
        finally:
            folder.discard()
    typer.echo(f"wrote {folder.path}: model.safetensors, config.json, history.jsonl, curves.png, filters.png")
    _print_errors(estimator, source)


def _representation(job: Job) -> tuple[Any, int]:
    """The auto-encoder to stand on, frozen where it is trained already, and how many layers are to be trained.

    Raises:
        OSError: if the run cannot be read.
        ValueError: if it holds no auto-encoder, or an option does not go with it.
    """
    if job.given["representation"] is not None:
        return _trained_representation(job), 0
    sizes = _layer_sizes(job.given["layers"])
    typed: dict[str, Any] = {
        "hidden_layer_sizes": sizes[:-1],
        "n_components": sizes[-1],
        "max_epochs": job.given["pretraining_epochs"],
        "random_state": job.given["random_state"],
        "loss": job.given["loss"],
    }
    if job.given["pretraining_contraction"] is not None:
        typed["contraction"] = job.given["pretraining_contraction"]
    layer_model = job.given["layer_model"] or CLASSIFIERS[job.given["model"]][1]
    return build_estimator("stacked", None, layer_model, Settings(), typed), len(sizes)


def _trained_representation(job: Job) -> Any:
    from ..estimators import BaseAutoencoder, FrozenEstimator, load
    from ..runs import model_path

    run = job.given["representation"]
    for name, option in _OF_LAYERS.items():
        if name in job.typed:
            raise ValueError(f"`{option}` must go without --representation, which is used as it is; got {str(run)!r}.")
    trained = load(model_path(run))
    if not isinstance(trained, BaseAutoencoder):
        raise ValueError(
            f"`--representation` must be the run of an auto-encoder; got a {type(trained).__name__} in {str(run)!r}."
        )
    return FrozenEstimator(trained)


def _layer_sizes(text: str) -> tuple[int, ...]:
    return tuple(whole_number("--layers", size, ", several with commas between them") for size in text.split(","))


def _classifier(job: Job, representation: Any, unlabeled: Any) -> Any:
    """The unfitted classifier.

    Raises:
        ValueError: if an option was typed that it does not have.
    """
    from ..estimators import ESTIMATORS

    given, model = job.given, job.given["model"]
    parameters = {name: given[name] for name in _OF_BOTH} | {"unlabeled": unlabeled}
    if parameters["batch_size"] != "auto":
        parameters["batch_size"] = whole_number("--batch-size", given["batch_size"], " or 'auto'")
    if model == "mtc":
        parameters |= {name: given[name] for name in _OF_TANGENTS}
        if parameters["n_tangents"] != "auto":
            parameters["n_tangents"] = whole_number("--n-tangents", given["n_tangents"], " or 'auto'")
    else:
        for name in _OF_TANGENTS:
            if name in job.typed:
                raise ValueError(f"`{option_of(name)}` must go with --model mtc; got --model {model}.")
    return ESTIMATORS[CLASSIFIERS[model][0]](representation, **parameters)


def _config(job: Job, estimator: Any, source: LabeledSource) -> dict[str, Any]:
    """What is needed to run the same job again, and with what it ran."""
    given = Given(source.source.name, job.given["array"])
    config = config_of(source.source, given, job.given["image_shape"], estimator)
    run = job.given["representation"]
    config["data"] |= {"labels": job.given["labels"], "n_labels": job.given["n_labels"]}
    return config | {"representation": None if run is None else str(run)}


def _rows_an_epoch(estimator: Any, source: LabeledSource) -> int:
    """Rows that an epoch goes through: all where a term asks for rows without a label, else those with one."""
    from ..estimators import is_unlabeled

    asks = estimator.contraction or getattr(estimator, "tangent_weight", 0)
    if asks or (estimator.smoothness is not None and estimator.smoothness_weight):
        return len(source.labels)
    return int((~is_unlabeled(source.labels, estimator.unlabeled)).sum())


def _fit_into(
    folder: RunFolder,
    estimator: Any,
    source: LabeledSource,
    sizes: _Sizes,
    check_interrupt: Callable[[], None],
    trackers: Sequence[Tracker],
) -> None:
    """Train, show how it goes, and write down each finished epoch of fine-tuning; trackers hear what happens, too.

    Raises:
        Interrupted: after Ctrl-C, with what the folder holds.
    """
    from ..supervised import FineTuningRecord

    rows = source.source.rows
    pretraining = sizes.pretraining_epochs, len(rows)
    try:
        with display_phases(pretraining, (estimator.max_epochs, sizes.rows_an_epoch)) as show, entered(trackers):

            def follow(estimator: Any, event: EpochRecord | Progress | FineTuningRecord | FineTuningProgress) -> None:
                if isinstance(event, FineTuningRecord):
                    folder.finish_epoch(event._asdict(), estimator.save)
                show(event)
                check_interrupt()

            estimator.set_params(callbacks=[*trackers, follow])
            try:
                estimator.fit(rows, source.labels, validation_data=source.validation)
            finally:
                if folder.is_published:  # the validation rows may have gone back to better weights
                    folder.write_model(estimator.save)
    except KeyboardInterrupt as interrupt:
        if not folder.is_published:
            raise Interrupted(
                "interrupted before the first epoch of fine-tuning ended; nothing was written."
            ) from interrupt
        raise Interrupted(f"interrupted; {finished(folder, estimator)}.") from interrupt
    except (TypeError, ValueError, FloatingPointError) as error:
        message = _of_options(str(error))
        held = f" {finished(folder, estimator)}." if folder.is_published else ""
        raise type(error)(message + held) from error


def _of_options(message: str) -> str:
    """What is said of parameters, said of what was typed."""
    of_layers = re.match(_OF_A_LAYER, message)
    names = _TYPED_AS if of_layers is None else _TYPED_AS_OF_LAYERS
    own = message if of_layers is None else message[of_layers.end() :]
    return re.sub(r"`(\w+)`", lambda name: f"`{names.get(name[1], name[1])}`", own)


def _filters(estimator: Any) -> Any:
    """The weight next to the input as fine-tuning left it, one unit a row."""
    model = estimator.classifier_.autoencoder
    while hasattr(model, "layers"):
        model = model.layers[0]
    return model.weight


def _print_errors(estimator: Any, source: LabeledSource) -> None:
    """Print what the validation rows say, and what the test rows do: it is here that these are looked at."""
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        record = estimator.history_[best - 1]
        rate, log_loss = record.validation_error_rate, record.validation_log_loss
        n_rows = 0 if source.validation is None else len(source.validation[1])
        of_rows = f"{n_rows:,} rows of {source.title}" if n_rows else f"held-out rows of {source.title}"
        typer.echo(f"validation {Measured(rate, log_loss, n_rows)} ({of_rows}, epoch {best} of {estimator.n_epochs_})")
    if source.test is not None:
        rows, labels = source.test
        measured = measure(estimator, rows, labels, name=source.title)
        typer.echo(f"test {measured} ({measured.n_rows:,} rows of {source.title})")
