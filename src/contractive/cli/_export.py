"""`contractive export`: the model of a run for other programs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ._apply import check_out, load_run
from ._options import Overwrite, Part, Run

__all__ = ["export"]


def export(
    run: Run,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="The .onnx file to make.", show_default=False)
    ] = None,
    stablehlo: Annotated[
        Path | None,
        typer.Option(
            "--stablehlo",
            metavar="FILE",
            help="The .stablehlo file to make, for jax.export on CPU and CUDA.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        Part,
        typer.Option(
            metavar="NAME",
            help="all: rows to code, reconstruction and score (of a classifier, code and probabilities); "
            "encoder: rows to code; decoder: codes to reconstruction.",
        ),
    ] = Part.all,
    overwrite: Overwrite = False,
) -> None:
    """Write the model of a run for programs that do not have this one: ONNX, StableHLO, or both.

    Both take any number of rows, as floats in the units of the training data.
    """
    wanted = {"--onnx": onnx, "--stablehlo": stablehlo}
    files = {option: path for option, path in wanted.items() if path is not None}
    if not files:
        raise ValueError("`--onnx` or `--stablehlo` must name a file to make; got neither.")
    for option, path in files.items():
        check_out(path, overwrite, (f".{option[2:]}",), option)
    estimator = load_run(run)
    made = {path: _contents()[option](estimator, part.value) for option, path in files.items()}
    from .._files import atomic_stream

    with ExitStack() as streams:  # at whose end both appear, or neither
        for path, content in made.items():
            streams.enter_context(atomic_stream(path)).write(content)
    for path, content in made.items():
        typer.echo(f"wrote {path}: {len(content) / 1e6:.1f} MB, {part.value} of a {type(estimator).__name__}")


def _contents() -> dict[str, Callable[[Any, str], bytes]]:
    """What makes the content of a file, by option."""
    from ..export import onnx_content, stablehlo_content

    return {"--onnx": onnx_content, "--stablehlo": stablehlo_content}
