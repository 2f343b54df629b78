"""Rows of Parquet, Arrow IPC and text files, and files that are written a block at a time."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
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

from contractive.sources import _arrow, _csv, _ipc, _writers
from contractive.sources._arrow import open_feather, open_parquet
from contractive.sources._base import FileStamp, RowReader
from contractive.sources._columns import Layout, fill
from contractive.sources._csv import open_csv
from contractive.sources._tables import watched
from contractive.sources._writers import open_writer

ROWS = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
NAMES = ["a", "b", "c"]
Saved = Callable[..., str]
Opened = Callable[..., RowReader]


def refusal(path: str | Path, *words: str, error: type[Exception] = ValueError):
    """Expect an error in one line that names the file, then says the words."""
    pattern = re.escape(repr(str(path))) + "".join(f".*{re.escape(word)}" for word in words)
    return pytest.raises(error, match=rf"\A[^\n]*{pattern}[^\n]*\Z")


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


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


ARROW = pytest.mark.parametrize(
    ("save", "opened", "name"),
    [(save_parquet, open_parquet, "x.parquet"), (save_feather, open_feather, "x.arrow")],
    ids=["parquet", "feather"],
)


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


def csv_of(folder: Path, content: str | bytes, columns: Any = None, name: str = "x.csv", **options: Any) -> RowReader:
    return open_csv(write(folder / name, content), columns, **options)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "{}", "{}{}{}"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("delimiter", "name"), [(",", "x.csv"), (";", "x.csv"), ("\t", "x.csv"), ("\t", "x.tsv")])
@pytest.mark.parametrize("header", [True, False])
def test_text_is_read(tmp_path: Path, end: str, last: str, bom: bytes, delimiter: str, name: str, header: bool):
    rows = ROWS.astype(np.float64)
    lines = [delimiter.join(map(repr, row)) for row in rows.tolist()]
    lines = [delimiter.join(["a", '"b, ; c"', "é"]), *lines] if header else lines
    content = bom + (end.join(lines) + last.replace("{}", end)).encode()
    assert_rows(csv_of(tmp_path, content, None, name), rows)
    columns = ["é", "b, ; c"] if header else ["2", "1"]
    assert_rows(csv_of(tmp_path, content, columns, name), rows[:, [2, 1]])


def test_forms_of_numbers(tmp_path: Path):
    written = [
        "1",
        "+1.5",
        "-2.",
        ".5",
        "1e3",
        "1E-2",
        '"7"',
        '"-7.5"',
        " 8 ",
        "",
        '""',
        "nan",
        "-inf",
        "Infinity",
        "007",
    ]
    values = [1, 1.5, -2, 0.5, 1000, 0.01, 7, -7.5, 8, np.nan, np.nan, np.nan, -np.inf, np.inf, 7]
    for number in range(len(written)):  # a bad row has its neighbors parsed one by one, which must not change them
        content = "".join(f"{form},0.1\n" for form in written) + "x,0\n" * (number % 2)
        reader = csv_of(tmp_path, f"0,0\n{content}", lenient=True)
        expected = [*values, *[np.nan] * (number % 2)]
        np.testing.assert_array_equal(reader.read(1, len(reader))[:, 0], expected)
    assert csv_of(tmp_path, "1\n\n\n").shape == (1, 1)
    assert csv_of(tmp_path, "0.1\n0.30000000000000004\n").read(1, 2)[0, 0] == 0.1 + 0.2


def test_good_rows_are_not_parsed_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader = csv_of(tmp_path, 'a,b\r\n1,""\r\n,"2"\r\n +3,-inf\r\n')
    monkeypatch.setattr(_csv, "_fields", None)
    np.testing.assert_array_equal(reader.read(0, 3), [[1, np.nan], [np.nan, 2], [3, -np.inf]])
    monkeypatch.undo()
    reader = csv_of(tmp_path, "1\n2\n3")  # a last line without an end, as long as a blank one
    monkeypatch.setattr(_csv, "_fields", None)
    np.testing.assert_array_equal(reader.read(0, 3), [[1], [2], [3]])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("x,0,0", "line 5 has 'x' in 'a'"),
        ('0,0,"1,5"', "line 5 has '1,5' in 'c'"),
        ("NA,0,0", "line 5 has 'NA' in 'a'"),
        ("0,1_0,0", "line 5 has '1_0' in 'b'"),
        ("0,0x10,0", "line 5 has '0x10' in 'b'"),
        ("0, ,0", "line 5 has ' ' in 'b'"),
        ("0,0,\N{ARABIC-INDIC DIGIT ONE}", "line 5 has '\N{ARABIC-INDIC DIGIT ONE}' in 'c'"),
        ("0,0," + "y" * 50, f"line 5 has '{'y' * 27}...' in 'c'"),
        ("0,0", "3 fields in each line; line 5 has 2"),
        ("0,0,0,", "3 fields in each line; line 5 has 4"),
        ("", "3 fields in each line; line 5 is blank"),
        ('0,"0,0', "3 fields in each line; line 5 has stray quotes"),
        ("0,0,0\r0,0,0", "3 fields in each line; line 5 has stray quotes or line ends"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("n_rows", [5, 500])
def test_bad_row_is_refused_by_line_or_all_nan(tmp_path: Path, bad: str, words: str, end: str, n_rows: int):
    rows = np.arange(3.0 * n_rows).reshape(-1, 3)
    lines = ["a,b,c", *(",".join(map(repr, row)) for row in rows.tolist())]
    lines[4] = bad
    content = end.join(lines) + end
    reader = csv_of(tmp_path, content)
    np.testing.assert_array_equal(reader.read(0, 3), rows[:3])
    with refusal(reader.name, words, "--bad-rows skip"):
        reader.read(2, n_rows)
    rows[3] = np.nan
    lenient = csv_of(tmp_path, content, lenient=True)
    for start, stop in ((0, n_rows), (3, 4), (2, 5)):
        np.testing.assert_array_equal(lenient.read(start, stop), rows[start:stop])


def test_single_column_with_a_blank_line_is_a_bad_row(tmp_path: Path):
    with refusal(tmp_path / "x.csv", "1 field in each line; line 2 is blank"):
        csv_of(tmp_path, "1\n\n3\n").read(0, 3)
    np.testing.assert_array_equal(csv_of(tmp_path, "1\n\n3\n", lenient=True).read(0, 3), [[1], [np.nan], [3]])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('0,0\n"x\ny",1\n', 2),  # pyarrow sees one row in these two lines
        ('0,0\n"x\ny",1\r0,2\n', 2),  # and here two, though others
        ("0,0\n\n0,1\n", 2),
        ("0,0\r\n\r\n0,1\r\n", 2),
        ("\n".join(["0,0", *["0,1"] * 100, '"x', 'y",1']), 102),
    ],
)
def test_rows_are_lines_whatever_pyarrow_takes_for_one(tmp_path: Path, content: str, line: int):
    reader = csv_of(tmp_path, content, ["1"])
    with refusal(reader.name, "2 fields in each line", f"line {line} "):
        reader.read(1, len(reader))
    lenient = csv_of(tmp_path, content, ["1"], lenient=True)
    assert np.isnan(lenient.read(line - 1, line)).all()


def test_byte_order_mark_is_none_in_the_middle(tmp_path: Path):
    reader = csv_of(tmp_path, "1\n\ufeff2\n3\n")
    for start in (0, 1):
        with refusal(reader.name, "line 2 has", "in '0'"):
            reader.read(start, 3)


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        (b"", None, ["must hold rows"]),
        (b"\n\r\n", None, ["must hold rows"]),
        (b"a,b\n", None, ["must hold rows"]),
        (b"a,b\n\n\n", None, ["must hold rows"]),
        (b"\n1,2\n", None, ["first line is blank"]),
        (b"a,b\n1,text\n", None, ["numbers only", "'b' begins with 'text'", "--columns"]),
        (b"a;b\n1,5;2\n", None, ["numbers only", "'a' begins with '1,5'", "--columns"]),
        (b"a,b\n1,2,3\n", None, ["2 fields in each line; line 2 has 3"]),
        (b"a,b\n1,2\n", ["b", "z"], ["no 'z'", "It has 'a', 'b'."]),
        (b"a,a\n1,2\n", None, ["'a' twice"]),
        (b"a,\xff\n1,2\n", None, ["text in UTF-8", "line 1"]),
        ("a,b\n1,2\n".encode("utf-16"), None, ["text in UTF-8"]),
        (b"1,2\n3,\0\n", None, ["text in UTF-8", "zero byte"]),
        (b"a,b\r1,2\r", None, ["lone \\r"]),
        (b'"a,b\nc",d\n1,2\n', None, ["first line of fields"]),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, content: bytes, columns: Any, words: list[str]):
    with refusal(tmp_path / "x.csv", *words):
        csv_of(tmp_path, content, columns)


def test_columns_of_text_are_refused_though_bad_rows_are_allowed(tmp_path: Path):
    content = "a,b\n" + "".join(f"{number},text{number}\n" for number in range(200))
    with refusal(tmp_path / "x.csv", "'b' begins with 'text0'", "--columns"):
        csv_of(tmp_path, content, lenient=True)
    assert_rows(csv_of(tmp_path, content, ["a"], lenient=True), np.arange(200.0)[:, None])
    reader = csv_of(tmp_path, "a,b\nx,y\n1,z\nz,2\n", lenient=True)
    np.testing.assert_array_equal(reader.read(0, 3), np.full((3, 2), np.nan))


def test_row_numbers_without_a_name_are_no_feature(tmp_path: Path):
    frame = pd.DataFrame(ROWS.astype(np.float64), columns=NAMES)
    frame.to_csv(tmp_path / "x.csv")
    assert_rows(open_csv(str(tmp_path / "x.csv"), None), frame.to_numpy())
    assert_rows(open_csv(str(tmp_path / "x.csv"), [""]), np.arange(10.0)[:, None])


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("apart", [1, 10, 100])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n\n"])
def test_rows_are_found_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, apart: int, tail: str
):
    monkeypatch.setattr(_csv, "_CHUNK", chunk)
    monkeypatch.setattr(_csv, "_APART", apart)
    rows = np.array([[10.0**number, number] for number in range(12)])
    content = "a,b\r\n" + "\r\n".join(f"{first!r},{second!r}" for first, second in rows.tolist()) + tail
    assert_rows(csv_of(tmp_path, content), rows)


def test_places_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_csv, "_APART", 1)
    monkeypatch.setattr(_csv, "_PLACES", 16)
    reader: Any = csv_of(tmp_path, "".join(f"{number}\n" for number in range(1000)))
    assert 8 <= len(reader._places.numbers) <= 16
    assert_rows(csv_of(tmp_path, "".join(f"{number}\n" for number in range(50))), np.arange(50.0)[:, None])


@pytest.mark.parametrize("end", ["", "\n", "\n1,2\n"])
@pytest.mark.parametrize(("begin", "line"), [("", 1), ("1,2\n", 2), ("1,2\n1,2\n3,4\n", 4)])
def test_line_beyond_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, line: int, end: str
):
    monkeypatch.setattr(_csv, "_CHUNK", 8)
    monkeypatch.setattr(_csv, "_MAX_LINE", 20)
    with refusal(tmp_path / "x.csv", "lines of at most", f"line {line} is longer"):
        csv_of(tmp_path, f"{begin}1,{'2' * 40}{end}")


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "u1", "?", "f2"])
@pytest.mark.parametrize("n_columns", [0, 3])
def test_npy_is_what_numpy_saves(tmp_path: Path, dtype: str, n_columns: int):
    rows = (ROWS > 0 if dtype == "?" else ROWS).astype(dtype)
    rows = rows if n_columns else rows[:, 0]
    with open_writer(tmp_path / "x.npy", len(rows), n_columns, rows.dtype) as writer:
        for start in range(0, 10, 4):
            part = np.asfortranarray(rows[start : start + 4])
            writer.write(part.astype("f8") if start else part)  # the file's dtype is the one that was announced
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(rows))
    assert (tmp_path / "x.npy").read_bytes() == stream.getvalue()


def test_npy_is_sent_to_the_disk_as_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(_writers, "_SENT_BYTES", 30)
    monkeypatch.setattr("os.posix_fadvise", lambda file, start, length, advice: sent.append((start, length)))
    with open_writer(tmp_path / "x.npy", 10, 3, ROWS.dtype) as writer:
        for row in ROWS:
            writer.write(row[None])
    end = sum(sent[-1])
    assert [start for start, _ in sent] == [128, *(sum(pair) for pair in sent[:-1])]
    assert 0 <= (tmp_path / "x.npy").stat().st_size - end < 30
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), ROWS)


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
@pytest.mark.parametrize("n_columns", [0, 3])
def test_no_rows_can_be_written(tmp_path: Path, name: str, n_columns: int):
    with open_writer(tmp_path / name, 0, n_columns, np.dtype("f4")) as writer:
        writer.write(np.empty((0, n_columns)[: 1 + bool(n_columns)], np.float32))
    found = np.load(tmp_path / name) if name == "x.npy" else pq.read_table(tmp_path / name)
    assert found.shape == ((0, 3) if n_columns else (0,) if name == "x.npy" else (0, 1))


def test_parquet_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_writers, "_GROUP_BYTES", 4 * 12 + 5)
    with open_writer(tmp_path / "x.parquet", 10, 3, ROWS.dtype, NAMES) as writer:
        for start, stop in ((0, 1), (1, 3), (3, 3), (3, 10)):
            writer.write(ROWS[start:stop])
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(3)] == [4, 4, 2]
    assert file.schema_arrow == pa.schema([(name, pa.float32()) for name in NAMES])
    assert_rows(open_parquet(str(tmp_path / "x.parquet"), None), ROWS)


def test_numbers_are_one_column_of_parquet(tmp_path: Path):
    with open_writer(tmp_path / "x.parquet", 10, 0, np.dtype(">f8"), ["score"]) as writer:
        writer.write(ROWS[:, 0].astype(">f8"))
    assert pq.read_table(tmp_path / "x.parquet").to_pydict() == {"score": ROWS[:, 0].astype(float).tolist()}


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
@pytest.mark.parametrize("n_rows", [9, 11])
def test_other_rows_than_announced_leave_nothing(tmp_path: Path, name: str, n_rows: int):
    write(tmp_path / name, "before")
    with (
        refusal(tmp_path / name, f"given {n_rows} rows; got 10", error=RuntimeError),
        open_writer(tmp_path / name, n_rows, 3, ROWS.dtype) as writer,
    ):
        writer.write(ROWS[:9])
        with pytest.raises(RuntimeError) if n_rows == 9 else nullcontext():  # at once, before the disk is full
            writer.write(ROWS[9:])
    with (
        refusal(tmp_path / name, "rows of shape (3,); got (2,)", error=RuntimeError),
        open_writer(tmp_path / name, 10, 3, ROWS.dtype) as writer,
    ):
        writer.write(ROWS[:, :2])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"before"}


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, FileNotFoundError(2, "none", "other")])
def test_failure_leaves_nothing(tmp_path: Path, name: str, error: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_writers, "_GROUP_BYTES", 1)
    with pytest.raises(type(error) if isinstance(error, Exception) else error) as raised:  # noqa: SIM117, PT012
        with open_writer(tmp_path / name, 10, 3, ROWS.dtype) as writer:
            writer.write(ROWS[:4])
            raise error
    assert getattr(raised.value, "filename", "other") == "other"  # not the file that was being written
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full disk to write to")
@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_full_disk_is_the_systems_error(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "open", lambda path, mode: open("/dev/full", "wb", buffering=0))  # noqa: SIM115, PTH123
    with pytest.raises(OSError, match="No space left"), open_writer(tmp_path / name, 10, 3, ROWS.dtype) as writer:
        writer.write(ROWS)


def test_other_endings_are_refused(tmp_path: Path):
    with refusal(tmp_path / "x.csv", "must end in .npy or .parquet"), open_writer(tmp_path / "x.csv", 1, 1, ROWS.dtype):
        pass
    assert not list(tmp_path.iterdir())


def test_pyarrow_is_imported_when_it_is_needed(tmp_path: Path):
    write(tmp_path / "pyarrow.py", "raise ImportError('none', name='pyarrow')")
    code = (
        "import sys, contractive.sources, pathlib\n"
        "from contractive.sources import _arrow as a, _csv as c, _writers as w\n"
        "assert not {'pyarrow', 'jax'} & set(sys.modules)\n"
        "for opened in (a.open_parquet, a.open_feather, c.open_csv, "
        "lambda path, columns: w.open_writer(pathlib.Path('x.parquet'), 1, 1, 'f4').__enter__()):\n"
        "    try: opened('x.parquet', None)\n"
        "    except ImportError as error: assert 'pip install contractive[data]' in str(error), error\n"
        "    else: raise SystemExit('no error')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
