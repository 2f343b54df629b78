"""The papers' tables, run again: one module a table, one JSON file a row and seed, one page made of them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rows import Table

__all__ = ["TABLES", "load_table"]

TABLES = (
    "icml2011-table1",
    "icml2011-figure1",
    "icml2011-table2",
    "mtc-table2",
    "mtc-table3",
    "icml2012-sampling",
)
"""Every table by name, in the order of the page."""


def load_table(name: str) -> "Table":
    """The table of a name out of `TABLES`; its module imports what trains."""
    return import_module(f".{name.replace('-', '_')}", __name__).TABLE
