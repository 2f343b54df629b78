"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer

from ._classify import classify
from ._doctor import doctor
from ._encode import encode, score
from ._export import export
from ._inspect import inspect
from ._interrupts import Interrupted, Terminated
from ._predict import predict, sample
from ._report import report
from ._reproduce import reproduce
from ._resume import resume
from ._train import train

__all__ = ["app", "main", "run"]

app: typer.Typer = typer.Typer(
    name="contractive",
    help="Features that ignore noise: train contractive auto-encoders and use what they learned.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED = 130
_TERMINATED = 143
_WRONG_INPUT = 2
_UsageError: type[Any] = typer.BadParameter.__mro__[1]  # click's, which newer versions of typer carry inside themselves


def main() -> None:
    """Run the command line, and leave at once after Ctrl-C: where it met JAX in the middle, its end would crash."""
    # Arrow's own allocator does not give back what large files went through.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        run()
    except SystemExit as leaving:
        if leaving.code not in (_INTERRUPTED, _TERMINATED):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(leaving.code)


def run() -> None:
    """Run the command line; every wrong input ends in one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *rest: _complain(str(message))
    try:
        code = app(prog_name="contractive", standalone_mode=False)
        if code == _INTERRUPTED:
            _complain("interrupted.")
        sys.exit(code)
    except Interrupted as interrupt:
        if str(interrupt):
            _complain(str(interrupt))
        sys.exit(_INTERRUPTED)
    except Terminated as termination:
        if str(termination):
            _complain(str(termination))
        sys.exit(_TERMINATED)
    except _UsageError as error:  # type: ignore[misc]
        _complain(f"{_usage(error)} Try --help.")
        sys.exit(_WRONG_INPUT)
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError, ImportError) as error:
        _complain(_one_line(error))
        sys.exit(_WRONG_INPUT)
    except RuntimeError as error:  # JAX's own kind of `MemoryError`
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise  # pragma: no cover - a fault of ours, to be seen whole
        _complain(f"there is not enough memory: {_one_line(error)}")
        sys.exit(_WRONG_INPUT)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        from .. import __version__

        typer.echo(f"contractive {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(_WRONG_INPUT)


for _command in (train, resume, classify, predict, encode, score, sample, inspect, report, export, reproduce, doctor):
    app.command()(_command)


@app.command()
def datasets() -> None:
    """List the data sets that the other commands know by name."""
    from ..datasets import DATASETS

    width = max(map(len, DATASETS))
    for info in DATASETS.values():
        typer.echo(f"{info.name:<{width}}  {info.summary}")


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
