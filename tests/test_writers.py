"""Files that are written a block at a time, and are there whole or not at all."""

import io
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contractive.sources import _writers
from contractive.sources._arrow import open_parquet
from contractive.sources._writers import open_writer
from row_files import refusal, write
from table_files import NAMES, ROWS, assert_rows


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
