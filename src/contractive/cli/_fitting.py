"""What `train` and `resume` share: training that writes each epoch and checkpoints down, pictures, the page."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from ._display import display
from ._interrupts import Interrupted, Requests, Terminated, finished
from ._report import REPORT, write_run_report

if TYPE_CHECKING:
    from ..distributed import Group
    from ..runs import Every, RunFolder
    from ..sources import RowSource
    from ..tracking import Tracker
    from ..training import EpochRecord, Progress

__all__ = ["SIGNALS", "Saving", "draw", "entered", "finish", "fit_into", "make_trackers"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what comes before a machine is taken away."""

_DEFAULT_EVERY = "10m"


class Saving(NamedTuple):
    """How a run is saved.

    Args:
        every: how often a checkpoint is written.
        keep: how many stay.
        was_asked_for: whether it was typed, so that the last epoch has one, too.
    """

    every: Every
    keep: int
    was_asked_for: bool

    @classmethod
    def read(cls, every: str | None, keep: int) -> Saving:
        """What was typed.

        Raises:
            ValueError: if `every` is no interval.
        """
        from ..runs import Every

        return cls(Every.read(_DEFAULT_EVERY if every is None else every), keep, every not in (None, "never"))


def fit_into(
    folder: RunFolder,
    estimator: Any,
    source: RowSource,
    requests: Requests,
    saving: Saving,
    group: Group | None = None,
    trackers: Sequence[Tracker] = (),
) -> None:
    """Train, show how it goes, and write down each finished epoch, and checkpoints.

    Args:
        folder: of the run.
        estimator: what is trained.
        source: the rows.
        requests: signals that have come.
        saving: how the run is saved.
        group: the processes that train together, of which this is the one that writes, or None.
        trackers: hear what happens, too.

    Raises:
        Interrupted: after Ctrl-C, with what the folder holds.
        Terminated: after SIGTERM, with a checkpoint.
    """
    from ..estimators import snapshot
    from ..runs import Checkpoints
    from ..training import EpochRecord

    n_rows = source.rows.shape[0] if source.rows.ndim else 0
    total = _total_epochs(estimator)
    checkpoints = Checkpoints(
        folder, every=saving.every, keep=saving.keep, complain=lambda line: typer.echo(f"contractive: {line}", err=True)
    )
    try:
        with display(total, n_rows) as show, entered(trackers):

            def follow(estimator: Any, event: Progress | EpochRecord) -> None:
                n_epochs = len(estimator.history_)
                requests.look(group)
                if isinstance(event, EpochRecord):
                    folder.finish_epoch(event._asdict(), estimator.save)
                is_last = n_epochs == total and (saving.was_asked_for or checkpoints.any_written)
                ends = requests.to_terminate or (requests.any and folder.is_published)
                if ends or checkpoints.is_due(n_epochs) or (is_last and isinstance(event, EpochRecord)):
                    checkpoints.write(*snapshot(estimator), n_epochs)
                show(event)
                requests.check()

            estimator.set_params(callbacks=[*trackers, follow]).fit(source.rows)
        folder.write_model(estimator.save)  # early stopping may have gone back to better weights
    except KeyboardInterrupt as interrupt:
        checkpoints.close()
        if not folder.is_published:
            raise Interrupted("interrupted before the first epoch ended; nothing was written.") from interrupt
        said = f"{finished(folder, estimator)}; go on with `contractive resume {folder.path}`."
        if requests.to_terminate:
            raise Terminated(f"terminated; {said}") from interrupt
        raise Interrupted(f"interrupted; {said}") from interrupt
    except (TypeError, ValueError, FloatingPointError, OSError) as error:
        if not folder.is_published:
            raise
        held = finished(folder, estimator)
        if isinstance(error, OSError):
            place = f"{error.filename!r}: " if error.filename else ""
            raise OSError(f"{place}{error.strerror or error}. {held}.") from error
        raise type(error)(f"{error} {held}.") from error
    finally:
        checkpoints.close()


def make_trackers(
    tensorboard: Path | None, mlflow: str | None, image_shape: tuple[int, ...] | None, name: str
) -> list[Tracker]:
    """What hears of a training besides its run folder; nothing is written yet.

    Args:
        tensorboard: the folder of event files, or None.
        mlflow: the server, or None.
        image_shape: of a filter's picture, or None.
        name: of the run.

    Raises:
        ImportError: if a package is missing.
    """
    if tensorboard is None and mlflow is None:
        return []
    from ..tracking import MLflowCallback, TensorBoardCallback

    made: list[Tracker] = []
    if tensorboard is not None:
        made.append(TensorBoardCallback(tensorboard, image_shape=image_shape))
    if mlflow is not None:
        made.append(MLflowCallback(mlflow, run_name=name, image_shape=image_shape))
    return made


@contextmanager
def entered(trackers: Sequence[Tracker]) -> Iterator[None]:
    """The block in which trackers are used: they are told how it ends."""
    with ExitStack() as stack:
        for tracker in trackers:
            stack.enter_context(tracker)
        yield


def draw(folder: RunFolder, estimator: Any, shape: tuple[int, ...] | None) -> None:
    """Draw the filters and the curves."""
    curves = estimator.loss_curve_, estimator.jacobian_norm_curve_, estimator.validation_loss_curve_
    folder.write_pictures(estimator.components_, shape, curves)


def finish(
    folder: RunFolder,
    estimator: Any,
    source: RowSource,
    job: Mapping[str, Any],
    image_shape: str | None,
    *,
    report: bool,
) -> None:
    """Write the page if it is wanted, of finished files, so that what ends it takes nothing away; say what there is.

    Raises:
        OSError, TypeError, ValueError: if the page cannot be written; the message says that the rest is there.
    """
    if report:
        path = folder.path / REPORT
        try:
            write_run_report(path, estimator, source, run=folder.path, config=job, image_shape=image_shape)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} {folder.path} holds all but {REPORT}.") from error
        except OSError as error:
            raise OSError(f"{str(path)!r}: {error.strerror or error}. {folder.path} holds all but {REPORT}.") from error
    written = "model.safetensors, config.json, history.jsonl, curves.png, filters.png"
    typer.echo(f"wrote {folder.path}: {written}{f', {REPORT}' if report else ''}")


def _total_epochs(estimator: Any) -> int:
    """Epochs that training takes when nothing ends it early; what is no number counts as none, until `fit` says so."""
    layers = getattr(estimator, "layers", None)
    own = estimator.max_epochs if layers is None else estimator.joint_epochs
    return (own if isinstance(own, int) else 0) + sum(map(_total_epochs, layers or ()))
