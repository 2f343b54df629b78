"""Hooks of mkdocs: pages that are made of the repository's own files, and links that lead where those went.

The pages of the repository link to each other by their places in it, so that they can be read there; on the site the
same links lead to the pages. Nothing is copied into `docs/`.
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BORROWED = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "mnist-licence.md": "src/contractive/datasets/data/LICENSE.md",
    "benchmarks/papers.md": "benchmarks/papers/README.md",
    "benchmarks/speed.md": "benchmarks/speed/README.md",
    "benchmarks/peers.md": "benchmarks/speed/peers.md",
    "benchmarks/deep.md": "benchmarks/speed/deep.md",
    "benchmarks/scale.md": "benchmarks/scale/README.md",
}
"""Pages of the site that are files of the repository outside `docs/`."""
_LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand nowhere as such."""
    made = {page: (ROOT / source).read_text() for page, source in BORROWED.items()}
    made |= {"example-code.md": examples(), "command-line.md": command_line()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    return _LINK.sub(lambda match: relinked(match[1], here), markdown)


def relinked(target: str, page: str) -> str:
    """Where a link of a page leads on the site; as it is, if what it names is no page."""
    source = BORROWED.get(page, f"docs/{page}")
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    pages = {source: page for page, source in BORROWED.items()}
    if named == "examples" or named.startswith("examples/"):
        found = "example-code.md"
    elif named in pages:
        found = pages[named]
    elif named.startswith("docs/"):
        found = named.removeprefix("docs/")
    else:
        return target
    return posixpath.relpath(found, posixpath.dirname(page) or ".")


def examples() -> str:
    """A page with every example: what its docstring says, and its code."""
    parts = ["# The examples' code\n\nEach runs by itself; `--help` says how large it is made.\n"]
    for path in sorted((ROOT / "examples").glob("*.py")):
        code = path.read_text()
        summary = (ast.get_docstring(ast.parse(code)) or path.stem).splitlines()[0]
        parts.append(f"## {path.name}\n\n{summary}\n\n```python\n{code}```\n")
    return "\n".join(parts)


def command_line() -> str:
    """A page with every command, its arguments and its options, as `--help` says them."""
    import typer

    from contractive.cli import app

    group: Any = typer.main.get_command(app)
    parts = [f"# The command line\n\n{group.help}\n"]
    for name, command in group.commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        parts.append(f"## contractive {name}\n\n{command.help}\n")
        parts.append("| | | without it |\n|---|---|---|")
        parts.extend(rows_of(command, context))
        parts.append("")
    return "\n".join(parts)


def rows_of(command: Any, context: Any) -> Iterator[str]:
    """A row of a table for each parameter of a command that its help shows."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        words, text = record[0].removesuffix(" <str>"), record[1]
        found = re.search(r"\s*\[(?:default: (.+)|required)\]$", text)
        default = "" if found is None else (found[1] or "must be given").strip("()")
        text = text if found is None else text[: found.start()]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{words}`", text, default)) + " |"
