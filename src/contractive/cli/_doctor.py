"""`contractive doctor`: what this machine has and lacks, for a person or a bug report."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

__all__ = ["doctor"]

_PROBLEMS_FOUND = 1


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Print versions, devices, caches and the C compiler, and the problems of this machine with their remedies.

    The exit code is 0 where there is no problem, else 1.
    """
    from ..doctor import examine

    facts, problems = examine()
    if as_json:
        typer.echo(json.dumps({**facts, "problems": [problem._asdict() for problem in problems]}))
    else:
        _print(facts)
        for problem in problems:
            typer.echo(f"\nproblem  {problem.problem}\nremedy   {problem.remedy}")
        if not problems:
            typer.echo("\nno problems found")
    if problems:
        raise typer.Exit(_PROBLEMS_FOUND)


def _print(facts: dict[str, Any]) -> None:
    cache, compiler = facts["cache"], facts["compiler"]
    lines = {name: facts[name] for name in ("contractive", "python", "platform", "processors")}
    lines |= facts["packages"]
    lines |= {name: found or "not installed (optional)" for name, found in facts["optional"].items()}
    lines["devices"] = ", ".join(facts["devices"]) or "none"
    state = "writable" if cache["writable"] else "not writable"
    lines["cache"] = (
        f"{cache['folder']} ({cache['bytes'] / 1e6:.1f} MB, {cache['free_bytes'] / 1e9:.1f} GB free, {state})"
    )
    kernel = "builds" if compiler["builds_kernel"] else "does not build"
    lines["compiler"] = f"{compiler['version'] or compiler['path'] or 'none'}; the kernel {kernel}"
    width = max(map(len, lines))
    for name, value in lines.items():
        typer.echo(f"{name:<{width}}  {value}")
