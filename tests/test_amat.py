"""Original `.amat` files: round trips through folders and archives, transposed pictures, hostile archives."""

import io
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from contractive.datasets import _amat, _tables, _variations, load_amat

pytestmark = pytest.mark.usefixtures("mnist_cache")


def text_of(x: np.ndarray, y: np.ndarray) -> bytes:
    """The text that the originals are written in."""
    stream = io.BytesIO()
    np.savetxt(stream, np.column_stack([x, y]), fmt="%.7g")
    return stream.getvalue()


def example(n: int, features: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((n, features)).astype(np.float32), rng.integers(10, size=n).astype(np.uint8)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_folder(path: Path, members: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in members.items():
        (path / name.rpartition("/")[2]).write_bytes(content)
    return path


TRAIN, TEST = example(12), example(5, seed=1)
MEMBERS = {"set/toy_train.amat": text_of(*TRAIN), "set/50k/toy_test.amat": text_of(*TEST)}


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_rows_come_back_and_the_last_of_training_validate(tmp_path: Path, write):
    (x, y), (x_valid, y_valid), (x_test, y_test) = load_amat(write(tmp_path / "toy.zip", MEMBERS), n_valid=4)
    np.testing.assert_allclose(np.concatenate([x, x_valid]), TRAIN[0], rtol=1e-6)
    np.testing.assert_allclose(x_test, TEST[0], rtol=1e-6)
    assert np.array_equal(np.concatenate([y, y_valid]), TRAIN[1])
    assert np.array_equal(y_test, TEST[1])
    assert len(y_valid) == 4
    assert (x.dtype, y.dtype) == (np.float32, np.uint8)


@pytest.mark.parametrize(
    ("n_rows", "sizes"), [(12_000, (10_000, 2_000)), (1_200, (1_000, 200)), (8_000, (6_500, 1_500))]
)
def test_the_papers_splits_are_known(tmp_path: Path, n_rows: int, sizes):
    lines = b"".join(b"%d %d\n" % (number, number % 2) for number in range(n_rows))
    path = write_zip(tmp_path / "a.zip", {"a_train.amat": lines, "a_test.amat": b"7 1\n"})
    (x, _), (x_valid, _), (x_test, _) = load_amat(path)
    assert (len(x), len(x_valid), x_test.tolist()) == (*sizes, [[7]])
    assert x_valid[0, 0] == sizes[0]


def test_a_file_of_validation_rows_is_used(tmp_path: Path):
    valid = example(3, seed=2)
    members = {**MEMBERS, "toy_valid.amat": text_of(*valid), "notes.txt": b"not numbers"}
    (x, _), (x_valid, y_valid), _ = load_amat(write_zip(tmp_path / "toy.zip", members))
    assert len(x) == 12
    np.testing.assert_allclose(x_valid, valid[0], rtol=1e-6)
    assert np.array_equal(y_valid, valid[1])


def test_names_of_the_rotated_sets_are_recognized(tmp_path: Path):
    stem = "mnist_all_rotation_normalized_float"
    members = {f"{stem}_train_valid.amat": text_of(*TRAIN), f"{stem}_test.amat": text_of(*TEST)}
    splits = load_amat(write_zip(tmp_path / "mnist_rotation_new.zip", members), n_valid=2)
    assert [len(y) for _, y in splits] == [10, 2, 5]
    with pytest.warns(UserWarning, match=r"mnist_rotation\.zip is the older version.* by mnist_rotation_new\.zip"):
        load_amat(write_zip(tmp_path / "mnist_rotation.zip", members), n_valid=2)


@pytest.mark.parametrize("name", ["mnist_basic", "mnist_bg_rand", "mnist_bg_img"])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_pictures_come_out_upright(tmp_path: Path, name: str, is_transposed: bool):
    rows, labels = _variations._make(name, 0, 150)
    stored = rows.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784) if is_transposed else rows
    files = {f"mnist_{part}.amat": text_of(stored[s], labels[s]) for part, s in PARTS.items()}
    (x, _), _, (x_test, _) = load_amat(write_folder(tmp_path / "f", files), n_valid=20)
    assert np.array_equal(x, rows[:80])
    assert np.array_equal(x_test, rows[100:])
    (as_stored, _), _, _ = load_amat(tmp_path / "f", n_valid=20, transpose=False)
    assert np.array_equal(as_stored, stored[:80])


PARTS = {"train": slice(0, 100), "test": slice(100, 150)}


def test_other_pictures_are_transposed_on_request_only(tmp_path: Path):
    path = write_zip(tmp_path / "toy.zip", MEMBERS)
    (x, _), _, _ = load_amat(path, n_valid=0, transpose=True)
    np.testing.assert_allclose(x.reshape(-1, 3, 3), TRAIN[0].reshape(-1, 3, 3).transpose(0, 2, 1), rtol=1e-6)
    path = write_zip(tmp_path / "mnist_toy.zip", {name.replace("toy", "mnist"): text for name, text in MEMBERS.items()})
    (x, _), _, _ = load_amat(path, n_valid=0)  # named like digits, and not of their size
    np.testing.assert_allclose(x, TRAIN[0], rtol=1e-6)
    path = write_zip(tmp_path / "b.zip", {"train.amat": b"1 2 0\n3 4 1\n", "test.amat": b"1 2 0\n"})
    with pytest.raises(ValueError, match="`transpose` must be False for pictures that are not square; got 2 pixels"):
        load_amat(path, n_valid=1, transpose=True)


# What is wrong with a file is said in one line


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (b"1 2 0\n3 x 1\n", "finite numbers; got 'x' in line 2, column 2."),
        (b"1 2 0\n\n3 nan 1\n", "finite numbers; got 'nan' in line 3, column 2."),
        (b"1 2 0\n3 1e50 1\n", "finite numbers; got '1e50' in line 2, column 2."),
        (b"1 2 0\n3 1_0 1\n", "finite numbers; got '1_0' in line 2, column 2."),
        (b"# head\n1 2 0\n3 1\n", "must have 3 numbers a line, as its first; got 2 in line 3."),
        (b"1 2 0\n" * 1500 + b"1 2 0 4\n", "must have 3 numbers a line, as its first; got 4 in line 1501."),
        (b"\n# only a head\n", "must hold numbers; it is empty."),
        (b"1 2 0\n3 4 0.5\n", "labels 0, 1, ..., 255 in the last column; got 0.5."),
        (b"1 2 0\n3 4 -1\n", "labels 0, 1, ..., 255 in the last column; got -1."),
        (b"1 0\n3 1\n", "must have as many columns in each file, at least 2; got {'train': 2, 'test': 3}."),
        (b"1 2 0\n3 4 1\n", "`n_valid` must be given and be < 2, the training rows; got None."),
        (b"1 2 0 " + b" " * (1 << 20) + b"\n", "lines of at most 1,048,576 bytes; line 1 is longer."),
    ],
)
def test_faults_are_named(tmp_path: Path, train: bytes, words: str):
    path = write_zip(tmp_path / "a.zip", {"a_train.amat": train, "a_test.amat": b"1 2 0\n"})
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        load_amat(path)
    assert "\n" not in str(caught.value)


def test_the_file_with_the_fault_is_named(tmp_path: Path):
    path = write_zip(tmp_path / "a.zip", {"d/a_train.amat": b"1 0\n", "d/a_test.amat": b"? 0\n"})
    with pytest.raises(ValueError, match=re.escape(f"'{path}: a_test.amat' must hold finite numbers; got '?'")):
        load_amat(path, n_valid=0)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"n_valid": 12}, ValueError, "`n_valid` must be given and be < 12, the training rows; got 12."),
        ({"n_valid": 1.5}, TypeError, "`n_valid` must be a whole number >= 0; got 1.5."),
        ({"n_valid": 1, "transpose": 1}, TypeError, "`transpose`"),
    ],
)
def test_options_are_checked(tmp_path: Path, options, kind: type[Exception], words: str):
    with pytest.raises(kind, match=re.escape(words)):
        load_amat(write_zip(tmp_path / "toy.zip", MEMBERS), **options)


@pytest.mark.parametrize("missing", ["train", "test"])
@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_a_missing_part_is_named(tmp_path: Path, missing: str, write):
    members = {name: content for name, content in MEMBERS.items() if missing not in name}
    with pytest.raises(FileNotFoundError, match=re.escape(f"whose name ends in {missing}.amat; it holds none.")):
        load_amat(write(tmp_path / "toy.zip", members))


# Archives are not trusted


def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path):
    inside = tmp_path / "deep"
    inside.mkdir()
    members = {"../../toy_train.amat": text_of(*TRAIN), "..\\toy_test.amat": text_of(*TEST), "/etc/passwd": b"x"}
    assert len(load_amat(write_zip(inside / "toy.zip", members), n_valid=2)[2][1]) == 5
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "toy.zip"]


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_amat, "_MOST_BYTES", 50_000)
    path = write_zip(tmp_path / "bomb.zip", {"a_train.amat": b"0 0\n" * 2_000_000, "a_test.amat": b"0 0\n"})
    assert path.stat().st_size < 20_000
    with pytest.raises(ValueError, match="must hold at most 50,000 bytes of text; it holds more"):
        load_amat(path)


def test_too_many_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_tables, "_MOST_VALUES", 10_000)
    path = write_zip(tmp_path / "many.zip", {"a_train.amat": b"0 0\n" * 6_000, "a_test.amat": b"0 0\n"})
    with pytest.raises(ValueError, match="must hold at most 10,000 numbers; it holds more"):
        load_amat(path)


def test_a_size_that_lies_is_noticed(tmp_path: Path):
    path = write_zip(tmp_path / "toy.zip", MEMBERS)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 20)  # the uncompressed size that the directory gives
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"it is damaged or foreign|finite numbers|numbers a line"):
        load_amat(path)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>" + b * 0])
def test_a_foreign_or_cut_archive_is_refused(tmp_path: Path, spoil):
    path = write_zip(tmp_path / "toy.zip", MEMBERS)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=re.escape(f"{str(path)!r} must be a plain .zip archive; it is damaged")):
        load_amat(path)


def test_an_altered_member_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:  # stored, so that a digit can be changed
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    content = (tmp_path / "toy.zip").read_bytes()
    start = content.index(b"0.")
    (tmp_path / "toy.zip").write_bytes(content[:start] + b"1." + content[start + 2 :])
    with pytest.raises(ValueError, match="must be a plain .zip archive; it is damaged"):
        load_amat(tmp_path / "toy.zip")


def test_an_encrypted_member_is_refused(tmp_path: Path):
    path = write_zip(tmp_path / "toy.zip", MEMBERS)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a plain .zip archive.*encrypted"):
        load_amat(path)


def test_two_training_files_are_refused(tmp_path: Path):
    path = write_zip(tmp_path / "toy.zip", {**MEMBERS, "other_train.amat": b"1 2\n"})
    with pytest.raises(ValueError, match="must hold one train file; got toy_train.amat and other_train.amat"):
        load_amat(path)
