"""The data that commands are given: opened, without bad rows, in memory or not."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from ._apply import BLOCK_BYTES

if TYPE_CHECKING:
    from ..sources import RowReader, RowSource

__all__ = ["Given", "as_reader", "available_bytes", "in_memory", "open_given", "read_size"]

_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MEBIBYTE = 1 << 20
_OWN_BYTES = 704 << 20  # Python, JAX and what they compile
_WINDOW_BYTES = 64 << 20  # of rows, which a CPU takes over as they were read
_SHARE = 0.8  # of the memory that is free


class Given(NamedTuple):
    """What was said of the data, typed or in a file.

    Args:
        name: a data set's name or a path.
        array: which array of a .npz file, or None.
        columns: names with commas between them, or None for all.
        bad_rows: "refuse" or "skip".
    """

    name: str
    array: str | None = None
    columns: str | None = None
    bad_rows: str = "refuse"


def open_given(given: Given) -> RowSource:
    """The rows, without bad ones where these are to be skipped, which is said.

    Raises:
        As `sources.open_rows` and `sources.without_bad_rows` do.
    """
    from ..sources import open_rows, without_bad_rows

    columns = None if given.columns is None else [name.strip() for name in given.columns.split(",")]
    skips = given.bad_rows == "skip"
    source = open_rows(given.name, array=given.array, columns=columns, lenient=skips)
    if not skips:
        return source
    rows, n_bad = without_bad_rows(as_reader(source))
    if not n_bad:
        return source
    typer.echo(f"left out {n_bad:,} bad rows of {n_bad + len(rows):,} in {given.name}", err=True)
    return source._replace(rows=rows)


def as_reader(source: RowSource) -> RowReader:
    """The rows of a source, one that is in memory too.

    Raises:
        ValueError: if they are no table.
    """
    from .._validation import check_shape
    from ..sources import ArrayRows, RowReader

    if isinstance(source.rows, RowReader):
        return source.rows
    check_shape(source.rows.shape, name=source.name)
    return ArrayRows(source.name, source.rows)


def in_memory(
    source: RowSource, estimator: Any, memory: int | None, streamed: bool | None, read_ahead: int = 1
) -> RowSource:
    """The rows as they are trained on: in memory where they fit, else to be read again each epoch.

    Args:
        source: the rows.
        estimator: what trains on them: a stack keeps codes of all rows besides.
        memory: bytes that the process may take, or None for most of what is free.
        streamed: whether to read them again, as an earlier run of the same job or one of several processes did; None
            to find out.
        read_ahead: windows that are read before they are needed.

    Raises:
        ValueError: if `memory` is too little even for reading them.
    """
    import numpy as np

    from ..sources import RowReader

    rows = source.rows
    if not isinstance(rows, RowReader):
        return source._replace(rows=as_reader(source)) if streamed else source
    least = _streamed_bytes(rows, estimator, read_ahead)
    if memory is not None and memory < least:
        raise ValueError(f"`--memory` must be at least {least // _MEBIBYTE} MiB for these rows; got {_shown(memory)}.")
    limit, needed = _SHARE * available_bytes() if memory is None else memory, _resident_bytes(rows, estimator)
    if streamed is None and needed > limit:
        typer.echo(
            f"{source.name}: {_shown(needed)} in memory would pass {_shown(limit)}; the rows are read again each epoch"
        )
        streamed = True
    rows.read_ahead = read_ahead
    return source if streamed else source._replace(rows=np.asarray(rows))


def _streamed_bytes(rows: RowReader, estimator: Any, read_ahead: int) -> int:
    """What a process takes that trains on rows window by window, measured and rounded up to whole MiB."""
    import numpy as np

    # What cannot be read in part, decoded. Not asked for row by row: of a milliard of rows that takes 8 GB itself.
    blocks = np.diff(rows.block_bounds(max(1, BLOCK_BYTES // rows.row_bytes))) * rows.row_bytes
    n_bytes = _OWN_BYTES + (read_ahead + 1) * _WINDOW_BYTES + 3 * int(blocks.max()) + _model_bytes(rows, estimator)
    return -(-n_bytes // _MEBIBYTE) * _MEBIBYTE


def _resident_bytes(rows: RowReader, estimator: Any) -> int:
    """What a process takes that trains on rows in memory: as they are read and on the device, and so are codes."""
    from .._validation import stored_dtype

    widths = [rows.shape[1] * stored_dtype(rows.dtype).itemsize, *(4 * units for units in _layer_units(estimator)[:-1])]
    together = max(sum(pair) for pair in zip(widths, [*widths[1:], 0], strict=True))
    return _OWN_BYTES + 2 * len(rows) * together + _model_bytes(rows, estimator)


def _model_bytes(rows: RowReader, estimator: Any) -> int:
    """Weights, their gradient, what the optimiser keeps, copies for files."""
    units = _layer_units(estimator)
    return 8 * 4 * sum(one * other for one, other in pairwise([rows.shape[1], *units]))


def read_size(option: str, text: str | None) -> int | None:
    """Bytes that were typed, such as 2GiB or 500MB; None stays None.

    Raises:
        ValueError: if it is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    units = {unit.lower(): factor for unit, factor in _UNITS.items()}
    if match is None or match[2].lower() not in units:
        raise ValueError(f"`{option}` must be a size such as 2GiB or 500MB; got {text!r}.")
    return int(float(match[1]) * units[match[2].lower()])


def available_bytes() -> int:
    """Bytes of memory that are free now: the machine's, and those of the container."""
    free = [_page_bytes(), *_container_bytes()]
    return min(free)


def _page_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container_bytes() -> list[int]:
    group = Path("/sys/fs/cgroup")
    try:
        return [int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())]
    except (OSError, ValueError):  # none, or "max": no limit
        return []


def _layer_units(estimator: Any) -> list[int]:
    """Units of the layers from the one next to the input up; what is no number is left to `fit` to refuse."""
    layers = getattr(estimator, "layers", None)
    if layers is not None:
        return [units for layer in layers for units in _layer_units(layer)]
    lower = estimator.hidden_layer_sizes
    sizes = [*(lower if isinstance(lower, list | tuple) else ()), estimator.n_components]
    return [size for size in sizes if isinstance(size, int)]


def _shown(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.2g} GiB" if n_bytes >= 1 << 30 else f"{n_bytes / 2**20:.0f} MiB"
