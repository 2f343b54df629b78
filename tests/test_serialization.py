"""The model file: back as it was, or refused by name; never half-written."""

import errno
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from contractive import serialization
from contractive.serialization import read_model, write_model

ARRAYS = {
    "weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3),
    "hidden_bias": np.arange(4, dtype=np.float64),
}
DESCRIPTION = {"class": "C", "parameters": {"contraction": 0.1, "tied": True, "name": "é"}, "history": [[1, 2.5]]}
DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_model(path, ARRAYS, DESCRIPTION)
    return path


def refusal(path: Path, *words: str):
    """Expect a ValueError of one line that names the file first, then says the words."""
    rest = "".join(f"[^\n]*{re.escape(word)}" for word in words)
    return pytest.raises(ValueError, match=f"^{re.escape(repr(str(path)))}{rest}[^\n]*$")


def test_file_gives_back_what_was_written(model: Path):
    arrays, description = read_model(model)
    assert description == DESCRIPTION
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text() | st.floats(-9, 9)),
)
def test_any_names_types_shapes_and_descriptions_round_trip(tmp_path_factory, arrays, description):
    path = tmp_path_factory.getbasetemp() / "round-trip.safetensors"
    write_model(path, arrays, description)
    same, text = read_model(path)
    assert text == description
    assert same.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (same[name].dtype, same[name].shape) == (array.dtype, array.shape)
        assert same[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1], lambda x: np.broadcast_to(x[0], (5, 3))])
def test_any_memory_layout_is_stored_by_value(tmp_path: Path, layout):
    array = layout(ARRAYS["weight"])
    write_model(tmp_path / "m", {"weight": array}, {})
    assert np.array_equal(read_model(tmp_path / "m")[0]["weight"], array)


def test_arrays_lie_where_jax_takes_them_over(model: Path):
    for array in read_model(model)[0].values():
        assert array.ctypes.data % 64 == 0


def test_same_content_is_the_same_bytes(model: Path, tmp_path: Path):
    write_model(tmp_path / "again", dict(reversed(ARRAYS.items())), dict(reversed(DESCRIPTION.items())))
    assert (tmp_path / "again").read_bytes() == model.read_bytes()


def test_file_is_plain_safetensors_with_json_metadata(model: Path):
    with safe_open(model, framework="numpy") as stream:
        metadata = stream.metadata()
        assert np.array_equal(stream.get_tensor("weight"), ARRAYS["weight"])
    assert "contractive.model" in str(metadata)
    assert '"contraction": 0.1' in str(metadata).replace("\\", "")


def test_file_cut_anywhere_is_refused(model: Path):
    whole = model.read_bytes()
    for size in range(len(whole)):
        model.write_bytes(whole[:size])
        with refusal(model):
            read_model(model)
    model.write_bytes(whole + b"\0")
    with refusal(model):
        read_model(model)


@pytest.mark.parametrize("bit", [0, 5, 7])
def test_file_altered_anywhere_is_refused(model: Path, bit: int):
    """One flipped bit in any byte: the length, the header, the metadata with its digest, the padding, the arrays."""
    whole = model.read_bytes()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << bit
        model.write_bytes(altered)
        try:
            with refusal(model):
                read_model(model)
        except pytest.fail.Exception:
            pytest.fail(f"byte {place}, {whole[max(0, place - 20) : place + 20]}, was altered unnoticed")


def test_swapped_names_are_refused(model: Path):
    content = model.read_bytes()
    assert content.count(b'"hidden_bias"') == 1
    model.write_bytes(content.replace(b'"hidden_bias"', b'"hidden_bian"'))
    with refusal(model, "altered"):
        read_model(model)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "contractive.checkpoint", "version": "1"}])
def test_other_safetensors_files_are_refused(tmp_path: Path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": ARRAYS["weight"]}, path, metadata)
    with refusal(path, "must be a model file of contractive"):
        read_model(path)


def test_other_versions_are_refused_with_the_remedy(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serialization, "_VERSION", 2)
    write_model(model, ARRAYS, DESCRIPTION)
    monkeypatch.undo()
    with refusal(model, "version 1", "got 2", "Use the contractive that wrote it"):
        read_model(model)


def test_missing_metadata_are_refused(model: Path):
    with safe_open(model, framework="numpy") as stream:
        metadata = stream.metadata()
    for left_out in metadata:
        save_file(ARRAYS, model, {name: value for name, value in metadata.items() if name != left_out})
        with refusal(model):
            read_model(model)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\0" * 8, b"\0" * 100, b"\xff" * 100, b"PK\3\4" * 10])
def test_files_of_other_formats_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with refusal(path, "must be a model file"):
        read_model(path)


def test_missing_file_and_folder_are_the_systems_errors(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        read_model(tmp_path)


@pytest.mark.parametrize("description", [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}])
def test_what_json_cannot_hold_leaves_the_old_file(model: Path, description):
    before = model.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        write_model(model, ARRAYS, description)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_full_disk_leaves_the_old_file(model: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = model.read_bytes()
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_model(model, {"weight": np.zeros((9, 9))}, {})
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]
