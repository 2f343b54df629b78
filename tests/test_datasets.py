"""MNIST byte for byte, its cache under every kind of damage, and the small digits."""

import hashlib
import os
import re
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from contractive.datasets import DATASETS, _mnist, load_digits, load_mnist

DATA = resources.files("contractive.datasets").joinpath("data")
LICENSE = DATA.joinpath("LICENSE.md").read_text(encoding="utf-8")
# LeCun's page gives no digests; these counts of 0 to 9 in the two standard sets are in every description of MNIST.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
pytestmark = pytest.mark.usefixtures("mnist_cache")


def digest_on_page(name: str) -> str:
    row = re.search(rf"^\| `?{re.escape(name)}`? \|[^|]*\| `([0-9a-f]{{64}})` \|$", LICENSE, re.MULTILINE)
    assert row, f"LICENSE.md gives no digest for {name}"
    return row[1]


def idx(magic: int, array: np.ndarray, *shape: int) -> bytes:
    """A standard IDX file: big-endian magic number and shape, then the bytes."""
    return np.array([magic, *shape], ">u4").tobytes() + array.tobytes()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet."""
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(folder))
    return folder


def test_mnist_has_the_tutorials_splits():
    splits = load_mnist()
    assert [(x.shape, x.dtype, y.shape, y.dtype) for x, y in splits] == [
        ((n, 784), np.uint8, (n,), np.uint8) for n in (50_000, 10_000, 10_000)
    ]
    (_, y_train), (_, y_valid), (_, y_test) = splits
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(np.concatenate([y_train, y_valid])).tolist() == TRAIN_COUNTS
    assert np.bincount(y_test).tolist() == TEST_COUNTS


def test_mnist_is_byte_for_byte_the_standard_files():
    (x_train, y_train), (x_valid, y_valid), (x_test, y_test) = load_mnist()
    x, y = np.concatenate([x_train, x_valid]), np.concatenate([y_train, y_valid])
    files = {
        "train-images-idx3-ubyte": idx(0x803, x, 60_000, 28, 28),
        "train-labels-idx1-ubyte": idx(0x801, y, 60_000),
        "t10k-images-idx3-ubyte": idx(0x803, x_test, 10_000, 28, 28),
        "t10k-labels-idx1-ubyte": idx(0x801, y_test, 10_000),
    }
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == {
        name: digest_on_page(name) for name in files
    }


def test_packed_file_is_small_and_is_the_one_on_the_license_page():
    packed = DATA.joinpath("mnist.idx.gz").read_bytes()
    assert len(packed) <= 12_000_000
    assert hashlib.sha256(packed).hexdigest() == digest_on_page("mnist.idx.gz")
    assert "creativecommons.org/licenses/by-sa/3.0" in LICENSE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_pixels_are_k_over_256(dtype: str):
    (_, _), (stored, _), _ = load_mnist()
    _, (x, _), _ = load_mnist(dtype)
    assert x.dtype == dtype
    # k / 256 is exact in both types, so equality is.
    assert np.array_equal(x * 256, stored)


def test_scale_of_255_makes_white_one():
    (x, _), _, _ = load_mnist("float32", scale=255)
    assert x.max() == 1
    assert x.min() == 0


def test_uint8_pixels_are_a_read_only_memory_map():
    for x, _ in load_mnist():
        assert isinstance(x, np.memmap)
        assert x.filename is not None  # NumPy forgets it when the pixels are copied
        assert not x.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            x[0, 0] = 1


def test_cache_is_written_once(own_cache: Path):
    load_mnist()
    first = {path.name: path.stat().st_mtime_ns for path in own_cache.iterdir()}
    load_mnist("float32")
    assert len(first) == 2
    assert {path.name: path.stat().st_mtime_ns for path in own_cache.iterdir()} == first


def flip_a_pixel(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


def cut_the_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("damage", [flip_a_pixel, cut_the_end, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_cache_is_noticed_and_written_anew(own_cache: Path, damage):
    load_mnist()
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in own_cache.iterdir()}
    for path in before:
        damage(path)
    load_mnist()
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in own_cache.iterdir()} == before


def test_altered_packed_file_is_refused_by_name(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "data").mkdir()
    copy = tmp_path / "data" / "mnist.idx.gz"
    copy.write_bytes(DATA.joinpath("mnist.idx.gz").read_bytes())
    monkeypatch.setattr(_mnist, "resources", SimpleNamespace(files=lambda package: tmp_path))
    flip_a_pixel(copy)
    with pytest.raises(ValueError, match=r"'mnist\.idx\.gz' inside the package was altered; reinstall"):
        load_mnist()
    assert not own_cache.exists() or not list(own_cache.iterdir())


def test_unwritable_cache_names_the_folder_and_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A path below a regular file: unlike a mode, it keeps root out too.
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(folder))
    with pytest.raises(OSError, match=f"{re.escape(repr(str(folder)))} cannot be written .*CONTRACTIVE_CACHE"):
        load_mnist()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CONTRACTIVE_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"CONTRACTIVE_CACHE": "", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/contractive"),
        ({"CONTRACTIVE_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/contractive"),
    ],
)
def test_cache_folder_is_looked_for_in_order(variables, expected: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _mnist.cache_folder() == Path(expected)


@pytest.mark.parametrize("dtype", ["int32", "float16", "bool", np.uint16])
def test_other_dtypes_are_refused(dtype):
    name = np.dtype(dtype).name
    with pytest.raises(ValueError, match=f"`dtype` must be 'uint8', 'float32' or 'float64'; got '{name}'"):
        load_mnist(dtype)


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_scale_must_be_positive(scale: float):
    with pytest.raises(ValueError, match=f"`scale` must be > 0; got {scale}"):
        load_mnist("float32", scale=scale)


def test_digits_are_scikit_learns_in_its_order():
    splits = load_digits()
    data, target = sklearn_digits(return_X_y=True)
    assert [len(x) for x, _ in splits] == [len(y) for _, y in splits] == [1297, 250, 250]
    x, y = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    assert x.dtype == np.float32
    assert np.array_equal(x * 16, data)
    assert np.array_equal(y, target)


@pytest.mark.parametrize("name", sorted(name for name, info in DATASETS.items() if info.origin == "bundled"))
def test_registry_entries_are_what_they_say(name: str):
    info = DATASETS[name]
    splits = info.load()
    assert info.name == info.title == name
    assert info.image_shape is not None
    assert all(x.shape == (len(y), info.image_shape[0] * info.image_shape[1]) for x, y in splits)
    for count in (sum(len(y) for _, y in splits), *(len(y) for _, y in splits)):
        assert f"{count:,}" in info.summary
