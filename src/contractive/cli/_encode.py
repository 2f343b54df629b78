"""`contractive encode` and `score`: a number or a row of them for each row of DATA, by one process or several."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Lock, local
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .._memory import few_to_collect, keep_freed_memory
from ._apply import BLOCK_BYTES, check_out, load_autoencoder
from ._data import Given, as_reader, open_given
from ._options import (
    ArrayName,
    BadRows,
    BadRowsName,
    ColumnNames,
    Coordinator,
    Data,
    Overwrite,
    Processes,
    ProcessId,
    Run,
    SharedRows,
)
from ._together import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np

    from ..distributed import Team
    from ..sources import RowReader, RowSource, RowWriter

__all__ = ["Table", "encode", "score", "write_each"]

_AHEAD = 4  # blocks a thread that are made before they are written
_Out = Annotated[Path, typer.Option("--out", "-o", help="The .npy or .parquet file to make.")]


class Table(NamedTuple):
    """What is made of rows.

    Args:
        path: the file to make.
        width: numbers a row; 0 for one without a column.
        dtype: of the numbers.
        names: of the columns, or None.
    """

    path: Path
    width: int
    dtype: np.dtype
    names: list[str] | None = None


def encode(
    run: Run,
    data: Data,
    out: _Out,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    distributed: SharedRows = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the codes of the rows of DATA, a row each: a .npy or .parquet file of shape (rows, components).

    Of data of any size some megabytes are in memory at a time. With --bad-rows skip the codes of bad rows are NaN.
    """
    place = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    with _begun(out, overwrite, Given(data, array, columns), distributed=distributed, **place) as (source, team):
        estimator = load_autoencoder(run, " Use `contractive predict` for its classes.")
        table = Table(out, estimator.model_.n_hidden, estimator.model_.dtype)
        job = _job(team, "encode", run, source, bad_rows)
        n_bad = write_each(table, source, estimator.transform, bad_rows, team, job)
        n_bad = sum(_gathered(team, n_bad))
    if team is None or team.writes:
        typer.echo(f"wrote {out}: {_counted(source, n_bad)} of {table.width} {table.dtype} components")


def score(
    run: Run,
    data: Data,
    out: _Out,
    array: ArrayName = None,
    columns: ColumnNames = None,
    bad_rows: BadRowsName = BadRows.refuse,
    distributed: SharedRows = False,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process_id: ProcessId = None,
    overwrite: Overwrite = False,
) -> None:
    """Write how normal each row of DATA is, minus its reconstruction error: a .npy or .parquet file, a number a row.

    The error is summed over features: nats, or squared units of the data. Higher is more normal. Of data of any size
    some megabytes are in memory at a time. With --bad-rows skip the scores of bad rows are NaN.
    """
    import numpy as np

    place = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    total, low, high = 0.0, np.inf, -np.inf

    def tally(found: np.ndarray) -> None:
        nonlocal total, low, high
        total += float(found.sum(dtype=np.float64))
        low, high = min(low, float(found.min())), max(high, float(found.max()))

    with _begun(out, overwrite, Given(data, array, columns), distributed=distributed, **place) as (source, team):
        estimator = load_autoencoder(run, " Use `contractive inspect` for its classes.")
        table = Table(out, 0, estimator.model_.dtype, ["score"])
        job = _job(team, "score", run, source, bad_rows)
        n_bad = write_each(table, source, estimator.score_samples, bad_rows, team, job, tally)
        counts, totals, lows, highs = zip(*_gathered(team, [n_bad, total, low, high]), strict=True)
    if team is None or team.writes:
        mean = sum(totals) / max(1, len(source.rows) - sum(counts))
        spread = f"scores {min(lows):.4f} to {max(highs):.4f}, mean {mean:.4f}"
        typer.echo(f"wrote {out}: {_counted(source, sum(counts))}, {spread}")


@contextmanager
def _begun(out: Path, overwrite: bool, given: Given, **place: Any) -> Generator[tuple[RowSource, Team | None]]:
    """The rows, and the processes that share them, once the file can be made; `place` is what `shared` takes.

    It comes before the model is loaded, with which JAX begins.
    """
    from .._processors import computing_in_callers

    check_out(out, overwrite, (".npy", ".parquet"))
    source = open_given(given)
    with computing_in_callers(), shared(out, **place) or nullcontext() as team:
        yield source, team


def write_each(
    table: Table,
    source: RowSource,
    function: Callable[[RowReader], np.ndarray],
    bad_rows: BadRows,
    team: Team | None = None,
    job: dict[str, Any] | None = None,
    seen: Callable[[np.ndarray], object] | None = None,
) -> int:
    """Write what a function makes of all rows, some of them at a time.

    Some threads do it a block at a time, from reading it on, one for each processor where they are few.

    Args:
        table: what is made.
        source: the rows.
        function: of some rows; a row each, in memory of its own. It is called in several threads.
        bad_rows: whether rows that are not finite are refused, or NaN is written in their place.
        team: the processes that share the rows, or None.
        job: what must be the same in all of them, by name.
        seen: is given what the function made of good rows, in their order.

    Returns:
        How many bad rows this process has met.
    """
    import numpy as np

    from .._processors import n_callers
    from ..sources import ReadAhead, block_starts, paged_empty

    keep_freed_memory()
    rows, threads, n_bad = as_reader(source), n_callers(), 0
    starts = block_starts(rows, BLOCK_BYTES)
    starts = starts if team is None else team.share(starts)
    reading = Lock()  # as readers go through a file once, and only then are quick
    most, own = max((stop - start for start, stop in pairwise(starts)), default=0), local()

    def make(bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(own, "rows"):  # what a thread reads into again and again stays in its cache
            own.rows = paged_empty((most, rows.shape[1]), rows.dtype)
        with reading:
            block = rows.read_into(own.rows[: bounds[1] - bounds[0]], bounds[0])
        made, found = _made(table, rows, bounds[0], block, function, bad_rows)
        assert not np.may_share_memory(made, own.rows)
        return made, found

    with (
        few_to_collect(),
        _opened(table, len(rows), starts, team, job) as writer,
        closing(ReadAhead(make, pairwise(starts), _AHEAD * threads, threads)) as making,
    ):
        for _ in starts[1:]:
            made, found = making.next()
            writer.write(made)
            n_bad += len(made) - len(found)
            if seen is not None and len(found):
                seen(found)
    return n_bad


def _made(
    table: Table,
    rows: RowReader,
    start: int,
    block: np.ndarray,
    function: Callable[[RowReader], np.ndarray],
    bad_rows: BadRows,
) -> tuple[np.ndarray, np.ndarray]:
    """What is written of a block of rows, and the part of it that is of good ones."""
    import numpy as np

    from ..sources import ArrayRows

    good = np.arange(len(block))
    if bad_rows is BadRows.skip and block.dtype.kind == "f":
        good = np.flatnonzero(np.isfinite(block).all(axis=1))
    all_good = len(good) == len(block)
    named = ArrayRows(rows.name, block if all_good else block[good], lambda row: rows.place(start + int(good[row])))
    if all_good:
        found = function(named)
        return found, found
    made = np.full((len(block), table.width) if table.width else len(block), np.nan, table.dtype)
    if len(good):
        made[good] = function(named)
    return made, made[good]


def _opened(
    table: Table, n_rows: int, starts: Sequence[int], team: Team | None, job: dict[str, Any] | None
) -> AbstractContextManager[RowWriter]:
    from ..sources import PartedFile, open_writer

    path, width, dtype, names = table
    if team is None:
        return open_writer(path, n_rows, width, dtype, names)
    return team.open_writer(path, PartedFile(path, n_rows, width, dtype, names), starts[0], starts[-1], job or {})


def _job(team: Team | None, command: str, run: Path, source: RowSource, bad_rows: BadRows) -> dict[str, Any]:
    """What processes that share it must have in common, as far as it is quickly told; of one alone, nothing."""
    if team is None:
        return {}
    from ..runs import model_path

    return {
        "the command": command,
        "the model of `RUN`": sha256(model_path(run).read_bytes()).hexdigest()[:16],
        "the shape of `DATA`": list(source.rows.shape),
        "`--bad-rows`": bad_rows.value,
    }


def _gathered(team: Team | None, said: Any) -> Iterable[Any]:
    return [said] if team is None else team.gather(said)


def _counted(source: RowSource, n_bad: int) -> str:
    return f"{len(source.rows)} rows" + (f" ({n_bad} bad ones as NaN)" if n_bad else "")
