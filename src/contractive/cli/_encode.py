"""`contractive encode` and `score`: a number or a row of them for each row of DATA, by one process or several."""

from __future__ import annotations

from contextlib import closing, nullcontext
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Lock
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
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np

    from ..distributed import Team
    from ..sources import RowReader, RowSource, RowWriter

__all__ = ["Table", "encode", "score", "write_each"]

_AT_A_TIME, _AHEAD = 3, 6  # blocks that are worked on, and that are made before they are written
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
    source, team = _begun(out, overwrite, Given(data, array, columns), distributed=distributed, **place)
    with team or nullcontext():
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
    source, team = _begun(out, overwrite, Given(data, array, columns), distributed=distributed, **place)
    total, low, high = 0.0, np.inf, -np.inf

    def tally(found: np.ndarray) -> None:
        nonlocal total, low, high
        total += float(found.sum(dtype=np.float64))
        low, high = min(low, float(found.min())), max(high, float(found.max()))

    with team or nullcontext():
        estimator = load_autoencoder(run, " Use `contractive inspect` for its classes.")
        table = Table(out, 0, estimator.model_.dtype, ["score"])
        job = _job(team, "score", run, source, bad_rows)
        n_bad = write_each(table, source, estimator.score_samples, bad_rows, team, job, tally)
        counts, totals, lows, highs = zip(*_gathered(team, [n_bad, total, low, high]), strict=True)
    if team is None or team.writes:
        mean = sum(totals) / max(1, len(source.rows) - sum(counts))
        spread = f"scores {min(lows):.4f} to {max(highs):.4f}, mean {mean:.4f}"
        typer.echo(f"wrote {out}: {_counted(source, sum(counts))}, {spread}")


def _begun(out: Path, overwrite: bool, given: Given, **place: Any) -> tuple[RowSource, Team | None]:
    """The rows, and the processes that share them, once the file can be made; `place` is what `shared` takes."""
    check_out(out, overwrite, (".npy", ".parquet"))
    return open_given(given), shared(out, **place)


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

    Three threads do it a block at a time, from reading it on: where one has nothing for a core to do, another has, and
    few blocks at a time stay in the cache.

    Args:
        table: what is made.
        source: the rows.
        function: of some rows; a row each. It is called in several threads.
        bad_rows: whether rows that are not finite are refused, or NaN is written in their place.
        team: the processes that share the rows, or None.
        job: what must be the same in all of them, by name.
        seen: is given what the function made of good rows, in their order.

    Returns:
        How many bad rows this process has met.
    """
    import jax

    from ..sources import ReadAhead, block_starts

    keep_freed_memory()
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # the threads below wait for what they ask for
    rows, n_bad = as_reader(source), 0
    starts = block_starts(rows, BLOCK_BYTES)
    starts = starts if team is None else team.share(starts)
    reading = Lock()  # as readers go through a file once, and only then are quick

    def make(bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        with reading:
            block = rows.read(*bounds)
        return _made(table, rows, bounds[0], block, function, bad_rows)

    with (
        few_to_collect(),
        _opened(table, len(rows), starts, team, job) as writer,
        closing(ReadAhead(make, pairwise(starts), _AHEAD, _AT_A_TIME)) as making,
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
