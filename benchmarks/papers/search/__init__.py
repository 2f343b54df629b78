"""The search for settings: candidates are trained on training rows, judged by validation rows, and all recorded.

`python -m benchmarks.papers.search TABLE` at the root of the checkout runs the candidates of `candidates.py` that have
no line yet in `results/TABLE.jsonl`, and prints the best line of each row. Test rows are sealed all along.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..data import load_data
from ..rows import Row, Table, changed, shrunk
from ..store import digest, provenance
from ..trial import Trial

__all__ = ["FORMAT", "RESULTS", "VERSION", "Candidate", "Line", "best_lines", "is_taken_from", "read_lines", "search"]

FORMAT = "contractive.papers.search"
VERSION = 1
RESULTS = Path(__file__).parent / "results"


class Candidate(NamedTuple):
    """A row of a table with some of its settings changed, as `rows.changed` takes them."""

    row: str
    changes: Mapping[str, Any]


class Line(NamedTuple):
    """One candidate's line of a file, and its number there, counted from 1."""

    number: int
    record: dict[str, Any]

    @property
    def score(self) -> tuple[float, ...]:
        """What is least for the best: the validation error, then the log loss; or minus the log-likelihood."""
        validation = self.record["validation"]
        if "error" in validation:
            return validation["error"], validation.get("log_loss", 0.0)
        return (-validation["log_likelihood"],)


def search(
    table: Table,
    candidates: Iterable[Candidate],
    folder: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    say: Callable[[str], None],
) -> None:
    """Train every candidate that has no line yet, and write its line the moment it is done.

    Args:
        table: the table.
        candidates: what is tried.
        folder: where `<table>.jsonl` is.
        seed: seed of all that is random.
        quick: whether a few hundred rows and tiny models are enough.
        say: is told a line a candidate.

    Raises:
        ValueError: if the file is of another version or table.
        KeyError: if a candidate names a row or a setting that is not there.
    """
    path = folder / f"{table.name}.jsonl"
    known = {(line.record["digest"], line.record["seed"]) for line in _opened(path, table.name)}
    for candidate in candidates:
        row = table.row(candidate.row)
        settings = changed(row.settings, candidate.changes)
        settings.pop("refit", None)  # the validation rows are to judge by
        settings = shrunk(settings) if quick else settings
        own = digest(table.name, row, settings)
        if (own, seed) in known:
            continue
        known.add((own, seed))
        record = _judged(row, settings, seed, quick, folder)
        record = {"row": row.key, "digest": own, "seed": seed, "changes": dict(candidate.changes), **record}
        with path.open("a") as stream:
            stream.write(json.dumps({**record, "settings": settings, **provenance()}, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        found = f"{record['validation']} ({record['seconds']['wall']:.0f} s)"
        say(f"{table.name} {row.key} {dict(candidate.changes)}: {found}")


def _judged(row: Row, settings: Mapping[str, Any], seed: int, quick: bool, folder: Path) -> dict[str, Any]:
    """Fit on training rows, measure on validation rows; the test rows are sealed."""
    began = time.perf_counter()
    train, valid, _ = load_data(row.data, quick=quick, searching=True)
    trial = Trial(row.data, train, valid, settings, seed, cache=folder / "representations" if quick else None)
    fitted = row.fit(trial)
    validation = fitted.measure(valid)
    seconds = trial.seconds | {"wall": time.perf_counter() - began}
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    return {"validation": validation, "facts": fitted.facts, "seconds": rounded}


def read_lines(path: Path, table: str) -> list[Line]:
    """The candidates' lines of a file; none where there is no file. A last line that was cut short does not count.

    Raises:
        ValueError: if the file is of another version or table, or a line is none.
    """
    if not path.exists():
        return []
    header, *lines = path.read_text().split("\n")
    try:
        facts = json.loads(header)
        found = facts["format"], facts["version"], facts["table"]
        if found == (FORMAT, VERSION, table):
            return [Line(number, json.loads(line)) for number, line in enumerate(lines[:-1], 2)]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} must be a search of {table}; it is altered or foreign ({error}). Move it away."
        ) from error
    raise ValueError(
        f"{str(path)!r} must be of {FORMAT} version {VERSION}, table {table}; got {found[0]} version {found[1]}, "
        f"table {found[2]}. Move it away to search anew."
    )


def best_lines(lines: Iterable[Line]) -> dict[str, Line]:
    """The best line of each row."""
    best: dict[str, Line] = {}
    for line in lines:
        row = line.record["row"]
        if row not in best or line.score < best[row].score:
            best[row] = line
    return best


def is_taken_from(settings: Mapping[str, Any], line: Line) -> bool:
    """Whether frozen settings are those of a line, as far as both have them; a refit brings epochs of its own."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    searched = changed(line.record["settings"], {})
    if plain.get("refit"):
        for one in (plain, searched):
            one["classifier"].pop("max_epochs")
    names = (plain.keys() & searched.keys()) - {"refit"}
    return bool(names) and all(plain[name] == searched[name] for name in names)


def _opened(path: Path, table: str) -> list[Line]:
    """The lines that are there, the file made or a torn last line taken away."""
    lines = read_lines(path, table)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, "version": VERSION, "table": table}) + "\n")
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    return lines
