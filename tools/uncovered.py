"""Say why lines are not run by the fast tests: `make coverage` ends with it, and fails where a line has no reason.

`uncovered.toml` beside this file has a reason for each function with such lines.
"""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
REASONS = Path(__file__).with_name("uncovered.toml")


def main(report: str) -> None:
    """Compare the report that `coverage json` wrote with the reasons."""
    files = json.loads(Path(report).read_text())["files"]
    missing: dict[str, list[int]] = defaultdict(list)
    for path, facts in files.items():
        names = names_of_lines((ROOT / path).read_text())
        for line in facts["missing_lines"]:
            missing[f"{Path(path).relative_to('src/contractive')}::{names.get(line, '')}"].append(line)
    reasons = {
        place: reason for reason, places in tomllib.loads(REASONS.read_text())["reasons"].items() for place in places
    }
    for place, lines in sorted(missing.items()):
        print(f"{place} ({len(lines)}): {reasons.get(place, 'NO REASON: lines ' + ', '.join(map(str, lines)))}")
    if unknown := missing.keys() - reasons.keys():
        sys.exit(f"{len(unknown)} functions have lines that no test runs and {REASONS.name} does not explain.")


def names_of_lines(text: str) -> dict[int, str]:
    r"""The function, with its classes, that each line belongs to; the innermost of several.

    Example:
        >>> names_of_lines("class A:\n    def f(self):\n        pass\n")
        {1: 'A', 2: 'A.f', 3: 'A.f'}
    """
    found: dict[int, str] = {}

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".removeprefix(".")
                found.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), inner))
            visit(child, inner)

    visit(ast.parse(text), "")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
