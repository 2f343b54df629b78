"""What the search tries, row by row: every combination of a few values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from ..rows import Table
from . import Candidate

__all__ = ["candidates_of", "grid"]

_RATES = {"classifier.learning_rate": (1e-4, 3e-4, 1e-3)}
_ONE_LAYER = {"classifier.learning_rate": (1e-3, 3e-3)}
_DEPTHS = {"layers.*.contraction": (0.03, 0.1, 0.3, 1.0), **_RATES}
_FALLING = {("classifier.learning_rate", "classifier.learning_rate_decay"): ((1e-3, "linear"),)}
_FEW = {"classifier.learning_rate": (0.1, 0.3)}

Path = str | tuple[str, ...]  # of one setting, or of several that change together

# Table -> row, or the part of its key before "-", or "*" for every other row -> what is tried.
GRIDS: Mapping[str, Mapping[str, Mapping[Any, tuple[Any, ...]]]] = {
    "icml2011-table1": {
        "cae": {"layers.0.contraction": (0.1,), **_ONE_LAYER},
        "cae-smooth": {
            ("classifier.smoothness_radius", "classifier.dropout", "classifier.input_dropout"): (
                (1.0, 0.0, 0.0),
                (1.0, 0.5, 0.2),
            ),
        },
        "dae-g": {"layers.0.corruption_std": (0.3, 0.5)},
        "dae-b": {"layers.0.corruption_level": (0.25, 0.4)},
        "ae-wd": {"layers.0.weight_decay": (1e-3, 1e-2)},
        "ae": _ONE_LAYER,
    },
    "icml2011-table2": {"rect": {}, "*": {"layers.*.contraction": (0.1, 0.3, 1.0), **_FALLING}},
    "mtc-table2": {
        "cae+h-all": _ONE_LAYER,
        "mtc-all": {"classifier.tangent_weight": (0.1, 1.0, 10.0)},
        "spectral-all": _ONE_LAYER,
        "both-all": {"classifier.tangent_weight": (0.1, 1.0)},
        "mtc": {"classifier.tangent_weight": (10.0, 30.0, 100.0)},
        "spectral": {"classifier.smoothness_radius": (0.5, 0.8)},
        "*": _FEW,
    },
    "mtc-table3": {"cover": {**_RATES, "layers.*.contraction": (0.01, 0.1)}, "knn-pixels": {}, "knn": _DEPTHS},
    "icml2012-sampling": {"*": {"layers.*.contraction": (0.1, 0.3, 1.0), "walk.std": (0.5, 1.0, 2.0)}},
}


def candidates_of(table: Table) -> Iterator[Candidate]:
    """The candidates of every row that is searched for; the frozen settings themselves come first."""
    grids = GRIDS.get(table.name, {})
    for row in table.rows:
        part = row.key.split("-")[0]
        name = next((name for name in (row.key, part, "*") if name in grids), None)
        if name is None:
            continue
        values = {
            path: tried
            for path, tried in grids[name].items()
            if (path if isinstance(path, str) else path[0]).split(".")[0] in row.settings
        }
        yield Candidate(row.key, {})
        yield from (Candidate(row.key, changes) for changes in grid(values))


def grid(values: Mapping[Path, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Every combination; nothing where there is nothing to combine.

    Example:
        >>> [*grid({"a": (1, 2), "b": (3,)})]
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
        >>> [*grid({("a", "b"): ((1, 3), (2, 4))})]
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]
    """
    if values:
        for combination in itertools.product(*values.values()):
            changes: dict[str, Any] = {}
            for path, value in zip(values, combination, strict=True):
                changes |= {path: value} if isinstance(path, str) else dict(zip(path, value, strict=True))
            yield changes
