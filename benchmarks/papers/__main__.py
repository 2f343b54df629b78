"""Write the page of the recorded results anew: `python -m benchmarks.papers` at the root of the checkout."""

from pathlib import Path

from . import TABLES, load_table
from .page import write_page

if __name__ == "__main__":
    here = Path(__file__).parent
    write_page(here / "README.md", map(load_table, TABLES), here / "results")
