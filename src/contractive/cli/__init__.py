"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ._options import ArrayName, Data, Run
from ._reproduce import reproduce
from ._train import Interrupted, train

if TYPE_CHECKING:
    from ..sources import RowSource

__all__ = ["app", "main"]

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


def main() -> None:
    """Run the command line; every wrong input ends in one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *rest: _complain(str(message))
    try:
        code = app(prog_name="contractive", standalone_mode=False)
        if code == _INTERRUPTED:
            _complain("interrupted.")
        sys.exit(code)
    except Interrupted as interrupt:
        _complain(str(interrupt))
        sys.exit(_INTERRUPTED)
    except _UsageError as error:  # type: ignore[misc]
        _complain(f"{_usage(error)} Try --help.")
        sys.exit(_WRONG_INPUT)
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError) as error:
        _complain(_one_line(error))
        sys.exit(_WRONG_INPUT)
    except RuntimeError as error:  # JAX's own kind of `MemoryError`
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _complain(f"there is not enough memory: {_one_line(error)}")
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


app.command()(train)
app.command()(reproduce)


@app.command()
def encode(
    run: Run,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .npy file to make.")],
    array: ArrayName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file of that name.")] = False,
) -> None:
    """Write the codes of the rows of DATA as a .npy file of shape (rows, components)."""
    from .._files import write_atomically

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
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Measure the model on these rows.")] = None,
    array: ArrayName = None,
) -> None:
    """Print what a model is, how its training went and, given DATA, what it does there."""
    from ..estimators import load
    from ..runs import model_path

    estimator = load(model_path(run))
    last = estimator.history_[-1]
    facts: dict[str, Any] = {
        "model": type(estimator).__name__,
        "features": estimator.n_features_in_,
        **_parameters(estimator),
        "trained by": estimator.engine_,
        "epochs": estimator.n_epochs_,
        "last reconstruction error": f"{last.reconstruction_error:.4f}",
        "last Jacobian norm": f"{last.jacobian_norm:.4f}",
        "seconds of training": f"{sum(record.seconds for record in estimator.history_):.1f}",
    }
    best = vars(estimator).get("best_epoch_")
    if best is not None:
        facts["weights of epoch"] = best
        facts["error of held-out rows there"] = f"{estimator.history_[best - 1].validation_error:.4f}"
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
    from ..datasets import DATASETS

    width = max(map(len, DATASETS))
    for info in DATASETS.values():
        typer.echo(f"{info.name:<{width}}  {info.summary}")


def _parameters(estimator: Any) -> dict[str, Any]:
    """An estimator's parameters as a person reads them, those of a stack's layers with its place."""
    from ..estimators import plain_parameters

    parameters = plain_parameters(estimator, callables=True)
    if "layers" not in parameters:
        return parameters
    del parameters["layers"]
    layers = (
        (f"layer {number} {name}", value)
        for number, layer in enumerate(estimator.layers_, 1)
        for name, value in {"model": type(layer).__name__, **_parameters(layer)}.items()
    )
    return {**parameters, **dict(layers)}


def _open(run: Path, data: str, array: str | None) -> tuple[Any, RowSource]:
    """The model of a run and the rows of a data set."""
    from ..estimators import load
    from ..runs import model_path
    from ..sources import open_rows

    return load(model_path(run)), open_rows(data, array=array)


def _one_line(error: BaseException) -> str:
    """The message of an error on one line; the system's errors without their number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename!r}: {error.strerror}." if error.filename else f"{error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _usage(error: Any) -> str:
    """What typer says of a wrong call, with the value, which its newer versions leave to what caused the error."""
    words = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    causes = error.__cause__.errors() if hasattr(error.__cause__, "errors") else ()
    values = [repr(cause.get("input"))[:120] for cause in causes]
    words += "".join(f"; got {value}" for value in values if value not in words)
    return words if words.endswith("?") else f"{words}."


def _complain(message: str) -> None:
    typer.echo(f"contractive: {message}", err=True)
