"""Rows by name and by path; every file that holds something else is refused by name."""

import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from contractive.datasets import load_digits, load_mnist
from contractive.sources import open_rows

TABLE = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)


def write(path: Path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def save(path: Path, **arrays: np.ndarray) -> str:
    """A .npy file of the only array, or a .npz file of all."""
    if path.suffix == ".npy":
        np.save(path, *arrays.values(), allow_pickle=True)
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def refusal(error: type[Exception], path: str, *words: str):
    """Expect an error that names the path first, then says the words."""
    return pytest.raises(error, match=re.escape(repr(path)) + "".join(f".*{re.escape(word)}" for word in words))


@pytest.mark.usefixtures("mnist_cache")
def test_data_sets_are_opened_by_name():
    mnist, digits = open_rows("mnist"), open_rows("digits")
    assert (mnist.name, mnist.image_shape, digits.image_shape) == ("mnist", (28, 28), (8, 8))
    assert mnist.rows.dtype == np.uint8
    assert np.array_equal(mnist.rows[-3:], load_mnist()[0][0][-3:])
    assert np.array_equal(digits.rows, load_digits()[0][0])


def test_npy_is_mapped_and_not_read(tmp_path: Path):
    path = save(tmp_path / "x.npy", a=TABLE)
    source = open_rows(path)
    assert isinstance(source.rows, np.memmap)
    assert not source.rows.flags.writeable
    assert np.array_equal(source.rows, TABLE)
    assert (source.name, source.image_shape) == (path, None)


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
        ({"b": TABLE, "a": TABLE}, None, ["a, b", "several arrays", "--array"]),
        ({"b": TABLE, "a": TABLE}, "c", ["a, b", "'c'", "--array"]),
        ({"a": TABLE}, "c", ["a", "'c'", "--array"]),
        ({}, None, ["no array"]),
    ],
)
def test_npz_asks_for_one_of_its_arrays(tmp_path: Path, arrays, array: str | None, words: list[str]):
    path = save(tmp_path / "x.npz", **arrays)
    with refusal(ValueError, path, "holds", *words):
        open_rows(path, array=array)


def test_array_of_what_is_no_npz_is_refused(tmp_path: Path):
    path = save(tmp_path / "x.npy", a=TABLE)
    with pytest.raises(ValueError, match="--array|`array`"):
        open_rows(path, array="a")
    with pytest.raises(ValueError, match="--array|`array`"):
        open_rows("digits", array="a")


def test_missing_path_lists_the_data_sets(tmp_path: Path):
    with refusal(FileNotFoundError, "minst", "digits, fashion_mnist, mnist", ".npy or .npz"):
        open_rows("minst")
    with refusal(FileNotFoundError, str(tmp_path / "x.npy")):
        open_rows(str(tmp_path / "x.npy"))


def test_folder_is_refused(tmp_path: Path):
    with refusal(IsADirectoryError, str(tmp_path), "must be a file", "folder"):
        open_rows(str(tmp_path))


@pytest.mark.parametrize("name", ["rows.csv", "rows", "rows.npy.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str):
    path = write(tmp_path / name, "1,2\n")
    with refusal(ValueError, path, "must end in .npy or .npz"):
        open_rows(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str):
    whole = Path(save(tmp_path / f"x{suffix}", a=TABLE)).read_bytes()
    for size in [0, 1, 3, 5, 6, 8, 9, 10, 11, 64, *range(100, len(whole), 7), len(whole) - 1]:
        path = write(tmp_path / f"cut{suffix}", whole[:size])
        with refusal(ValueError, path, "truncated or foreign"):
            open_rows(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("content", ["a table\n", b"\x89PNG\r\n\x1a\n", b"\0" * 200, pickle.dumps([1, 2])])
def test_foreign_content_is_refused(tmp_path: Path, suffix: str, content: bytes | str):
    path = write(tmp_path / f"x{suffix}", content)
    with refusal(ValueError, path, "truncated or foreign"):
        open_rows(path)


def test_altered_member_of_npz_is_refused(tmp_path: Path):
    path = Path(save(tmp_path / "x.npz", a=TABLE))
    content = bytearray(path.read_bytes())
    content[content.index(TABLE.tobytes())] ^= 1
    path.write_bytes(content)
    with refusal(ValueError, str(path), "'a'"):
        open_rows(str(path))


def test_zip_of_other_files_is_refused(tmp_path: Path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with refusal(ValueError, str(path)):
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
    with refusal(ValueError, path, "plain numbers"):
        open_rows(path)
    assert not sprung.exists()


def test_pickle_under_a_numpy_name_is_never_unpickled(tmp_path: Path):
    sprung = tmp_path / "sprung"
    for suffix in (".npy", ".npz"):
        path = write(tmp_path / f"x{suffix}", pickle.dumps(Trap(sprung)))
        with refusal(ValueError, path, "plain numbers"):
            open_rows(path)
    assert not sprung.exists()
