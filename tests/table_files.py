"""Tables for the tests of files that hold them, how they are saved, and rows that are compared to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contractive.sources._base import RowReader

ROWS = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
NAMES = ["a", "b", "c"]
Saved = Callable[..., str]
Opened = Callable[..., RowReader]


def table_of(rows: np.ndarray, names: list[str] = NAMES) -> pa.Table:
    return pa.table(dict(zip(names, rows.T.copy(), strict=True)))


def lists_of(rows: np.ndarray, kind: Any) -> pa.Table:
    return pa.table({"x": pa.array(rows.tolist(), kind)})


def save_parquet(path: Path, table: pa.Table, group: int = 4, **options: Any) -> str:
    pq.write_table(table, path, row_group_size=group, **options)
    return str(path)


def save_feather(path: Path, table: pa.Table, group: int = 4, compression: str | None = None) -> str:
    with pa.OSFile(str(path), "wb") as stream:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(stream, table.schema, options=options) as file:
            file.write_table(table, max_chunksize=group)
    return str(path)


def assert_rows(reader: RowReader, expected: np.ndarray) -> None:
    """All rows, and slices of them from the first few and up to the last few, to the bit."""
    assert (reader.shape, reader.dtype) == (expected.shape, expected.dtype)
    for start in range(min(len(expected), 10)):
        for stop in range(max(start + 1, len(expected) - 10), len(expected) + 1):
            found = reader.read(start, stop)
            assert found.dtype == expected.dtype
            assert found.flags.c_contiguous
            assert found.flags.owndata
            np.testing.assert_array_equal(found, expected[start:stop])
