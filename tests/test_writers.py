"""Files that are written a block at a time, and are there whole or not at all."""

import fcntl
import io
import mmap
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


def _takes_direct_writing(folder: Path) -> bool:
    try:
        file = os.open(folder / "tried", os.O_CREAT | os.O_WRONLY | os.O_DIRECT)
        try:
            return os.write(file, mmap.mmap(-1, 4096)) > 0
        finally:
            os.close(file)
    except OSError:
        return False


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="only Linux writes past its cache")
@pytest.mark.parametrize(("most", "pieces"), [(None, [True, True]), (0, []), (1 << 20, [True, True]), (1000, [True])])
def test_long_npy_is_what_numpy_saves_however_the_disk_takes_it(
    tmp_path: Path, most: int | None, pieces: list[bool], monkeypatch: pytest.MonkeyPatch
):
    rows = np.random.default_rng(0).random((10_000, 401), dtype=np.float32)  # a short piece, two whole ones, the rest
    pieces = pieces if _takes_direct_writing(tmp_path) else []
    direct: list[bool] = []

    def refuse(file: int, command: int, *flags: int) -> int:
        if flags:
            raise OSError(22, "Invalid argument")
        return asked(file, command)

    def write_some(file: int, content: memoryview) -> int:
        direct.append(bool(asked(file, fcntl.F_GETFL) & os.O_DIRECT))
        return written(file, content[:most] if direct[-1] and most else content)

    written, asked = os.write, fcntl.fcntl
    monkeypatch.setattr("os.write", write_some)
    if most == 0:
        monkeypatch.setattr("contractive.sources._plain.fcntl.fcntl", refuse)
    with open_writer(tmp_path / "x.npy", len(rows), rows.shape[1], rows.dtype) as writer:
        for start in range(0, len(rows), 999):
            writer.write(rows[start : start + 999])
    stream = io.BytesIO()
    np.save(stream, rows)
    assert (tmp_path / "x.npy").read_bytes() == stream.getvalue()
    assert [one for one in direct if one] == pieces  # where a piece was taken in part, it ends as usual


@pytest.mark.parametrize("limit", [3, 5, 8])
def test_disk_that_is_full_within_a_piece_leaves_nothing(tmp_path: Path, limit: int):
    code = (
        "import numpy as np, pathlib, resource\n"
        "from contractive.sources._writers import open_writer\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit} << 20,) * 2)\n"
        "try:\n"
        "    with open_writer(pathlib.Path('x.npy'), 3 << 20, 0, np.dtype('f4')) as writer:\n"
        "        for _ in range(3): writer.write(np.ones(1 << 20, 'f4'))\n"
        "except OSError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=120, check=True)
    assert b"File too large" in run.stdout
    assert not list(tmp_path.iterdir())


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
