"""Rows of Parquet and Arrow IPC files; what these and text have in common."""

import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contractive.sources import _arrow, _ipc
from contractive.sources._arrow import open_feather, open_parquet
from contractive.sources._base import FileStamp, RowReader
from contractive.sources._columns import Layout, fill
from contractive.sources._csv import open_csv
from contractive.sources._tables import watched
from row_files import refusal, write
from table_files import NAMES, ROWS, Opened, Saved, assert_rows, lists_of, save_feather, save_parquet, table_of

ARROW = pytest.mark.parametrize(
    ("save", "opened", "name"),
    [(save_parquet, open_parquet, "x.parquet"), (save_feather, open_feather, "x.arrow")],
    ids=["parquet", "feather"],
)


@ARROW
@pytest.mark.parametrize("group", [1, 4, 100])
def test_columns_are_features(tmp_path: Path, save: Saved, opened: Opened, name: str, group: int):
    reader = opened(save(tmp_path / name, table_of(ROWS), group), None)
    assert reader.name == str(tmp_path / name)
    assert_rows(reader, ROWS)


@ARROW
def test_named_columns_come_in_the_order_of_their_names(tmp_path: Path, save: Saved, opened: Opened, name: str):
    table = table_of(ROWS).append_column("text", pa.array(["t"] * 10)).append_column("a.b", pa.array(range(10)))
    path = save(tmp_path / name, table)
    reader: Any = opened(path, ["c", "a"])
    assert_rows(reader, ROWS[:, [2, 0]])
    with Path(path).open("rb") as stream:
        assert set(next(reader._tables(stream, 0)).column_names) == {"a", "c"}  # no others are decoded
    assert_rows(opened(path, ["a.b"]), np.arange(10)[:, None])


@ARROW
@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)])
@pytest.mark.parametrize("group", [3, 100])
def test_lists_are_rows(tmp_path: Path, save: Saved, opened: Opened, name: str, kind: Any, group: int):
    table = lists_of(ROWS, kind).append_column("text", pa.array(["t"] * 10))
    assert_rows(opened(save(tmp_path / name, table, group), ["x"]), ROWS)
    assert_rows(opened(save(tmp_path / name, table.select(["x"]).slice(2), group), None), ROWS[2:])


@ARROW
@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_one_type_is_kept(tmp_path: Path, save: Saved, opened: Opened, name: str, dtype: str):
    rows = np.arange(30).reshape(10, 3).astype(dtype)
    assert_rows(opened(save(tmp_path / name, table_of(rows)), None), rows)
    assert_rows(opened(save(tmp_path / name, lists_of(rows, pa.list_(pa.from_numpy_dtype(rows.dtype)))), None), rows)


@ARROW
@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ("u1 f4", "f4"),
        ("? u1", "f4"),
        ("i2 u2", "f4"),
        ("i4 f4", "f8"),
        ("u1 i4", "f8"),
        ("f2 f4", "f4"),
        ("f4 f8", "f8"),
    ],
)
def test_several_types_become_floats(
    tmp_path: Path, save: Saved, opened: Opened, name: str, dtypes: str, expected: str
):
    first, second = (np.arange(6).astype(dtype) for dtype in dtypes.split())
    reader = opened(save(tmp_path / name, pa.table({"a": first, "b": second})), None)
    assert_rows(reader, np.stack([first, second], axis=1).astype(expected))


@ARROW
def test_decimals_and_nulls_of_floats_become_floats(tmp_path: Path, save: Saved, opened: Opened, name: str):
    table = pa.table(
        {"a": pa.array([1.5, None, 3.0], pa.float32()), "b": pa.array([Decimal("0.25"), None, Decimal("7.00")])}
    )
    assert_rows(opened(save(tmp_path / name, table), None), np.array([[1.5, 0.25], [np.nan, np.nan], [3, 7]]))
    halves = pa.table({"x": pa.array([[1.0, None], [None, 2.0]], pa.list_(pa.float16()))})
    assert_rows(opened(save(tmp_path / name, halves), None), np.array([[1, np.nan], [np.nan, 2]], np.float16))


@ARROW
def test_null_of_integers_is_refused_with_its_row(tmp_path: Path, save: Saved, opened: Opened, name: str):
    for kind in (pa.int32(), pa.bool_()):
        table = pa.table({"a": range(10), "b": pa.array([*[1] * 6, None, *[1] * 3], pa.int32()).cast(kind)})
        path = save(tmp_path / name, table)
        assert opened(path, None).read(0, 4).shape == (4, 2)
        with refusal(path, "'b'", "row 6 has null"):
            opened(path, None).read(5, 8)
    path = save(tmp_path / name, pa.table({"x": pa.array([[1, 2]] * 5 + [[1, None]], pa.list_(pa.int8()))}))
    with refusal(path, "'x'", "row 5 has null"):
        opened(path, None).read(0, 6)


@ARROW
@pytest.mark.parametrize(("bad", "words"), [([1.0, 2.0], "row 7 has 2"), ([], "row 7 has 0"), (None, "row 7 has null")])
def test_list_of_another_length_is_refused_with_its_row(
    tmp_path: Path, save: Saved, opened: Opened, name: str, bad: Any, words: str
):
    table = pa.table({"x": pa.array([*ROWS[:7].tolist(), bad, *ROWS[8:].tolist()], pa.list_(pa.float32()))})
    reader = opened(save(tmp_path / name, table, 5), None)
    np.testing.assert_array_equal(reader.read(0, 5), ROWS[:5])
    with refusal(reader.name, "'x'", words):
        reader.read(5, 10)


def test_row_is_counted_over_all_chunks_of_a_column():
    lists = pa.chunked_array([[[1, 2], [3, 4]], [[5, 6], [7]]], pa.list_(pa.int8()))
    numbers = pa.chunked_array([[1, 2], [3, None]], pa.int8())
    for column, length, words in ((lists, 2, "row 103 has 1"), (numbers, 0, "row 103 has null")):
        rows = np.zeros((4, 2 if length else 1), np.int8)
        with refusal("x", words):
            fill(rows, pa.table({"x": column}), Layout(("x",), length, rows.dtype), "x", 100)
        assert rows[:3].tolist() == ([[1, 2], [3, 4], [0, 0]] if length else [[1], [2], [0]])


@ARROW
@pytest.mark.parametrize("first", [[], None])
def test_first_list_must_have_numbers(tmp_path: Path, save: Saved, opened: Opened, name: str, first: Any):
    path = save(tmp_path / name, pa.table({"x": pa.array([first, [1.0]])}))
    with refusal(path, "lists of numbers in 'x'", "row 0 is empty"):
        opened(path, None)


@ARROW
@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        (table_of(ROWS), ["a", "z", "y"], ["--columns", "no 'z', 'y'", "It has 'a', 'b', 'c'."]),
        (table_of(ROWS), ["a", "a"], ["each column once", "'a' twice"]),
        (pa.table([[1.0], [2.0]], ["a", "a"]), None, ["'a' twice"]),
        (table_of(ROWS), [], ["columns of numbers", "none"]),
        (pa.table({}), None, ["must hold rows"]),
        (table_of(ROWS[:0]), None, ["must hold rows", "none"]),
        (pa.table({"a": [1], "s": ["text"]}), None, ["numbers only", "'s' is string", "--columns"]),
        (pa.table({"s": pa.array(["text"]).dictionary_encode()}), None, ["'s' is dictionary<", "--columns"]),
        (pa.table({"t": pa.array([0], pa.timestamp("ns"))}), None, ["'t' is timestamp[ns]", "--columns"]),
        (pa.table({"x": [[["text"]]]}), None, ["'x' is list<", "--columns"]),
        (pa.table({"n\nm": ["text"]}), None, ["'n m' is string"]),
        (pa.table({"x": [[1.0]], "a": [1.0]}), None, ["either one column of lists", "lists in 'x'", "--columns"]),
        (pa.table({"x": [[1.0]], "y": [[1.0]]}), None, ["either one column of lists", "'x', 'y'", "--columns"]),
    ],
)
def test_other_tables_are_refused(
    tmp_path: Path, save: Saved, opened: Opened, name: str, table: pa.Table, columns: Any, words: list[str]
):
    path = save(tmp_path / name, table)
    with refusal(path, *words):
        opened(path, columns)


@ARROW
def test_index_of_pandas_is_no_feature(tmp_path: Path, save: Saved, opened: Opened, name: str):
    frame = pd.DataFrame(ROWS, columns=NAMES, index=range(5, 25, 2)).loc[::-1]
    path = save(tmp_path / name, pa.Table.from_pandas(frame, preserve_index=True))
    assert_rows(opened(path, None), ROWS[::-1])
    assert_rows(opened(path, ["__index_level_0__"]), frame.index.to_numpy()[:, None])


def test_files_of_polars_and_pandas_are_read(tmp_path: Path):
    pl.DataFrame(ROWS, schema=NAMES).write_parquet(tmp_path / "p.parquet")
    pl.DataFrame({"x": ROWS}).write_ipc(tmp_path / "p.arrow", compression="zstd")
    pd.DataFrame(ROWS, columns=NAMES).to_feather(tmp_path / "p.feather")
    for opened, name in ((open_parquet, "p.parquet"), (open_feather, "p.arrow"), (open_feather, "p.feather")):
        assert_rows(opened(str(tmp_path / name), None), ROWS)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_compressed_batches_are_read(tmp_path: Path, compression: str | None):
    table = table_of(ROWS).append_column("text", pa.array(["text", None] * 5).dictionary_encode())
    assert_rows(open_feather(save_feather(tmp_path / "x.feather", table, 3, compression), NAMES), ROWS)


@ARROW
def test_empty_groups_are_passed_over(tmp_path: Path, save: Saved, opened: Opened, name: str):
    path, table = tmp_path / name, lists_of(ROWS, pa.list_(pa.float32()))
    parts = [table.slice(0, 0), table.slice(0, 4), table.slice(4, 0), table.slice(4), table.slice(0, 0)]
    if opened is open_parquet:
        with pq.ParquetWriter(path, table.schema) as writer:
            for part in parts:
                writer.write_table(part)
    else:
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            for part in parts:
                writer.write_batch(
                    part.to_batches()[0] if len(part) else pa.record_batch({"x": part["x"].combine_chunks()})
                )
    reader = opened(str(path), None)
    assert_rows(reader, ROWS)
    assert reader.block_bounds(1).tolist() == [0, 4, 10]


@ARROW
def test_blocks_follow_groups(tmp_path: Path, save: Saved, opened: Opened, name: str):
    reader = opened(save(tmp_path / name, table_of(ROWS), 3), None)
    bounds = {n: reader.block_bounds(n).tolist() for n in (1, 3, 5, 6, 7, 9, 100)}
    assert bounds[1] == bounds[3] == [0, 3, 6, 9, 10]
    assert bounds[5] == [0, 3, 6, 10]
    assert bounds[6] == [0, 6, 10]
    assert bounds[7] == [0, 6, 10]
    assert bounds[9] == [0, 9, 10]
    assert bounds[100] == [0, 10]
    assert reader.block_bounds(3).dtype == np.int64


@ARROW
def test_group_is_decoded_once_for_all_its_parts(
    tmp_path: Path, save: Saved, opened: Opened, name: str, monkeypatch: pytest.MonkeyPatch
):
    reader = opened(save(tmp_path / name, table_of(ROWS), 5), None)
    kind: Any = type(reader)
    decoded, original = [], kind._tables
    monkeypatch.setattr(
        kind, "_tables", lambda self, stream, number: (decoded.append(number), original(self, stream, number))[1]
    )
    for start in range(0, 10, 2):
        np.testing.assert_array_equal(reader.read(start, start + 2), ROWS[start : start + 2])
    assert decoded == [0, 1]
    assert reader.read(0, 10).base is None  # whole: neither taken from what is kept, nor kept
    assert decoded == [0, 1, 0, 1]
    other: Any = opened(reader.name, None)
    other.read(0, 5)
    assert other._kept is None
    first = reader.read(6, 7)
    first[:] = 9
    np.testing.assert_array_equal(reader.read(6, 7), ROWS[6:7])


def test_large_group_is_decoded_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader: Any = open_parquet(save_parquet(tmp_path / "x.parquet", table_of(ROWS), 10), None)
    monkeypatch.setattr(_arrow, "_DECODED", 3 * reader.row_bytes)
    with open(reader.name, "rb") as stream:
        assert [table.num_rows for table in reader._tables(stream, 0)] == [3, 3, 3, 1]
    np.testing.assert_array_equal(reader.read(0, 10), ROWS)


@ARROW
def test_groups_beyond_the_bound_are_refused_at_opening(
    tmp_path: Path, save: Saved, opened: Opened, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_arrow, "_MAX_GROUP", 5 * 12)
    assert_rows(opened(save(tmp_path / name, table_of(ROWS), 5), None), ROWS)
    path = save(tmp_path / name, table_of(ROWS), 6)
    with refusal(path, "no more than", "Write it with smaller", "size=...)"):
        opened(path, None)
    assert_rows(opened(path, ["a"]), ROWS[:, :1])


def test_stored_size_beyond_the_bound_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [save_feather(tmp_path / f"{kind}.arrow", table_of(ROWS), 10, kind) for kind in (None, "lz4", "zstd")]
    readers = [*(open_feather(path, None) for path in paths)]
    readers.append(open_parquet(save_parquet(tmp_path / "x.parquet", lists_of(ROWS, pa.list_(pa.float32()))), None))
    monkeypatch.setattr(_arrow, "_MAX_STORED", 100)
    monkeypatch.setattr(_arrow, "_validated", None)  # never reached
    for reader in readers:
        with refusal(reader.name, "Write it with smaller"):
            reader.read(0, 1)


def test_buffer_that_claims_more_than_memory_is_refused(tmp_path: Path):
    path = Path(save_feather(tmp_path / "x.arrow", table_of(np.zeros((1000, 3))), 1000, "zstd"))
    content = path.read_bytes()
    assert content.count((8000).to_bytes(8, "little")) == 3
    path.write_bytes(content.replace((8000).to_bytes(8, "little"), (1 << 60).to_bytes(8, "little"), 1))
    with refusal(path, "GiB of rows in one piece", "it holds 1,073,741,824.0 GiB"):
        open_feather(str(path), None).read(0, 1000)


def test_lists_are_decoded_in_little_memory_which_is_given_back(tmp_path: Path):
    rows = np.arange(10_000 * 784).reshape(10_000, 784).astype(np.uint8)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 784)
    reader = open_parquet(save_parquet(tmp_path / "x.parquet", pa.table([lists], ["x"]), len(rows)), None)
    usual, counting = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counting)
    try:
        read = reader.read(0, len(rows))
    finally:
        pa.set_memory_pool(usual)
    assert np.array_equal(read, rows)
    assert rows.nbytes < counting.max_memory() < 32 << 20  # 18 times a MiB of rows, and the pages
    assert counting.bytes_allocated() == 0


def test_decoded_bytes_are_those_of_all_buffers(tmp_path: Path):
    for compression in (None, "lz4"):
        path = save_feather(tmp_path / "x.arrow", table_of(np.zeros((1000, 3))), 1000, compression)
        with Path(path).open("rb") as stream:
            batches, dictionaries = _ipc.find_batches(stream)
            assert [batch.n_rows for batch in batches] == [1000]
            assert (_ipc.decoded_bytes(stream, batches[0]), dictionaries) == (24_000, [])


def opened_by_name(path: str, **options: Any) -> RowReader:
    return {".parquet": open_parquet, ".arrow": open_feather, ".csv": open_csv}[Path(path).suffix](
        path, None, **options
    )


KINDS = pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.csv"])


def saved_by_name(folder: Path, name: str) -> str:
    if name.endswith(".csv"):
        return write(folder / name, "".join(f"{','.join(map(repr, row))}\n" for row in ROWS.tolist()))
    return (save_parquet if name.endswith(".parquet") else save_feather)(folder / name, table_of(ROWS))


@KINDS
def test_file_that_changes_is_refused(tmp_path: Path, name: str):
    path = saved_by_name(tmp_path, name)
    reader = opened_by_name(path)
    found = os.stat(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    with refusal(path, "must not change while it is read"):
        reader.read(0, 1)


def test_file_is_watched_from_the_first_byte_to_the_last(tmp_path: Path):
    path, reached = write(tmp_path / "x", "before"), []
    stamp = FileStamp.of(path)
    with refusal(path, "must not change"), watched(path, stamp) as stream:
        assert stream.read() == b"before"
        write(tmp_path / "x", "after that")
    with refusal(path, "must not change"), watched(path, stamp):
        reached.append(path)
    assert not reached


@KINDS
def test_missing_file_and_folder_are_the_systems_errors(tmp_path: Path, name: str):
    with pytest.raises(FileNotFoundError, match=re.escape(repr(str(tmp_path / name)))):
        opened_by_name(str(tmp_path / name))
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match=re.escape(repr(str(tmp_path / name)))):
        opened_by_name(str(tmp_path / name))


@KINDS
def test_threads_read_the_same(tmp_path: Path, name: str):
    path = saved_by_name(tmp_path, name)
    reader = opened_by_name(path)
    expected = reader.read(0, 10)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda start: reader.read(start % 9, start % 9 + 2), range(200)))
    for start, part in enumerate(parts):
        np.testing.assert_array_equal(part, expected[start % 9 : start % 9 + 2])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"ARROW1\0\0ARROW1", b"\x89PNG\r\n\x1a\n" * 20, b"\0" * 200])
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_foreign_content_is_refused(tmp_path: Path, name: str, content: bytes):
    path = write(tmp_path / name, content)
    kind = "a Parquet file" if name == "x.parquet" else "an Arrow IPC file"
    with refusal(path, f"must be {kind}; it is truncated, altered or foreign ("):
        opened_by_name(path)


def damaged_files() -> dict[str, bytes]:
    files, stream = {}, io.BytesIO()
    lists = lists_of(ROWS, pa.list_(pa.float32()))
    for table, kind in ((table_of(ROWS), "columns"), (lists, "lists")):
        for compression in ("none", "zstd"):
            stream = io.BytesIO()
            pq.write_table(table, stream, row_group_size=4, compression=compression)
            files[f"{kind}-{compression}.parquet"] = stream.getvalue()
            stream = io.BytesIO()
            options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
            with pa.ipc.new_file(stream, table.schema, options=options) as file:
                file.write_table(table, max_chunksize=4)
            files[f"{kind}-{compression}.arrow"] = stream.getvalue()
    text = "".join(f"{','.join(map(repr, row))}\r\n" for row in ROWS.tolist())
    return {**files, "header.csv": b'a,"b",c\r\n' + text.encode(), "plain.csv": text.encode()}


FILES = damaged_files()
BYTES = st.tuples(st.integers(0, 1 << 20), st.integers(0, 255))


@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 1 << 20) | st.none(), flips=st.lists(BYTES, max_size=3), lenient=st.booleans())
def test_damaged_file_gives_rows_or_one_line(tmp_path: Path, name: str, cut: int | None, flips: Any, lenient: bool):
    content = bytearray(FILES[name])
    for place, value in flips:
        content[place % len(content)] = value
    path = write(
        tmp_path / f"damaged{Path(name).suffix}", bytes(content[: None if cut is None else cut % len(content)])
    )
    said = None
    try:
        reader = opened_by_name(path, **({"lenient": lenient} if name.endswith("csv") else {}))
        for start in range(0, min(len(reader), 100), 4):
            rows = reader.read(start, min(start + 4, len(reader)))
            assert rows.dtype == reader.dtype
            assert rows.shape[1:] == reader.shape[1:]
    except (ValueError, OSError) as error:
        said = str(error)
    assert said is None or (repr(path) in said and "\n" not in said)
