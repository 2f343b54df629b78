"""What geometry and samples say to data that is gone, of another width, constant or a single row, and to newer runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contractive
from console import Outcome, assert_one_line, call_in, listing

pytestmark = pytest.mark.usefixtures("quickly_compiled")

Call = Callable[..., Outcome]
TABLE = np.random.default_rng(0).uniform(size=(30, 12)).astype(np.float32)
CONSTANT = np.where(np.arange(12) < 4, np.float32(0.5), TABLE)
DATA = {
    "wide.npy": np.tile(TABLE, 2),
    "narrow.npy": TABLE[:, :5],
    "none.npy": TABLE[:0],
    "flat.npy": TABLE[0],
    "holes.npy": np.where(np.eye(30, 12, k=-2) > 0, np.nan, TABLE),
    "words.npy": TABLE.astype(str),
    "constant.npy": CONSTANT,
    "one.npy": TABLE[:1],
    "same.npy": np.repeat(TABLE[:1], 7, axis=0),
}
COMMANDS = {"inspect": ["--geometry"], "sample": ["--n-samples", 2]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables, and runs: of one with constant columns, and one of a version to come."""
    folder = tmp_path_factory.mktemp("geometry")
    for name, rows in DATA.items():
        np.save(folder / name, rows)
    options = ["--epochs", 1, "--components", 3]
    assert call_in(folder, "train", "constant.npy", "--out", "run", *options).code == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contractive.serialization._VERSION", 99)
        assert call_in(folder, "train", "constant.npy", "--out", "newer", *options).code == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "gone.npy"], ["'gone.npy'", "neither a data set nor a file"]),
        (["run", "wide.npy"], ["24 features", "12 features"]),
        (["run", "narrow.npy"], ["5 features", "12 features"]),
        (["run", "none.npy"], ["at least 1 row", "(0, 12)"]),
        (["run", "flat.npy"], ["2-d", "(12,)"]),
        (["run", "holes.npy"], ["finite", "NaN", "at row ", "column "]),
        (["run", "words.npy"], ["numbers"]),
        (["run", "digits"], ["64 features", "12 features"]),
        (
            ["newer", "constant.npy"],
            ["'newer/model.safetensors'", "version 1", "got 99", "Use the contractive that wrote"],
        ),
        (["gone", "constant.npy"], ["'gone'", "name a run folder or a model file"]),
    ],
)
def test_one_line_and_nothing_left(folder: Path, command: str, arguments: list[str], words: list[str]):
    before = listing(folder)
    assert_one_line(call_in(folder, command, *arguments, *COMMANDS[command]), *words)
    assert listing(folder) == before


@pytest.mark.parametrize("shape", ["5x5", "3x5", "0x12", "12", "3x4x1", "-3x-4", "axb"])
def test_shapes_that_do_not_multiply_out_are_one_line(folder: Path, shape: str):
    before = listing(folder)
    outcome = call_in(folder, "sample", "run", f"--image-shape={shape}")
    assert_one_line(outcome, "`--image-shape` must be HxW or HxWx3 that multiplies out to 12 features", repr(shape))
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["constant.npy", "one.npy", "same.npy"])
def test_constant_columns_and_one_row_have_a_geometry(folder: Path, name: str):
    outcome = call_in(folder, "inspect", "run", name, "--geometry", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    facts = json.loads(outcome.out)
    assert facts["rows of the geometry"] == len(DATA[name])
    numbers = [value for fact in facts.values() for value in (fact if isinstance(fact, list) else [fact])]
    assert all(math.isfinite(value) for value in numbers if isinstance(value, float))
    assert 0 < facts["largest singular value found"] <= facts["Lipschitz bound"]
    assert ("pairs of rows" in facts) == (name == "constant.npy"), "what is one row has no neighbours"


@pytest.mark.parametrize("name", ["constant.npy", "one.npy", "same.npy"])
def test_walks_begin_at_constant_columns_and_at_one_row(folder: Path, tmp_path: Path, name: str):
    out = tmp_path / "samples.npy"
    assert call_in(folder, "sample", "run", name, "--n-samples", 3, "--out", out).code == 0
    samples = np.load(out, allow_pickle=False)
    assert samples.shape == (3, 12)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda cae: cae.tangents(TABLE, 0), "`n_tangents` must be a whole number >= 1; got 0."),
        (lambda cae: cae.spectrum(TABLE, 0), "`n_values` must be a whole number >= 1; got 0."),
        (lambda cae: cae.spectrum(TABLE[:, :5]), "X has 5 features, but ContractiveAutoencoder is expecting 12"),
        (lambda cae: cae.effective_dimension(TABLE[:, :5]), "X has 5 features"),
        (lambda cae: cae.neighbor_contraction(TABLE[:, :5]), "X has 5 features"),
        (lambda cae: cae.neighbor_contraction(TABLE[:0]), "`X` must have at least 1 row"),
        (lambda cae: cae.neighbor_contraction(TABLE[:1]), "`rows` must hold at least 2 different rows; got 1 that are"),
        (lambda cae: cae.neighbor_contraction(TABLE, n_rows=0), "`n_rows` must be a whole number >= 1; got 0."),
        (lambda cae: cae.neighbor_contraction(TABLE, random_state=-1), "`random_state` must be a whole number >= 0"),
        (lambda cae: cae.sample(X=TABLE[0]), "`X` must be 2-d"),
    ],
)
def test_estimators_say_it_in_one_line(folder: Path, ask: Callable[[Any], object], words: str):
    cae = contractive.load(folder / "run" / "model.safetensors")
    with pytest.raises(ValueError, match=".") as caught:
        ask(cae)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
