"""Penalties and corruptions as a file of settings writes them: tables of a name and numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["checked_tables"]

_RANGES = {"level": (0, 1), "low": (-math.inf, math.inf), "high": (-math.inf, math.inf)}


def checked_tables(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters whose `penalty` and `corruption`, where they are tables, name one that is known and its numbers.

    Raises:
        TypeError: if a number is none.
        ValueError: if the name is not known, a number is out of its range, missing or not one of its own.
    """
    from ..corruption import CORRUPTIONS
    from ..penalties import PENALTIES

    checked = dict(parameters)
    for name, kinds in {"penalty": PENALTIES, "corruption": CORRUPTIONS}.items():
        if isinstance(checked.get(name), Mapping):
            by_class = {kind.__name__: kind for kind in kinds.values()}
            checked[name] = _checked(name, checked[name], by_class, may_be_sum=name == "penalty")
    return checked


def _checked(name: str, table: Any, kinds: Mapping[str, type[Any]], *, may_be_sum: bool) -> dict[str, Any]:
    from .._validation import shown

    if may_be_sum and isinstance(table, Mapping) and isinstance(table.get("sum"), list) and len(table) == 1:
        return {"sum": [_checked(name, term, kinds, may_be_sum=True) for term in table["sum"]]}
    kind = table.get("name") if isinstance(table, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(
            f"`{name}` must be a table whose name is one of {', '.join(sorted(kinds))}; got {shown(table)}."
        )
    fields = dataclasses.fields(kinds[kind])
    known = [field.name for field in fields]
    for key in table:
        if key not in ("name", *known):
            raise ValueError(f"`{key}` is no parameter of {kind}; known: {', '.join(known)}.")
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in table:
            raise ValueError(f"`{field.name}` must be given for {kind}; got {shown(table)}.")
    return {key: value if key == "name" else _number(key, value) for key, value in table.items()}


def _number(key: str, value: Any) -> Any:
    from .._validation import check_count, check_interval

    if key == "estimator":
        return value  # its class checks it
    if key.startswith("n_"):
        return check_count(key, value)
    low, high = _RANGES.get(key, (0, math.inf))
    return check_interval(key, value, low=low, high=high)
