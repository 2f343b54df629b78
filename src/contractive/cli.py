"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .presets import PRESETS

if TYPE_CHECKING:
    import numpy as np

    from .estimators import ContractiveAutoencoder
    from .runs import RunFolder
    from .sources import RowSource
    from .training import EpochRecord, Progress

app = typer.Typer(
    name="contractive",
    help="Features that ignore noise: train contractive auto-encoders and use what they learned.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130
_WRONG_INPUT = 2
_UsageError: type[Any] = typer.BadParameter.__mro__[1]  # click's, which newer versions of typer carry inside themselves


class _Interrupted(Exception):
    """Ctrl-C with something to say; typer swallows the message of a `KeyboardInterrupt`."""


class Activation(StrEnum):
    """Names of hidden nonlinearities; kept equal to `activations.ACTIVATIONS` by a test."""

    sigmoid = "sigmoid"
    tanh = "tanh"
    relu = "relu"
    softplus = "softplus"
    gelu = "gelu"
    linear = "linear"


class LossName(StrEnum):
    """Names of reconstruction errors; kept equal to `losses.LOSSES` by a test."""

    squared_error = "squared_error"
    cross_entropy = "cross_entropy"


class OptimizerName(StrEnum):
    """Names of optimisers; kept equal to `training.OPTIMIZERS` by a test."""

    sgd = "sgd"
    momentum = "momentum"
    adam = "adam"


class Engine(StrEnum):
    """Names of engines; kept equal to `training.ENGINES` by a test."""

    auto = "auto"
    jax = "jax"
    native = "native"


class Preset(StrEnum):
    """Names of settings; kept equal to `presets.PRESETS` by a test."""

    tutorial = "tutorial"


Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A data set by name (see `datasets`) or a .npy or .npz file.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a model file.")]
ArrayName = Annotated[str | None, typer.Option("--array", help="Which array of a .npz file that holds several.")]


def main() -> None:
    """Run the command line; every wrong input ends in one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *rest: _complain(str(message))
    try:
        code = app(prog_name="contractive", standalone_mode=False)
        if code == _INTERRUPTED:
            _complain("interrupted.")
        sys.exit(code)
    except _Interrupted as interrupt:
        _complain(str(interrupt))
        sys.exit(_INTERRUPTED)
    except _UsageError as error:  # type: ignore[misc]
        _complain(f"{' '.join(error.format_message().split())} Try --help.")
        sys.exit(_WRONG_INPUT)
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError) as error:
        _complain(_one_line(error))
        sys.exit(_WRONG_INPUT)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"contractive {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(_WRONG_INPUT)


@app.command()
def train(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    preset: Annotated[Preset | None, typer.Option(help="Settings to start from; other options change them.")] = None,
    max_epochs: Annotated[int, typer.Option("--epochs", help="How often to go through the data.")] = 50,
    random_state: Annotated[int, typer.Option("--seed", help="Seed of the first weight and of the order of rows.")] = 0,
    n_components: Annotated[int, typer.Option("--components", help="Units of the code.")] = 100,
    contraction: Annotated[
        float, typer.Option(help="Contraction coefficient lambda >= 0; 0 is a plain auto-encoder.")
    ] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Coefficient of the sum of squared weights.")] = 0.0,
    activation: Annotated[Activation, typer.Option(help="Hidden nonlinearity.")] = Activation.sigmoid,
    loss: Annotated[
        LossName, typer.Option(help="Reconstruction error; cross_entropy wants data in [0, 1].")
    ] = LossName.squared_error,
    tied_weights: Annotated[
        bool, typer.Option("--tied/--untied", help="Decode with the transposed weight, or with its own.")
    ] = True,
    optimizer: Annotated[OptimizerName, typer.Option(help="How the weights are updated.")] = OptimizerName.adam,
    learning_rate: Annotated[float, typer.Option(help="Step size.")] = 1e-3,
    batch_size: Annotated[str, typer.Option(help="Rows a minibatch, or auto: 128 or all rows.")] = "auto",
    shuffle: Annotated[
        bool, typer.Option("--shuffle/--no-shuffle", help="Give each epoch an order of its own.")
    ] = True,
    uint8_scale: Annotated[float, typer.Option(help="What uint8 data is divided by.")] = 256,
    engine: Annotated[
        Engine, typer.Option(help="What trains; native is for plain SGD on small batches.")
    ] = Engine.auto,
    image_shape: Annotated[
        str | None, typer.Option(metavar="HxW", help="Picture size for filters.png; guessed when square.")
    ] = None,
    array: ArrayName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older run folder of that name.")] = False,
) -> None:
    """Train a contractive auto-encoder and write a run folder.

    The folder holds model.safetensors, config.json, history.jsonl (a line an epoch), curves.png and filters.png.
    """
    from .estimators import ContractiveAutoencoder
    from .runs import RunFolder
    from .sources import open_rows

    source = open_rows(data, array=array)
    estimator = ContractiveAutoencoder(**_parameters(context, preset))
    shape = _image_shape(image_shape, source)
    with _deferred_interrupt() as check_interrupt:  # from the first file on, so that none is left behind
        folder = RunFolder(out, overwrite=overwrite)
        try:
            folder.write_config(_config(source, estimator, preset))
            _fit_into(folder, estimator, source, check_interrupt)
            curves = estimator.loss_curve_, estimator.jacobian_norm_curve_
            folder.write_pictures(estimator.components_, shape, curves)
        finally:
            folder.discard()
    typer.echo(f"wrote {folder.path}: model.safetensors, config.json, history.jsonl, curves.png, filters.png")


@app.command()
def encode(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npy file to make.")],
    array: ArrayName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file of that name.")] = False,
) -> None:
    """Write the codes of the rows of DATA as a .npy file of shape (rows, components)."""
    from ._files import write_atomically

    if out.suffix != ".npy":
        raise ValueError(f"`--out` must end in .npy; got {str(out)!r}.")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{str(out)!r} exists; choose another --out or pass --overwrite to replace it.")
    estimator, source = _open(run, data, array)
    import numpy as np

    codes = estimator.transform(source.rows)
    write_atomically(out, lambda stream: np.save(stream, codes, allow_pickle=False))
    typer.echo(f"wrote {out}: {codes.shape[0]} rows of {codes.shape[1]} {codes.dtype} components")


@app.command()
def inspect(
    run: Run,
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="Measure the model on these rows.")] = None,
    array: ArrayName = None,
) -> None:
    """Print what a model is, how its training went and, given DATA, what it does there."""
    from .estimators import load
    from .runs import model_path

    estimator = load(model_path(run))
    last = estimator.history_[-1]
    facts: dict[str, Any] = {
        "features": estimator.n_features_in_,
        **{name: value for name, value in estimator.get_params().items() if name != "callbacks"},
        "trained by": estimator.engine_,
        "epochs": estimator.n_epochs_,
        "last reconstruction error": f"{last.reconstruction_error:.4f}",
        "last Jacobian norm": f"{last.jacobian_norm:.4f}",
        "seconds of training": f"{sum(record.seconds for record in estimator.history_):.1f}",
    }
    if data is not None:
        estimator, source = _open(run, data, array)
        facts[f"rows of {source.name}"] = len(source.rows)
        facts["reconstruction error there"] = f"{-estimator.score(source.rows):.4f}"
        facts["Jacobian norm there"] = f"{estimator.contraction_norm(source.rows).mean():.4f}"
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value}")


@app.command()
def datasets() -> None:
    """List the data sets that the other commands know by name."""
    from .datasets import DATASETS

    width = max(map(len, DATASETS))
    for info in DATASETS.values():
        typer.echo(f"{info.name:<{width}}  {info.summary}")


_ESTIMATOR_OPTIONS = frozenset(
    "max_epochs random_state n_components contraction weight_decay activation loss tied_weights optimizer "
    "learning_rate batch_size shuffle uint8_scale engine".split()
)


def _open(run: Path, data: str, array: str | None) -> tuple[ContractiveAutoencoder, RowSource]:
    """The model of a run and the rows of a data set."""
    from .estimators import load
    from .runs import model_path
    from .sources import open_rows

    return load(model_path(run)), open_rows(data, array=array)


def _fit_into(
    folder: RunFolder, estimator: ContractiveAutoencoder, source: RowSource, check_interrupt: Callable[[], None]
) -> None:
    """Train, show how it goes, and write down each finished epoch.

    Raises:
        _Interrupted: after Ctrl-C, with what the folder holds.
    """
    from .training import EpochRecord

    n_rows = source.rows.shape[0] if source.rows.ndim else 0
    try:
        with _display(estimator.max_epochs, n_rows) as show:

            def follow(estimator: ContractiveAutoencoder, event: Progress | EpochRecord) -> None:
                if isinstance(event, EpochRecord):
                    folder.finish_epoch(event._asdict(), estimator.save)
                show(event)
                check_interrupt()

            estimator.set_params(callbacks=[follow]).fit(source.rows)
    except KeyboardInterrupt as interrupt:
        if not folder.is_published:
            raise _Interrupted("interrupted before the first epoch ended; nothing was written.") from interrupt
        finished = estimator.n_epochs_
        raise _Interrupted(
            f"interrupted; {folder.path} holds the {finished} finished epoch{'s' * (finished != 1)}."
        ) from interrupt


def _parameters(context: typer.Context, preset: Preset | None) -> dict[str, Any]:
    """The estimator's parameters: what was typed, else the preset's, else the default."""
    parameters: dict[str, Any] = {
        name: value.value if isinstance(value, StrEnum) else value
        for name, value in context.params.items()
        if name in _ESTIMATOR_OPTIONS
    }
    if parameters["batch_size"] != "auto":
        parameters["batch_size"] = _whole_number("--batch-size", parameters["batch_size"])
    if preset is not None:
        parameters |= {name: value for name, value in PRESETS[preset].items() if not _was_typed(context, name)}
    return parameters


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _whole_number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"`{option}` must be a whole number >= 1 or 'auto'; got {text!r}.") from None


def _image_shape(text: str | None, source: RowSource) -> tuple[int, int]:
    """Height and width of one filter's picture: as typed, as known, square when that fits, else one line."""
    features = source.rows.shape[-1] if source.rows.ndim else 0
    if text is None:
        side = round(features**0.5)
        return source.image_shape or ((side, side) if side * side == features else (1, features))
    sizes = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if sizes is None or int(sizes[1]) * int(sizes[2]) != features:
        raise ValueError(f"`--image-shape` must be HxW with H * W = {features} features; got {text!r}.")
    return int(sizes[1]), int(sizes[2])


def _config(source: RowSource, estimator: ContractiveAutoencoder, preset: Preset | None) -> dict[str, Any]:
    """What is needed to run the same job again, and with what it ran."""
    from importlib.metadata import version

    rows: np.ndarray = source.rows
    parameters = {name: value for name, value in estimator.get_params().items() if name != "callbacks"}
    return {
        "contractive": __version__,
        "data": {"name": source.name, "shape": rows.shape, "dtype": str(rows.dtype)},
        "preset": preset and preset.value,
        "model": type(estimator).__name__,
        "parameters": parameters,
        "versions": {name: version(name) for name in ("jax", "equinox", "optax", "numpy", "scikit-learn")},
    }


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C as a request that is answered where the yielded function is called.

    Raised wherever Python happens to be inside JAX, a `KeyboardInterrupt` can be lost or end in a crash.
    """
    requests: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: requests.append(number))

    def check() -> None:
        if requests:
            raise KeyboardInterrupt

    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _display(max_epochs: int, n_rows: int) -> Iterator[Callable[[Progress | EpochRecord], None]]:
    """Show events: a progress bar with the time left on a terminal, else a line an epoch."""
    from .training import EpochRecord

    def line(event: Progress | EpochRecord) -> None:
        if isinstance(event, EpochRecord):
            numbers = f"reconstruction error {event.reconstruction_error:.4f}  Jacobian norm {event.jacobian_norm:.4f}"
            speed = f"{event.seconds:.2f} s  {event.rows_per_second:,.0f} rows/s"
            typer.echo(f"epoch {event.epoch}/{max_epochs}  {numbers}  {speed}")

    if not sys.stdout.isatty():
        yield line
        return
    import rich.progress
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    # Narrow enough for 80 columns: the bar gives way, the numbers and the time left do not.
    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(8), TextColumn("{task.description}"))
    with rich.progress.Progress(*columns, TimeRemainingColumn(compact=True), TextColumn("left")) as bar:
        task = bar.add_task("compiling", total=max_epochs * n_rows, epoch=f"1/{max_epochs}")

        def move(event: Progress | EpochRecord) -> None:
            done = (event.epoch - 1) * n_rows + (n_rows if isinstance(event, EpochRecord) else event.rows)
            seconds = bar.tasks[task].elapsed
            speed = f"  {done / seconds:,.0f} rows/s" if seconds else ""
            numbers = f"error {event.reconstruction_error:.4f}  |J| {event.jacobian_norm:.4f}{speed}"
            bar.update(task, completed=done, description=numbers, epoch=f"{event.epoch}/{max_epochs}")

        yield move


def _one_line(error: BaseException) -> str:
    """The message of an error on one line; the system's errors without their number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename!r}: {error.strerror}." if error.filename else f"{error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _complain(message: str) -> None:
    typer.echo(f"contractive: {message}", err=True)
