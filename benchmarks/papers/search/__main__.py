"""Run a table's search: `python -m benchmarks.papers.search TABLE [--row KEY] [--best]` at the root of the checkout."""

import argparse
import sys
from pathlib import Path

from .. import TABLES, load_table
from . import RESULTS, best_lines, read_lines, search
from .candidates import candidates_of


def main() -> None:
    """Try what has not been tried, and print the best line of each row."""
    parser = argparse.ArgumentParser(description="Choose settings by training and validation rows.")
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--row", action="append", help="rows to search for; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record")
    parser.add_argument("--quick", action="store_true", help="a few hundred rows and tiny models; needs --out")
    parser.add_argument("--best", action="store_true", help="only print the best lines")
    options = parser.parse_args()
    if options.quick and options.out == RESULTS:
        parser.error("--out must be given for --quick, which is no record")
    table = load_table(options.table)
    try:
        if not options.best:
            rows = options.row or [row.key for row in table.rows]
            candidates = [candidate for candidate in candidates_of(table) if candidate.row in rows]
            search(
                table,
                candidates,
                options.out,
                seed=options.seed,
                quick=options.quick,
                say=lambda line: print(line, flush=True),
            )
        for key, line in best_lines(read_lines(options.out / f"{table.name}.jsonl", table.name)).items():
            print(f"best of {key}: {table.name}:{line.number} {line.record['changes']} {line.record['validation']}")
    except ValueError as error:
        sys.exit(f"search: {error}")
    except KeyboardInterrupt:
        sys.exit("search: interrupted; the finished candidates are recorded. The same command goes on.")


if __name__ == "__main__":
    main()
