"""Rows by name and by path; every file that holds something else is refused by name."""

import mmap
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contractive._validation import check_rows
from contractive.datasets import load_digits, load_mnist
from contractive.sources import (
    ArrayRows,
    CheckedRows,
    RowRanges,
    RowReader,
    open_rows,
    paged_empty,
    without_bad_rows,
)
from contractive.sources._base import FileStamp, read_bytes
from row_files import refusal, write

TABLE = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)


def save(path: Path, **arrays: np.ndarray) -> str:
    """A .npy file of the only array, or a .npz file of all."""
    if path.suffix == ".npy":
        np.save(path, *arrays.values(), allow_pickle=True)
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


@pytest.mark.usefixtures("mnist_cache")
def test_data_sets_are_opened_by_name():
    mnist, digits = open_rows("mnist"), open_rows("digits")
    assert (mnist.name, mnist.image_shape, digits.image_shape) == ("mnist", (28, 28), (8, 8))
    assert mnist.rows.dtype == np.uint8
    assert np.array_equal(mnist.rows[-3:], load_mnist()[0][0][-3:])
    assert np.array_equal(digits.rows, load_digits()[0][0])


def test_npy_is_read_a_block_at_a_time(tmp_path: Path):
    path = save(tmp_path / "x.npy", a=TABLE)
    source = open_rows(path)
    assert isinstance(source.rows, RowReader)
    assert (source.rows.shape, source.rows.dtype, source.n_features) == ((4, 3), np.float32, 3)
    assert np.array_equal(source.rows.read(1, 3), TABLE[1:3])
    assert np.array_equal(np.asarray(source.rows), TABLE)
    assert (source.name, source.image_shape) == (path, None)


@pytest.mark.parametrize("table", [np.asfortranarray(TABLE), TABLE[0], TABLE.reshape(2, 2, 3), TABLE[:0]])
def test_npy_of_another_order_or_shape_is_mapped(tmp_path: Path, table: np.ndarray):
    rows = open_rows(save(tmp_path / "x.npy", a=table)).rows
    assert isinstance(rows, np.ndarray)
    assert np.array_equal(rows, table)


@pytest.mark.parametrize("change", ["grown", "touched", "replaced", "gone"])
def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str):
    path = tmp_path / "x.npy"
    rows = open_rows(save(path, a=TABLE)).rows
    if change == "grown":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "touched":
        os.utime(path, ns=(0, 0))
    elif change == "replaced":
        np.save(tmp_path / "y.npy", TABLE)
        time = path.stat().st_mtime_ns
        os.utime(tmp_path / "y.npy", ns=(time, time))
        (tmp_path / "y.npy").rename(path)
    else:
        path.unlink()
        with pytest.raises(FileNotFoundError):
            rows[:2]
        return
    with refusal(str(path), "must not change while it is read"):
        rows[:2]


def test_file_that_ends_while_it_is_read_is_refused(tmp_path: Path):
    path = tmp_path / "x.npy"
    save(path, a=TABLE)
    size = path.stat().st_size
    with refusal(str(path), f"must have {size + 9} bytes; it ends after {size}"):
        read_bytes(path, FileStamp.of(path), size - 1, memoryview(bytearray(10)))


def test_checked_rows_are_called_as_the_rows_they_check():
    rows = CheckedRows(ArrayRows("x", np.ones((3, 2)), "line {}".format))
    assert [rows.place(row) for row in range(3)] == ["line 0", "line 1", "line 2"]


def test_idx_files_of_a_folder_go_on_from_each_other(tmp_path: Path):
    for number in range(2):
        content = b"\0\0\x08\2" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(range(number, number + 6))
        (tmp_path / f"part-{number}-idx2-ubyte").write_bytes(content)
    rows = np.asarray(open_rows(str(tmp_path)).rows)
    assert rows.tolist() == [[0, 1, 2], [3, 4, 5], [1, 2, 3], [4, 5, 6]]


def shards(folder: Path, *tables: np.ndarray) -> str:
    for number, table in enumerate(tables):
        np.save(folder / f"part-{number}.npy", table)
    return str(folder / "part-*.npy")


def test_files_of_a_pattern_or_folder_go_on_from_each_other(tmp_path: Path):
    pattern = shards(tmp_path, TABLE, 2 * TABLE[:1], np.asfortranarray(3 * TABLE))
    whole = np.concatenate([TABLE, 2 * TABLE[:1], 3 * TABLE])
    for data in (pattern, str(tmp_path)):
        rows = open_rows(data).rows
        assert isinstance(rows, RowReader)
        assert np.array_equal(np.asarray(rows), whole)
        for start, stop in [(0, 1), (3, 5), (4, 5), (2, 9), (8, 9)]:
            assert np.array_equal(rows.read(start, stop), whole[start:stop])
        assert rows.block_bounds(3).tolist() == [0, 3, 4, 5, 8, 9]
        assert rows.place(6) == f"row 1 of '{tmp_path / 'part-2.npy'}'"


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (TABLE[:, :2], ["same features", "3 in", "part-0.npy", "2 in", "part-1.npy"]),
        (TABLE.astype(np.float64), ["same dtype", "float32 in", "part-0.npy", "float64 in", "part-1.npy"]),
        (TABLE[:0], ["part-1.npy", "at least 1 row", "got 0"]),
        (TABLE[0], ["part-1.npy", "must be 2-d", "1-d"]),
    ],
)
def test_shards_that_do_not_go_together_are_refused(tmp_path: Path, second: np.ndarray, words: list[str]):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, words))):
        open_rows(shards(tmp_path, TABLE, second))


def test_pattern_without_files_is_refused(tmp_path: Path):
    with refusal(str(tmp_path / "*.npy"), "no file", error=FileNotFoundError):
        open_rows(str(tmp_path / "*.npy"))


def test_file_named_like_a_pattern_is_a_file(tmp_path: Path):
    path = save(tmp_path / "x[1].npy", a=TABLE)
    assert np.array_equal(np.asarray(open_rows(path).rows), TABLE)


def test_folder_of_several_kinds_or_none_is_refused(tmp_path: Path):
    with refusal(str(tmp_path), "files of one kind", "none"):
        open_rows(str(tmp_path))
    shards(tmp_path, TABLE)
    write(tmp_path / "x.csv", "1,2\n")
    write(tmp_path / ".hidden.npz", "")
    write(tmp_path / "readme.txt", "")
    with refusal(str(tmp_path), "got .csv, .npy", "pattern"):
        open_rows(str(tmp_path))


def test_columns_go_with_tables(tmp_path: Path):
    for data in ("digits", save(tmp_path / "x.npy", a=TABLE), shards(tmp_path, TABLE)):
        with pytest.raises(ValueError, match="--columns must go with tables"):
            open_rows(data, columns=["a"])
    path = write(tmp_path / "x.csv", "a,b\n1,2\n3,4\n")
    assert np.asarray(open_rows(path, columns=["b"]).rows).tolist() == [[2], [4]]


READER = ArrayRows("x", np.arange(24.0).reshape(12, 2))


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(3, 7),
        slice(5, 5),
        slice(None, None, 3),
        slice(-2, None),
        [4, 4, 1],
        [-1],
        3,
        np.arange(12) > 8,
    ],
)
def test_readers_are_indexed_as_arrays(rows: Any):
    assert np.array_equal(READER[rows], np.asarray(READER)[rows])


def test_row_numbers_beyond_a_reader_are_refused():
    for numbers in ([12], [-13]):
        with pytest.raises(IndexError):
            READER[numbers]


def test_a_buffer_is_read_into_where_that_saves_a_copy(tmp_path: Path):
    filed = open_rows(save(tmp_path / "x.npy", a=TABLE)).rows
    assert isinstance(filed, RowReader)
    buffer = np.zeros((2, 3), np.float32)
    assert filed.read_into(buffer, 1) is buffer
    assert np.array_equal(buffer, TABLE[1:3])
    assert np.array_equal(READER.read_into(np.zeros((3, 2)), 4), np.asarray(READER)[4:7])


def test_paged_arrays_are_of_their_own_pages():
    for shape, dtype in (((3, 5), ">f4"), ((1 << 21,), "u1"), ((0, 2), "f8")):
        array = paged_empty(shape, np.dtype(dtype))
        array[...] = 7
        assert (array.shape, array.dtype, array.ctypes.data % mmap.PAGESIZE) == (shape, np.dtype(dtype), 0)


RANGES = np.array([[1, 3], [4, 5], [9, 12]])


def test_ranges_of_rows_are_read_as_rows_of_their_own():
    whole = np.concatenate([np.asarray(READER)[start:stop] for start, stop in RANGES])
    rows = RowRanges(READER, RANGES)
    assert rows.shape == (6, 2)
    for start in range(6):
        for stop in range(start + 1, 7):
            assert np.array_equal(rows.read(start, stop), whole[start:stop])
    assert [rows.place(row) for row in range(6)] == [f"row {row}" for row in (1, 2, 4, 9, 10, 11)]
    assert rows.block_bounds(5).tolist() == [0, 3, 4, 6]  # rows of 0 to 5, 5 to 10, 10 to 12


def test_bad_rows_are_left_out_and_counted():
    table = np.arange(20.0).reshape(10, 2)
    table[[0, 4, 5, 9], [0, 1, 0, 1]] = np.nan, np.inf, -np.inf, np.nan
    rows, n_bad = without_bad_rows(ArrayRows("x", table))
    assert n_bad == 4
    assert np.array_equal(np.asarray(rows), table[[1, 2, 3, 6, 7, 8]])
    assert rows.place(3) == "row 6"
    assert without_bad_rows(READER) == (READER, 0)
    whole = ArrayRows("bytes", np.zeros((3, 2), np.uint8))
    assert without_bad_rows(whole) == (whole, 0)
    with pytest.raises(ValueError, match="'x' must hold a row of finite numbers; all 2 are bad"):
        without_bad_rows(ArrayRows("x", np.full((2, 1), np.nan)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.int64, np.bool_, ">f4", np.float32, np.float64])
def test_checked_rows_have_the_dtype_that_checked_arrays_have(dtype: Any):
    table = np.arange(2).astype(dtype).reshape(1, 2)
    expected = check_rows(table)
    rows = CheckedRows(ArrayRows("x", table))
    assert rows.dtype == rows.read(0, 1).dtype == expected.dtype
    assert np.array_equal(rows.read(0, 1), expected)


def test_only_array_of_npz_needs_no_name(tmp_path: Path):
    path = save(tmp_path / "x.npz", a=TABLE)
    assert np.array_equal(open_rows(path).rows, TABLE)
    assert np.array_equal(open_rows(path, array="a").rows, TABLE)


def test_named_array_of_npz_is_taken(tmp_path: Path):
    path = save(tmp_path / "x.npz", a=TABLE, b=2 * TABLE)
    assert np.array_equal(open_rows(path, array="b").rows, 2 * TABLE)


def test_compressed_npz_is_read(tmp_path: Path):
    np.savez_compressed(tmp_path / "x.npz", a=TABLE)
    assert np.array_equal(open_rows(str(tmp_path / "x.npz")).rows, TABLE)


@pytest.mark.parametrize(
    ("arrays", "array", "words"),
    [
        ({"b": TABLE, "a": TABLE}, None, ["'a', 'b'", "several arrays", "--array"]),
        ({"b": TABLE, "a": TABLE}, "c", ["'a', 'b'", "'c'", "--array"]),
        ({"a": TABLE}, "c", ["a", "'c'", "--array"]),
        ({}, None, ["no array"]),
    ],
)
def test_npz_asks_for_one_of_its_arrays(tmp_path: Path, arrays, array: str | None, words: list[str]):
    path = save(tmp_path / "x.npz", **arrays)
    with refusal(path, "holds", *words):
        open_rows(path, array=array)


def test_array_of_what_is_no_npz_is_refused(tmp_path: Path):
    path = save(tmp_path / "x.npy", a=TABLE)
    with pytest.raises(ValueError, match="--array|`array`"):
        open_rows(path, array="a")
    with pytest.raises(ValueError, match="--array|`array`"):
        open_rows("digits", array="a")


def test_missing_path_lists_the_data_sets(tmp_path: Path):
    with refusal("minst", "digits, fashion_mnist, mnist", ".npy, .npz", error=FileNotFoundError):
        open_rows("minst")
    with refusal(str(tmp_path / "x.npy"), error=FileNotFoundError):
        open_rows(str(tmp_path / "x.npy"))


@pytest.mark.parametrize("name", ["rows.txt", "rows", "rows.npy.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str):
    path = write(tmp_path / name, "1,2\n")
    with refusal(path, "must end in .npy, .npz"):
        open_rows(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str):
    whole = Path(save(tmp_path / f"x{suffix}", a=TABLE)).read_bytes()
    for size in [0, 1, 3, 5, 6, 8, 9, 10, 11, 64, *range(100, len(whole), 7), len(whole) - 1]:
        path = write(tmp_path / f"cut{suffix}", whole[:size])
        with refusal(path, "truncated or foreign"):
            open_rows(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("content", ["a table\n", b"\x89PNG\r\n\x1a\n", b"\0" * 200, pickle.dumps([1, 2])])
def test_foreign_content_is_refused(tmp_path: Path, suffix: str, content: bytes | str):
    path = write(tmp_path / f"x{suffix}", content)
    with refusal(path, "truncated or foreign"):
        open_rows(path)


def test_altered_member_of_npz_is_refused(tmp_path: Path):
    path = Path(save(tmp_path / "x.npz", a=TABLE))
    content = bytearray(path.read_bytes())
    content[content.index(TABLE.tobytes())] ^= 1
    path.write_bytes(content)
    with refusal(str(path), "'a'"):
        open_rows(str(path))


def test_zip_of_other_files_is_refused(tmp_path: Path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with refusal(str(path)):
        open_rows(str(path))


class Trap:
    """Unpickling one writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_objects_are_refused_and_never_unpickled(tmp_path: Path, suffix: str):
    sprung = tmp_path / "sprung"
    path = save(tmp_path / f"x{suffix}", a=np.array([[Trap(sprung)]], dtype=object))
    with refusal(path, "plain numbers"):
        open_rows(path)
    assert not sprung.exists()


def test_pickle_under_a_numpy_name_is_never_unpickled(tmp_path: Path):
    sprung = tmp_path / "sprung"
    for suffix in (".npy", ".npz"):
        path = write(tmp_path / f"x{suffix}", pickle.dumps(Trap(sprung)))
        with refusal(path, "plain numbers"):
            open_rows(path)
    assert not sprung.exists()


def test_columns_of_a_folder_of_pictures_are_refused(tmp_path: Path):
    pictures = pytest.importorskip("PIL.Image")
    pictures.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="--columns must go with tables"):
        open_rows(str(tmp_path), columns=["a"])
