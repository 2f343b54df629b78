"""What a training run shows while it goes on, and Ctrl-C as a request that is answered between chunks."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..training import EpochRecord, Progress

__all__ = ["deferred_interrupt", "display"]


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
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
def display(max_epochs: int, n_rows: int) -> Iterator[Callable[[Progress | EpochRecord], None]]:
    """Show events: a progress bar with the time left on a terminal, else a line an epoch."""
    from ..training import EpochRecord

    def line(event: Progress | EpochRecord) -> None:
        if isinstance(event, EpochRecord):
            numbers = f"reconstruction error {event.reconstruction_error:.4f}  Jacobian norm {event.jacobian_norm:.4f}"
            if event.validation_error is not None:
                numbers += f"  held out {event.validation_error:.4f}"
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

        try:
            yield move
        except BaseException:
            bar.live.transient = not bar.tasks[task].completed  # a bar of nothing is not left standing
            raise
