"""The page of all tables, made of the results and of nothing else: the same files give the same bytes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from contractive._files import write_atomically

from .data import title
from .rows import Number, Row, Table
from .runs import final_settings
from .store import read_results

__all__ = ["Spread", "page", "spread", "table_lines", "write_page"]

_HEAD = """\
# The papers' numbers, and ours

Written by `contractive reproduce` from the JSON files in `results/`; do not edit. *Ours* is the mean over the seeds ±
the standard deviation (n - 1), with the number of seeds in brackets; *gap* is ours less the published value: of an
error, less than 0 is better than published. A miss stays here with its gap; a dash is a run that has not been made, or
a number that no paper gives. Data named *regenerated* are made anew by this package after the papers' description, as
the original files are not at hand: compare the order of the models there, not the last digit.

**How the settings were chosen.** By a recorded search, on training and validation rows only:
`search/results/TABLE.jsonl` has a line for each candidate. What trains gets a `Trial` (`trial.py`), which holds no test
rows; these are inside a `HeldOut` (`data.py`), which is sealed during a search, and which the final run reads once,
after training (`run_job` in `runs.py`): a second time is an error. Each table's module holds the frozen settings and
names the line that they were taken from.

**Hours** are those of the runs one after the other, on one or two cores of a machine that was shared. A pretrained
representation that several runs share counts in the first of them, or in none where the search had made it.
"""
_QUICK_HEAD = """\
# A quick run

Every path through the code with a few hundred rows and tiny models: these numbers say nothing of the models.
"""


class Spread(NamedTuple):
    """A number over the seeds."""

    mean: float
    deviation: float | None
    n_seeds: int


def spread(values: Iterable[float]) -> Spread:
    """Mean, standard deviation with n - 1 (None of one value), and how many there are."""
    values = list(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def write_page(path: Path, tables: Iterable[Table], folder: Path, *, quick: bool = False) -> None:
    """Write the page of the tables' results in a folder.

    Raises:
        ValueError: if a file there is of another version, or no result.
    """
    text = page(tables, folder, quick=quick)
    write_atomically(path, lambda stream: stream.write(text.encode()))


def page(tables: Iterable[Table], folder: Path, *, quick: bool = False) -> str:
    """The page's text."""
    parts = [_QUICK_HEAD if quick else _HEAD]
    parts += ["\n".join(table_lines(table, folder, quick=quick)) + "\n" for table in tables]
    return "\n".join(parts)


def table_lines(table: Table, folder: Path, *, quick: bool = False) -> list[str]:
    """One table: its heading, a line a number, what else a reader must know."""
    lines = [
        f"## {table.name}",
        "",
        f"{table.source}. {table.note}".rstrip(),
        "",
        "| model | data | number | ours: mean ± sd (seeds) | published | gap | command |",
        "|---|---|---|---|---|---|---|",
    ]
    older, seconds = 0, []
    for row in table.rows:
        results, others = read_results(table, row, final_settings(row, quick=quick), folder)
        older += others
        seconds += [result["seconds"]["wall"] for result in results]
        lines += (_line(table, row, number, results, quick) for number in row.numbers)
    if older:
        lines += ["", f"{older} result(s) of other settings are left out: run the command again."]
    if seconds:
        lines += ["", f"{len(seconds)} run(s), {sum(seconds) / 3600:.2f} hours in all."]
    return [*lines, "", *_choices(table)]


def _line(table: Table, row: Row, number: Number, results: list[dict[str, Any]], quick: bool) -> str:
    values = [value for value in map(number.of, results) if value is not None]
    ours, gap = "–", "–"
    published = "–" if number.published is None else format(number.published, number.form)
    if values:
        mean, deviation, n_seeds = spread(values)
        sd = "" if deviation is None else f" ± {deviation:{number.form}}"
        ours = f"{mean:{number.form}}{sd} ({n_seeds})"
        if number.published is not None:
            gap = f"{mean - number.published:+{number.form}}"
    command = f"`contractive reproduce {table.name}{' --quick' if quick else ''}`"
    return f"| {row.model} | {title(row.data)} | {number.metric} | {ours} | {published} | {gap} | {command} |"


def _choices(table: Table) -> Iterator[str]:
    """Where the settings come from."""
    chosen = [f"{row.key} {row.chosen_by}" for row in table.rows if row.chosen_by is not None]
    others = [row.key for row in table.rows if row.chosen_by is None]
    if chosen:
        yield f"Settings by the search (file:line): {', '.join(chosen)}."
    if others:
        yield f"Settings by hand, not searched for: {', '.join(others)}."
