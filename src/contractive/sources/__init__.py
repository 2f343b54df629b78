"""Anything that yields rows, with or without labels: a data set by name, files by path."""

from ._ahead import ReadAhead, block_starts, blocks_ahead
from ._base import ArrayRows, RowReader, aligned_empty, paged_empty
from ._checked import CheckedRows, without_bad_rows
from ._compose import RowRanges, Shards
from ._labeled import LabeledSource, open_labeled
from ._open import RowSource, open_rows
from ._parts import PartedFile
from ._writers import RowWriter, open_writer

__all__ = [
    "ArrayRows",
    "CheckedRows",
    "LabeledSource",
    "PartedFile",
    "ReadAhead",
    "RowRanges",
    "RowReader",
    "RowSource",
    "RowWriter",
    "Shards",
    "aligned_empty",
    "block_starts",
    "blocks_ahead",
    "open_labeled",
    "open_rows",
    "open_writer",
    "paged_empty",
    "without_bad_rows",
]
