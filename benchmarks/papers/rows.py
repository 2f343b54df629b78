"""What a table is made of: rows with their frozen settings, how they are fitted, their numbers beside the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .data import Split
    from .trial import Trial

__all__ = ["Fitted", "Number", "Row", "Table", "changed", "shrunk", "test_error"]

Settings = Mapping[str, Any]

# What `--quick` makes of a setting: the least that still takes the same path through the code.
_QUICK_LIMITS = {
    "n_components": 16,
    "max_epochs": 2,
    "batch_size": 50,
    "n_tangents": 3,
    "n_labels": 100,
    "n_chains": 30,
    "n_samples": 30,
    "n_steps": 4,
    "burn_in": 2,
    "thinning": 2,
}


class Fitted(Protocol):
    """What a row's `fit` returns: something that can be measured on rows it has not seen."""

    @property
    def facts(self) -> dict[str, Any]:
        """What does not depend on test rows, by name."""
        ...

    def measure(self, rows: Split) -> dict[str, float]:
        """Numbers on these rows, by name: `error` in per cent, `log_loss` in nats, and the like."""
        ...


@dataclass(frozen=True)
class Number:
    """One number of a row, ours beside the paper's.

    Args:
        metric: how the page calls it, with its unit.
        place: where a result holds it: "test.error" is the entry `error` of its entry `test`, "facts.ratio.0" the
            first of a list.
        published: the paper's value; None where there is none.
        form: the format of the number.
    """

    metric: str
    place: str
    published: float | None = None
    form: str = ".2f"

    def of(self, result: Mapping[str, Any]) -> float | None:
        """The number in a result; None where it has none."""
        value: Any = result
        for part in self.place.split("."):
            if isinstance(value, Mapping):
                value = value.get(part)
            else:
                value = value[int(part)] if isinstance(value, list) else None
        return value


@dataclass(frozen=True)
class Row:
    """One row of a table: a model on a data set.

    Args:
        key: its name in file names, unique in the table.
        model: how the page calls the model.
        data: the data set, a key of `contractive.datasets.DATASETS`.
        fit: trains on the rows of a trial, which holds training and validation rows and no others.
        settings: everything that `fit` needs, as JSON holds it. Frozen: chosen by the search on validation rows.
        numbers: what the page shows.
        chosen_by: the line of a search that the settings are taken from: "icml2011-table1:7" is line 7, counted from
            1, of `search/results/icml2011-table1.jsonl`. None where they were not searched for.
        n_seeds: seeds of a recorded run.
        reads_test: whether the test rows are measured at all; figures are drawn from validation rows.
    """

    key: str
    model: str
    data: str
    fit: Callable[[Trial], Fitted]
    settings: Settings
    numbers: tuple[Number, ...]
    chosen_by: str | None = None
    n_seeds: int = 5
    reads_test: bool = True


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper.

    Args:
        name: as the command line takes it.
        source: the paper, the table, and what it shows.
        rows: its rows, in the order of the page.
        note: what a reader must know beside the numbers.
    """

    name: str
    source: str
    rows: tuple[Row, ...]
    note: str = ""

    def row(self, key: str) -> Row:
        """The row of a key.

        Raises:
            KeyError: if there is none.
        """
        return {row.key: row for row in self.rows}[key]


def test_error(published: float | None) -> tuple[Number, ...]:
    """The one number of most rows."""
    return (Number("test error, %", "test.error", published),)


test_error.__test__ = False  # type: ignore[attr-defined]  # no test, whatever its name tells pytest


def changed(settings: Settings, changes: Settings) -> dict[str, Any]:
    """Settings with some values replaced: "classifier.learning_rate", "layers.0.contraction", "layers.*.max_epochs".

    Raises:
        KeyError: if a name leads nowhere; a new name is allowed as the last part.
    """
    copy = _copied(settings)
    for path, value in changes.items():
        *between, last = path.split(".")
        holders = [copy]
        for part in between:
            holders = [inner for holder in holders for inner in _entries(holder, part)]
        for holder in holders:
            holder[int(last) if isinstance(holder, list) else last] = _copied(value)
    return copy


def shrunk(settings: Settings) -> dict[str, Any]:
    """The settings of a quick run."""

    def shrink(value: Any, name: str = "") -> Any:
        if isinstance(value, Mapping):
            return {key: shrink(inner, key) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [shrink(inner) for inner in value]
        limit = _QUICK_LIMITS.get(name)
        return min(value, limit) if limit is not None and isinstance(value, int) else value

    return shrink(settings)


def _entries(holder: Any, part: str) -> list[Any]:
    if part == "*":
        return list(holder)
    return [holder[int(part) if isinstance(holder, list) else part]]


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value
