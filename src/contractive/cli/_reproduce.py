"""`contractive reproduce`: a paper's table, run again."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from ._interrupts import Interrupted, deferred_interrupt

__all__ = ["reproduce"]

_PACKAGE = "contractive_papers"
# What a quick run computes is compiled in a fifth of the time, to slower code.
_QUICK_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="icml2011-table1, icml2011-figure1, icml2011-table2, "
            "mtc-table2, mtc-table3, icml2012-sampling, or all.",
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Every path through the code with a few hundred rows and tiny models.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Seeds, from 0 on.", show_default="each row's own; 1 for --quick"),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Only this row of TABLE, as its files are called; may be given again."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the results that are there; run the others.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where results go.",
            show_default="benchmarks/papers/results of the checkout, else ./papers; none is kept of --quick",
        ),
    ] = None,
) -> None:
    """Run a table of the papers again: a JSON file a row and seed, and a page of our numbers beside the published."""
    if quick and resume and out is None:
        raise ValueError("`--out` must be given to resume a --quick run, of which nothing is kept otherwise; got none.")
    if quick and out is not None and out.resolve() == _recorded().resolve():
        raise ValueError(f"`--out` must be another folder than the recorded results for --quick; got {str(out)!r}.")
    if quick:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_QUICK_FLAGS}".strip()
    papers = load_papers()
    names = papers.TABLES if table == "all" else (_known(table, papers.TABLES),)
    if row:
        _check_rows(table, row, papers)
    with ExitStack() as stack:
        folder = out
        if folder is None and quick:  # pragma: no cover - `make reproduce-quick` runs it, which takes minutes
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = _results_folder() if folder is None else folder
        _run(names, folder, seeds=seeds, only=row, quick=quick, resume=resume, shown_out=out)


def load_papers() -> ModuleType:
    """The package of tables: `benchmarks/papers` of the checkout, else the copy that a wheel carries.

    Raises:
        FileNotFoundError: if neither is there.
    """
    if _PACKAGE in sys.modules:
        return sys.modules[_PACKAGE]
    folder = next((folder for folder in _places() if (folder / "__init__.py").is_file()), None)
    if folder is None:
        places = " nor ".join(repr(str(folder)) for folder in _places())
        raise FileNotFoundError(
            f"the tables of the papers must be installed with the package; neither {places} holds them. "
            "Install contractive anew, or run it in a checkout."
        )
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)
    return module


def _places() -> tuple[Path, Path]:
    package = Path(__file__).parents[1]
    return package.parents[1] / "benchmarks" / "papers", package / "_papers"


def _results_folder() -> Path:
    return _recorded() if _recorded().parent.is_dir() else Path("papers")


def _recorded() -> Path:
    """Where a checkout keeps its results."""
    return _places()[0] / "results"


def _known(table: str, tables: tuple[str, ...]) -> str:
    if table not in tables:
        raise ValueError(f"`TABLE` must be all or one of {', '.join(tables)}; got {table!r}.")
    return table


def _check_rows(table: str, rows: list[str], papers: ModuleType) -> None:
    if table == "all":
        raise ValueError(f"`--row` must go with one TABLE; got {rows[0]!r} for all.")
    known = [row.key for row in papers.load_table(table).rows]
    for row in rows:
        if row not in known:
            raise ValueError(f"`--row` must be one of {', '.join(known)}; got {row!r}.")


def _run(
    names: tuple[str, ...],
    folder: Path,
    *,
    seeds: int | None,
    only: list[str] | None,
    quick: bool,
    resume: bool,
    shown_out: Path | None,
) -> None:
    """Run tables into a folder and print each when its jobs are done.

    Raises:
        Interrupted: after Ctrl-C, with how to go on.
    """
    papers = load_papers()
    runs, page = (import_module(f"{_PACKAGE}.{name}") for name in ("runs", "page"))
    tables = [papers.load_table(name) for name in names]
    jobs = {table.name: runs.jobs_of(table, folder, seeds=seeds, quick=quick, only=only) for table in tables}
    is_recorded = folder.resolve() == _recorded().resolve()
    page_path = folder.parent / "README.md" if is_recorded else folder / "README.md"
    finished = 0

    def write_page() -> None:
        nonlocal finished
        finished += 1
        shown = map(papers.load_table, papers.TABLES) if is_recorded else tables
        page.write_page(page_path, shown, folder, quick=quick)

    with deferred_interrupt() as check_interrupt:
        try:
            for table in tables:
                runs.run_jobs(
                    jobs[table.name],
                    quick=quick,
                    resume=resume,
                    say=typer.echo,
                    check=check_interrupt,
                    finished=write_page,
                )
                typer.echo("\n" + "\n".join(page.table_lines(table, folder, quick=quick)) + "\n")
        except KeyboardInterrupt as interrupt:
            raise Interrupted(_how_to_go_on(names, finished, seeds, only, quick, shown_out)) from interrupt


def _how_to_go_on(
    names: tuple[str, ...], finished: int, seeds: int | None, only: list[str] | None, quick: bool, out: Path | None
) -> str:
    words = ["contractive reproduce", names[0] if len(names) == 1 else "all", "--resume"]
    words += [f"--row {key}" for key in only or ()]
    words += ["--quick"] * quick + ([f"--seeds {seeds}"] if seeds else []) + ([f"--out {out}"] if out else [])
    if quick and out is None:
        return "interrupted; nothing is kept of a --quick run without --out."
    done = f"{finished} job{'s' * (finished != 1)} finished and kept"
    return f"interrupted; {done}. Go on with: {' '.join(words)}"
