"""`contractive resume`: a training that was stopped goes on from its last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._data import in_memory, read_size
from ._fitting import SIGNALS, Saving, draw, finish, fit_into, make_trackers
from ._interrupts import deferred_requests
from ._options import (
    CheckpointEvery,
    Coordinator,
    Distributed,
    KeepCheckpoints,
    MemorySize,
    MLflowServer,
    Processes,
    ProcessId,
    ReadAheadWindows,
    TensorBoardFolder,
)
from ._report import CONFIG, run_source
from ._settings import read_named
from ._together import fit_along, joined
from ._typed import image_shape as read_image_shape

if TYPE_CHECKING:
    from ..sources import RowSource

__all__ = ["resume"]


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    max_epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Go on to this epoch instead of the run's own last.", show_default=False),
    ] = None,
    checkpoint_every: CheckpointEvery = None,
    keep_checkpoints: KeepCheckpoints = 3,
    read_ahead: ReadAheadWindows = 1,
    memory: MemorySize = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    tensorboard: TensorBoardFolder = None,
    mlflow: MLflowServer = None,
) -> None:
    """Go on with a training from the last checkpoint of its run folder, to the bits of one that was never stopped.

    A damaged checkpoint is said, and the one before it taken.
    """
    from ..runs import RunFolder

    saving = Saving.read(checkpoint_every, keep_checkpoints)
    if not (run / CONFIG).is_file():
        raise FileNotFoundError(f"{str(run)!r} must be a run folder with {CONFIG}; it is none.")
    job = read_named(run / CONFIG)
    known = job.get("data")
    about: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    if distributed and not about.get("streamed"):
        raise ValueError(f"`--distributed` must not be given for {str(run)!r}, whose rows were all in memory; got it.")
    place = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    group = joined(run, distributed=distributed, **place)  # before the checkpoint is read, as that is JAX's already
    with group or nullcontext():
        estimator = _last_checkpoint(run)
        if max_epochs is not None:
            _set_epochs(estimator, max_epochs, run)
        source = run_source(run, job, remedy="Put it back to go on.")
        _check_same(run, source, about)
        source = in_memory(source, estimator, read_size("--memory", memory), bool(about.get("streamed")), read_ahead)
        shown = None if job.get("image_shape") is None else str(job["image_shape"])
        shape = read_image_shape(shown, source.n_features, source.image_shape)
        trackers = make_trackers(tensorboard, mlflow, shape, run.resolve().name)
        with deferred_requests(*SIGNALS) as requests:
            if group is not None and not group.writes:
                return fit_along(estimator, source, requests, group)
            typer.echo(f"{run}: on from epoch {len(estimator.history_) + 1}")
            folder = RunFolder(run, going_on=[record._asdict() for record in estimator.history_])
            if max_epochs is not None:
                job = {**job, "parameters": {**job["parameters"], "max_epochs": max_epochs}}
                folder.write_config(job)
            fit_into(folder, estimator, source, requests, saving, group, trackers)
            draw(folder, estimator, shape)
    return finish(folder, estimator, source, job, shown, report=report)


def _set_epochs(estimator: Any, max_epochs: int, run: Path) -> None:
    """Let a training end at another epoch.

    Raises:
        ValueError: if it is past it, or has several ends.
    """
    if "max_epochs" not in estimator.get_params(deep=False):
        raise ValueError(f"`--epochs` must not be given for a stack; got {max_epochs}.")
    done = len(estimator.history_)
    if max_epochs < done:
        raise ValueError(f"`--epochs` must be at least the {done} that are finished in {str(run)!r}; got {max_epochs}.")
    estimator.set_params(max_epochs=max_epochs)


def _last_checkpoint(run: Path) -> Any:
    """The training of the newest checkpoint that is whole.

    Raises:
        ValueError: if there is none.
    """
    from ..estimators import load_checkpoint
    from ..runs import checkpoint_paths

    for path in checkpoint_paths(run):
        try:
            return load_checkpoint(path)
        except (OSError, ValueError) as error:
            typer.echo(f"contractive: {' '.join(str(error).split())} The one before it is tried.", err=True)
    raise ValueError(
        f"{str(run)!r} must hold a whole checkpoint to go on from; it holds none. Train with --checkpoint-every."
    )


def _check_same(run: Path, source: RowSource, about: Mapping[str, Any]) -> None:
    """Refuse data of another shape or dtype than what training began with.

    Raises:
        ValueError: if it is.
    """
    for what, then, now in (
        ("shape", about.get("shape"), list(source.rows.shape)),
        ("dtype", about.get("dtype"), str(source.rows.dtype)),
    ):
        if then != now:
            raise ValueError(f"{source.name!r} must be of {what} {then}, as when {str(run)!r} began; got {now}.")
