"""What a training run shows while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..estimators import TangentProgress
    from ..supervised import FineTuningProgress, FineTuningRecord
    from ..training import EpochRecord, Progress

    TrainingEvent = Progress | EpochRecord | FineTuningProgress | FineTuningRecord
    Event = TrainingEvent | TangentProgress

__all__ = ["display", "display_phases"]


@contextmanager
def display(max_epochs: int, n_rows: int, *, phase: str = "") -> Iterator[Callable[[Event], None]]:
    """Show events: a progress bar with the time left on a terminal, else a line an epoch.

    Args:
        max_epochs: how many epochs there are when nothing ends them early.
        n_rows: rows of an epoch.
        phase: what is trained, where there are several one after the other.
    """
    from ..estimators import TangentProgress
    from ..supervised import FineTuningRecord
    from ..training import EpochRecord

    def line(event: Event) -> None:
        if isinstance(event, EpochRecord | FineTuningRecord):
            words = f"{phase} epoch".strip()
            speed = f"{event.seconds:.2f} s  {event.rows_per_second:,.0f} rows/s"
            typer.echo(f"{words} {event.epoch}/{max_epochs}  {_numbers(event)}  {speed}")

    if not sys.stdout.isatty():
        yield line
        return
    import rich.progress
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    # Narrow enough for 80 columns: the bar gives way, the numbers and the time left do not.
    place = TextColumn(f"{phase or 'epoch'} {{task.fields[epoch]}}")
    columns = (place, BarColumn(8), TextColumn("{task.description}"))
    with rich.progress.Progress(*columns, TimeRemainingColumn(compact=True), TextColumn("left")) as bar:
        task = bar.add_task("compiling", total=max_epochs * n_rows, epoch=f"1/{max_epochs}")

        def move(event: Event) -> None:
            if isinstance(event, TangentProgress):
                bar.update(task, description=f"tangents {event.rows:,}/{event.n_rows:,}", refresh=True)
                return
            is_record = isinstance(event, EpochRecord | FineTuningRecord)
            done = (event.epoch - 1) * n_rows + (n_rows if is_record else event.rows)
            seconds = bar.tasks[task].elapsed
            speed = f"  {done / seconds:,.0f} rows/s" if seconds and not phase else ""
            bar.update(task, completed=done, description=_short(event) + speed, epoch=f"{event.epoch}/{max_epochs}")

        try:
            yield move
        except BaseException:
            bar.live.transient = not bar.tasks[task].completed  # a bar of nothing is not left standing
            raise


@contextmanager
def display_phases(pretraining: tuple[int, int], fine_tuning: tuple[int, int]) -> Iterator[Callable[[Event], None]]:
    """Show the events of pre-training, if there is any, and those of fine-tuning; for both (max_epochs, n_rows).

    Fine-tuning is shown from the end of the last epoch of pre-training on, as it may be long before its first event.
    """
    from ..training import EpochRecord

    with ExitStack() as stack:

        def begin(phase: str, max_epochs: int, n_rows: int) -> Callable[[Event], None]:
            stack.close()
            return stack.enter_context(display(max_epochs, n_rows, phase=phase))

        show = begin("pre-training", *pretraining) if pretraining[0] else begin("fine-tuning", *fine_tuning)

        def follow(event: Event) -> None:
            nonlocal show
            show(event)
            if isinstance(event, EpochRecord) and event.epoch == pretraining[0]:
                show = begin("fine-tuning", *fine_tuning)

        yield follow


def _numbers(event: EpochRecord | FineTuningRecord) -> str:
    """What a finished epoch has to say."""
    from ..training import EpochRecord

    if isinstance(event, EpochRecord):
        numbers = f"reconstruction error {event.reconstruction_error:.4f}  Jacobian norm {event.jacobian_norm:.4f}"
        held_out = None if event.validation_error is None else f"{event.validation_error:.4f}"
    else:
        numbers = f"log-loss {event.log_loss:.4f}  error {100 * event.error_rate:.2f} %"
        rate = event.validation_error_rate
        held_out = None if rate is None else f"{100 * rate:.2f} %"
    return numbers if held_out is None else f"{numbers}  held out {held_out}"


def _short(event: TrainingEvent) -> str:
    """The two numbers that stand beside a bar."""
    from ..training import EpochRecord, Progress

    if isinstance(event, EpochRecord | Progress):
        return f"error {event.reconstruction_error:.4f}  |J| {event.jacobian_norm:.4f}"
    return f"log-loss {event.log_loss:.4f}  error {100 * event.error_rate:.2f} %"
