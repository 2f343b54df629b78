"""Commands on data of every kind: files, patterns, folders, columns, bad rows; what they write, what they refuse."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import contractive
from console import history, weights
from contractive import ContractiveAutoencoder
from contractive.cli._data import available_bytes, in_memory
from contractive.sources import RowReader, RowSource

pytestmark = pytest.mark.usefixtures("quickly_compiled")

TABLE = np.random.default_rng(0).random((60, 4)).astype(np.float32)
NAMES = ["a", "b", "c", "d"]
TRAIN = ["--epochs", 2, "--components", 3, "--out", "run"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The same rows in files of several kinds."""
    np.save(tmp_path / "x.npy", TABLE)
    for number, part in enumerate(np.array_split(TABLE, 3)):
        np.save(tmp_path / f"part-{number}.npy", part)
    columns = {name: TABLE[:, number] for number, name in enumerate(NAMES)}
    pq.write_table(pa.table({"name": ["row"] * 60, **columns}), tmp_path / "x.parquet", row_group_size=7)
    lines = [",".join(NAMES), *(",".join(map(repr, row)) for row in TABLE.astype(float).tolist())]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def run(call: Any, files: Path) -> Path:
    assert call("train", "x.npy", *TRAIN).code == 0
    return files / "run"


@pytest.mark.parametrize(
    "arguments", [["part-*.npy"], ["x.parquet", "--columns", "a,b,c,d"], ["x.parquet", "--columns", "d, c,b,a"]]
)
def test_rows_train_alike_whatever_they_lie_in(call: Any, run: Path, arguments: list[str]):
    expected = weights(run)
    assert call("train", *arguments, *TRAIN, "--overwrite").code == 0
    if arguments[-1].startswith("d"):
        assert call("train", "x.npy", *TRAIN, "--overwrite").code == 0
    assert weights(run) == expected


def test_csv_is_float64_all_through(call: Any, run: Path, files: Path):
    np.save(files / "double.npy", TABLE.astype(np.float64))
    assert call("train", "double.npy", *TRAIN, "--overwrite").code == 0
    expected = weights(run)
    assert call("train", "x.csv", *TRAIN, "--overwrite").code == 0
    assert weights(run) == expected


def test_folder_of_pictures_is_trained_on_in_their_shape(call: Any, tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 7), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number:02}.png")
    assert call("train", "pictures", *TRAIN).code == 0
    with Image.open(tmp_path / "run" / "filters.png") as picture:
        assert picture.size[1] % 6 == 5  # tiles of five rows of pixels with a line between


@pytest.mark.parametrize("data", ["x.npy", "part-*.npy", "x.csv"])
@pytest.mark.parametrize("out", ["h.npy", "h.parquet"])
def test_encode_writes_what_transform_gives(
    call: Any, run: Path, files: Path, data: str, out: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("contractive.cli._encode.BLOCK_BYTES", 7 * 16)
    outcome = call("encode", "run", data, "--out", out)
    assert (outcome.code, outcome.out) == (0, f"wrote {out}: 60 rows of 3 float32 components\n")
    codes = contractive.load(run / "model.safetensors").transform(TABLE)
    found = np.load(files / out) if out.endswith("npy") else pq.read_table(files / out).to_pandas().to_numpy()
    np.testing.assert_allclose(found, codes, rtol=1e-5)
    assert found.dtype == np.float32


def test_score_writes_what_score_samples_gives(call: Any, run: Path, files: Path):
    scores = contractive.load(run / "model.safetensors").score_samples(TABLE)
    outcome = call("score", "run", "part-*.npy", "--out", "s.npy")
    spread = f"{scores.min():.4f} to {scores.max():.4f}, mean {scores.mean():.4f}"
    assert (outcome.code, outcome.out) == (0, f"wrote s.npy: 60 rows, scores {spread}\n")
    np.testing.assert_allclose(np.load(files / "s.npy"), scores, rtol=1e-6)
    assert call("score", "run", "x.npy", "--out", "s.parquet").code == 0
    assert pq.read_table(files / "s.parquet").column_names == ["score"]


@pytest.fixture
def bad(files: Path) -> np.ndarray:
    """Rows 3, 40 and 59 of x.npy hold no numbers, and so does the last of the shards."""
    table = TABLE.copy()
    table[[3, 40, 59], [0, 1, 3]] = np.nan, np.inf, np.nan
    np.save(files / "x.npy", table)
    np.save(files / "part-2.npy", table[40:])
    lines = (files / "x.csv").read_text().splitlines()
    lines[4], lines[41], lines[60] = "1,2", "1,,2,3", "x" + lines[60]
    (files / "x.csv").write_text("\n".join(lines) + "\n")
    return np.array([3, 40, 59])


@pytest.mark.parametrize("data", ["x.npy", "x.csv"])
def test_bad_rows_are_left_out_of_training(call: Any, run: Path, files: Path, bad: np.ndarray, data: str):
    kept = np.delete(TABLE.astype(np.float64 if data == "x.csv" else np.float32), bad, axis=0)
    np.save(files / "kept.npy", kept)
    assert call("train", "kept.npy", *TRAIN, "--overwrite").code == 0
    expected = weights(run)
    outcome = call("train", data, *TRAIN, "--overwrite", "--bad-rows", "skip")
    assert (outcome.code, outcome.err) == (0, f"left out 3 bad rows of 60 in {data}\n")
    assert weights(run) == expected
    again = call("train", "--config", "run/config.json", "--out", "again")
    assert (again.code, again.err) == (0, outcome.err)
    report = call("report", "run")
    assert (report.code, report.err) == (0, outcome.err)


def test_bad_rows_are_nan_in_what_is_written(call: Any, run: Path, files: Path, bad: np.ndarray):
    model = contractive.load(run / "model.safetensors")
    outcome = call("encode", "run", "x.npy", "--out", "h.npy", "--bad-rows", "skip")
    assert (outcome.code, outcome.out) == (0, "wrote h.npy: 60 rows (3 bad ones as NaN) of 3 float32 components\n")
    found = np.load(files / "h.npy")
    assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == bad.tolist()
    good = np.delete(np.arange(60), bad)
    np.testing.assert_allclose(found[good], model.transform(TABLE[good]), rtol=1e-5)
    assert call("score", "run", "x.npy", "--out", "s.npy", "--bad-rows", "skip").code == 0
    np.testing.assert_allclose(np.load(files / "s.npy")[good], model.score_samples(TABLE[good]), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "x.npy", *TRAIN, "--overwrite"], ["finite; got NaN at row 3, column 0"]),
        (["encode", "run", "x.npy", "--out", "h.npy"], ["`x.npy` must be finite; got NaN at row 3, column 0"]),
        (["score", "run", "part-*.npy", "--out", "h.npy"], ["infinity at row 0 of 'part-2.npy', column 1"]),
        (["encode", "run", "x.csv", "--out", "h.npy"], ["'x.csv'", "line 5"]),
        (["encode", "run", "x.parquet", "--out", "h.npy"], ["'x.parquet'", "'name'", "--columns"]),
        (["encode", "run", "x.parquet", "--columns", "a,e", "--out", "h.npy"], ["'x.parquet'", "'e'"]),
        (["encode", "run", "x.parquet", "--columns", "a,b", "--out", "h.npy"], ["4", "2"]),
        (["encode", "run", "x.npy", "--columns", "a,b", "--out", "h.npy"], ["--columns must go with tables"]),
        (["encode", "run", "x.npy", "--out", "h.txt"], ["`--out`", ".npy or .parquet", "h.txt"]),
        (["encode", "run", "x.npy", "--out", "none/h.npy"], ["none/h.npy"]),
        (["train", "none-*.npy", *TRAIN, "--overwrite"], ["'none-*.npy' matches no file"]),
    ],
)
def test_one_line_says_what_is_wrong_with_data(
    refused: Any, run: Path, bad: np.ndarray, arguments: list[object], words: list[str]
):
    refused(arguments, words)


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        (TABLE[:, :3], ["same features", "4 in 'part-0.npy'", "3 in 'part-1.npy'"]),
        (TABLE[:0], ["part-1.npy", "got 0"]),
        (TABLE.astype(np.uint8), ["same dtype", "float32", "uint8"]),
        (np.array([["a"] * 4]), ["part-1.npy", "<U1"]),
    ],
)
def test_one_line_says_which_shard_is_another(refused: Any, files: Path, shard: np.ndarray, words: list[str]):
    np.save(files / "part-1.npy", shard)
    refused(["train", "part-*.npy", *TRAIN], words)


def test_disk_that_is_full_leaves_nothing_of_what_is_written(refused: Any, run: Path, monkeypatch: pytest.MonkeyPatch):
    def write(self: Any, rows: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("contractive.sources._writers.PlainWriter.write", write)
    refused(["encode", "run", "x.npy", "--out", "h.npy"], ["No space left on device"])


def test_file_that_is_replaced_while_it_is_trained_on_keeps_the_finished_epochs(
    call: Any, files: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("contractive.cli._data.available_bytes", lambda: 0)  # read again each epoch

    def replace(self: Any, record: Any, save: Any) -> None:
        original(self, record, save)
        if record["epoch"] == 1:
            np.save(files / "x.npy", TABLE[::-1])

    from contractive.runs import RunFolder

    original = RunFolder.finish_epoch
    monkeypatch.setattr(RunFolder, "finish_epoch", replace)
    outcome = call("train", "x.npy", *TRAIN, "--epochs", 3)
    assert outcome.code == 2
    finished = len(history(files / "run"))
    assert finished in (1, 2)  # as the rows of the second epoch may have been read before
    assert outcome.err == (
        "contractive: 'x.npy' must not change while it is read; it did. Start again when it is whole. "
        f"run holds the {finished} finished {'epoch' if finished == 1 else 'epochs'}.\n"
    )


def test_read_error_in_a_later_epoch_keeps_the_finished_ones(call: Any, files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("contractive.cli._data.available_bytes", lambda: 0)
    reads: list[int] = []

    def read(path: Any, *rest: Any) -> None:
        reads.append(1)
        if len(reads) > 1:
            raise OSError(5, "Input/output error", str(path))
        original(path, *rest)

    import contractive.sources._npy as module

    original = module.read_bytes
    monkeypatch.setattr(module, "read_bytes", read)
    outcome = call("train", "x.npy", *TRAIN, "--no-shuffle")
    assert outcome.code == 2
    assert "'x.npy': Input/output error" in outcome.err
    assert "run holds the 1 finished epoch" in outcome.err


def test_looking_at_rows_beyond_memory_takes_next_to_none():
    class Endless(RowReader):
        name, shape, dtype = "endless", (10**10, 784), np.dtype(np.uint8)

        def read(self, start: int, stop: int) -> np.ndarray:
            raise AssertionError("nothing is read yet")

    tracemalloc.start()
    try:
        source = in_memory(RowSource("endless", Endless(), None), ContractiveAutoencoder(50), 2 << 30, True)
        # By the row it would be 80 GB; by the block 15 MB, and copies.
        assert tracemalloc.get_traced_memory()[1] < 1 << 28
    finally:
        tracemalloc.stop()
    assert isinstance(source.rows, Endless)


def test_memory_is_asked_of_the_system_where_linux_does_not_tell(monkeypatch: pytest.MonkeyPatch):
    def unreadable(path: Path) -> str:
        raise OSError(2, "none", str(path))

    told = available_bytes()
    monkeypatch.setattr(Path, "read_text", unreadable)
    assert available_bytes() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >= told


def test_nothing_is_left_out_of_rows_that_are_all_good(call: Any, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(9, 4)).astype(np.float32))
    outcome = call("train", "x.npy", "--bad-rows", "skip", "--out", "run", "--components", 2, "--epochs", 1)
    assert (outcome.code, outcome.err) == (0, "")
