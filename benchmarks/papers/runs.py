"""A table run: job by job, each result written the moment it is there; then, once, its test rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from .data import Data, load_data
from .rows import Row, Table, shrunk
from .store import Job
from .trial import Trial

__all__ = ["Outcome", "final_settings", "jobs_of", "run_jobs"]


class Outcome:
    """How many jobs were run, were done before, and were left out for want of their data."""

    def __init__(self, total: int):
        self.total, self.finished, self.left_out = total, 0, 0


def final_settings(row: Row, *, quick: bool) -> Mapping[str, Any]:
    """What a row runs with: its frozen settings, or the least that takes the same path."""
    return shrunk(row.settings) if quick else row.settings


def jobs_of(
    table: Table, folder: Path, *, seeds: int | None, quick: bool, only: Collection[str] | None = None
) -> list[Job]:
    """A table's jobs: all rows with the first seed, then with the second, and so on.

    Of rows that a quick run would fit in the same way, only the first is among its jobs.

    Args:
        table: the table.
        folder: where the results are.
        seeds: how many; None for each row's own number.
        quick: whether it is a quick run.
        only: keys of the rows that are wanted; None or none for all.
    """
    rows = tuple(row for row in table.rows if not only or row.key in only)
    if quick:
        alike = {json.dumps([row.data, row.fit.__name__, final_settings(row, quick=True)]): row for row in rows[::-1]}
        rows = tuple(row for row in rows if any(row is other for other in alike.values()))
    counts = {row.key: seeds or (1 if quick else row.n_seeds) for row in rows}
    return [
        Job(table, row, seed, final_settings(row, quick=quick), folder)
        for seed in range(max(counts.values()))
        for row in rows
        if seed < counts[row.key]
    ]


def run_jobs(
    jobs: list[Job],
    *,
    quick: bool,
    resume: bool,
    say: Callable[[str], None],
    check: Callable[[], None] = lambda: None,
    finished: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run jobs and write their results.

    Args:
        jobs: what to run.
        quick: whether a few hundred rows are enough.
        resume: whether results that are there, of the same settings, count as done.
        say: is told a line a job.
        check: called now and then while something trains; raises to end it.
        finished: called after each job.

    Raises:
        ValueError: if a result to resume from is of other settings, another version, or none; before anything runs.
    """
    outcome = Outcome(len(jobs))
    pending = [job for job in jobs if not (resume and job.is_done())]
    outcome.finished = len(jobs) - len(pending)
    if resume and outcome.finished:
        say(f"{outcome.finished} of {len(jobs)} jobs were done before")
    for job in pending:
        check()
        try:
            data = load_data(job.row.data, quick=quick)
        except (OSError, ImportError) as error:  # no network, or an extra that is not installed
            say(f"{job}: left out, its data cannot be had ({' '.join(str(error).split())})")
            outcome.left_out += 1
            continue
        result = run_job(job, data, check, job.path.parents[1] / "representations" if quick else None)
        job.write(result)
        outcome.finished += 1
        say(f"{job}: {_summary(job.row, result)} ({result['seconds']['wall']:.1f} s)")
        finished()
    return outcome


def run_job(job: Job, data: Data, check: Callable[[], None], cache: Path | None) -> dict[str, Any]:
    """Fit on training rows, choose by validation rows; at the end, once, measure the test rows."""
    row, began = job.row, time.perf_counter()
    is_refit = bool(job.settings.get("refit", False))
    trial = Trial(
        row.data, data.train, data.valid, job.settings, job.seed, is_refit=is_refit, cache=cache, on_event=check
    )
    fitted = row.fit(trial)
    trained = time.perf_counter()
    validation = None if is_refit else fitted.measure(data.valid)
    test = fitted.measure(data.test.read_once(str(job))) if row.reads_test else None
    seconds = trial.seconds | {"evaluation": time.perf_counter() - trained, "wall": time.perf_counter() - began}
    return {
        "test": test,
        "validation": validation,
        "facts": fitted.facts,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "rows": {"train": len(trial.train.y), "valid": len(data.valid.y), "test": data.test.n_rows},
    }


def _summary(row: Row, result: Mapping[str, Any]) -> str:
    parts = []
    for number in row.numbers:
        value = number.of(result)
        parts.append(f"{number.metric} {'-' if value is None else format(value, number.form)}")
    validation = result["validation"] or {}
    if "error" in validation:
        parts.append(f"validation {validation['error']:.2f}")
    return ", ".join(parts)
