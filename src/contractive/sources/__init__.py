"""Anything that yields rows, with or without labels: a data set by name, files by path."""

from ._ahead import ReadAhead, blocks_ahead
from ._base import ArrayRows, RowReader, aligned_empty
from ._checked import CheckedRows, without_bad_rows
from ._compose import RowRanges, Shards
from ._labeled import LabeledSource, open_labeled
from ._open import RowSource, open_rows
from ._writers import open_writer

__all__ = [
    "ArrayRows",
    "CheckedRows",
    "LabeledSource",
    "ReadAhead",
    "RowRanges",
    "RowReader",
    "RowSource",
    "Shards",
    "aligned_empty",
    "blocks_ahead",
    "open_labeled",
    "open_rows",
    "open_writer",
    "without_bad_rows",
]
