"""Anything that yields rows, with or without labels: a data set by name, files by path."""

from ._base import RowReader
from ._checked import CheckedRows, without_bad_rows
from ._compose import RowRanges, Shards
from ._open import LabeledSource, RowSource, open_labeled, open_rows

__all__ = [
    "CheckedRows",
    "LabeledSource",
    "RowRanges",
    "RowReader",
    "RowSource",
    "Shards",
    "open_labeled",
    "open_rows",
    "without_bad_rows",
]
