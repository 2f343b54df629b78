"""Everything wrong that a person can pass: one clear line, exit code 2 (130 for Ctrl-C), nothing half-written."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import contractive
from console import assert_one_line, interrupt, listing, spawn, start
from contractive import ContractiveAutoencoder
from contractive.serialization import read_model, write_model

TABLE = np.random.default_rng(0).uniform(size=(20, 4))
TRAIN = ("--out", "run", "--epochs", "1", "--components", "2")


def with_entry(value: float) -> np.ndarray:
    """The table with one entry replaced, at row 3, column 2."""
    table = TABLE.copy()
    table[3, 2] = value
    return table


ARRAYS = {
    "good": TABLE,
    "empty": np.ones((0, 4)),
    "no_features": np.ones((4, 0)),
    "one_row": TABLE[:1],
    "zero_d": np.array(3.0),
    "one_d": TABLE[:, 0],
    "three_d": TABLE.reshape(5, 2, 8),
    "strings": np.array([["a", "b"]] * 3),
    "dates": np.zeros((3, 2), "M8[D]"),
    "complex": TABLE + 1j,
    "records": np.zeros(3, "f4,f4"),
    "objects": np.array([[1, {}]] * 3, dtype=object),
    "nan": with_entry(np.nan),
    "inf": with_entry(np.inf),
    "minus_inf": with_entry(-np.inf),
    "above_one": with_entry(1.5),
    "below_zero": with_entry(-0.25),
    "beyond_float32": with_entry(1e300),
}
# What is wrong with each, in the words that the line must hold.
WORDS = {
    "empty": ["at least 2 rows", "0"],
    "no_features": ["0 feature(s)", "(4, 0)"],
    "one_row": ["at least 2 rows", "1"],
    "zero_d": ["2-d", "0-d"],
    "one_d": ["2-d", "1-d of shape (20,)", "reshape"],
    "three_d": ["2-d", "3-d of shape (5, 2, 8)", "reshape"],
    "strings": ["numbers", "strings"],
    "dates": ["numbers", "datetime64"],
    "complex": ["real numbers", "complex128"],
    "records": ["numbers"],
    "objects": ["numbers", "bject"],
    "nan": ["finite", "NaN at row 3, column 2"],
    "inf": ["finite", "infinity at row 3, column 2"],
    "minus_inf": ["finite", "-infinity at row 3, column 2"],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of the table, made without training."""
    estimator = ContractiveAutoencoder(n_components=2, max_epochs=1, random_state=0).fit(TABLE)
    (tmp_path / "run").mkdir()
    estimator.save(tmp_path / "run" / "model.safetensors")
    np.save(tmp_path / "good.npy", TABLE)
    return tmp_path / "run"


@pytest.mark.parametrize("name", WORDS)
def test_train_refuses_the_array(refused, tmp_path: Path, name: str):
    np.save(tmp_path / f"{name}.npy", ARRAYS[name], allow_pickle=True)
    refused(["train", f"{name}.npy", *TRAIN], WORDS[name])


@pytest.mark.parametrize("name", WORDS)
def test_fit_refuses_the_array(name: str):
    with pytest.raises((ValueError, TypeError)) as info:
        ContractiveAutoencoder(n_components=2, max_epochs=1).fit(ARRAYS[name])
    assert "`X`" in str(info.value)
    assert all(word in str(info.value) for word in WORDS[name])


def test_fit_refuses_what_is_no_table():
    with pytest.raises(ValueError, match="`X` must be a rectangular array of numbers"):
        ContractiveAutoencoder().fit([[1, 2], [3]])


@pytest.mark.parametrize(("name", "value"), [("above_one", "1.5"), ("below_zero", "-0.25")])
def test_cross_entropy_refuses_values_outside_the_unit_interval(refused, tmp_path: Path, name: str, value: str):
    np.save(tmp_path / "x.npy", ARRAYS[name])
    words = ["[0, 1]", f"{value} at row 3, column 2", "squared_error"]
    refused(["train", "x.npy", "--loss", "cross_entropy", *TRAIN], words)
    with pytest.raises(ValueError, match=r"\[0, 1\].*row 3, column 2.*squared_error"):
        ContractiveAutoencoder(loss="cross_entropy").fit(ARRAYS[name])


def test_bytes_beyond_their_scale_are_refused_for_the_cross_entropy(refused, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.array([[0, 255], [3, 4]], np.uint8))
    refused(
        ["train", "x.npy", "--loss", "cross_entropy", "--uint8-scale", 128, *TRAIN],
        ["[0, 1]", "255 at row 0, column 1"],
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("none.npy", ["'none.npy'", "digits, fashion_mnist, mnist", ".npy, .npz"]),
        ("minst", ["'minst'", "digits, fashion_mnist, mnist"]),
        ("folder", ["'folder'", "files of one kind", "got none"]),
        ("table.txt", ["'table.txt'", ".npy, .npz", ".txt"]),
        ("*.npy.gz", ["'*.npy.gz'", "no file"]),
        ("cut.npy", ["'cut.npy'", "truncated"]),
        ("cut.npz", ["'cut.npz'", "truncated"]),
        ("nothing.npy", ["'nothing.npy'", "truncated"]),
        ("text.npz", ["'text.npz'", "foreign"]),
        ("two\nlines.npy", ["two\\nlines.npy"]),
        ("", ["''"]),
    ],
)
def test_train_refuses_the_path(refused, tmp_path: Path, data: str, words: list[str]):
    (tmp_path / "folder").mkdir()
    (tmp_path / "table.txt").write_text("1,2\n")
    (tmp_path / "nothing.npy").write_bytes(b"")
    (tmp_path / "text.npz").write_text("1,2\n")
    np.save(tmp_path / "good.npy", TABLE)
    np.savez(tmp_path / "good.npz", a=TABLE)
    for suffix in (".npy", ".npz"):
        (tmp_path / f"cut{suffix}").write_bytes((tmp_path / f"good{suffix}").read_bytes()[:-9])
    refused(["train", data, *TRAIN], words)


@pytest.mark.parametrize("arguments", [[], ["--array", "c"]])
def test_train_asks_which_array(refused, tmp_path: Path, arguments: list[str]):
    np.savez(tmp_path / "two.npz", a=TABLE, b=TABLE)
    refused(["train", "two.npz", *arguments, *TRAIN], ["'two.npz'", "'a', 'b'", "--array"])


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--contraction", "-1", ["contraction", ">= 0", "-1"]),
        ("--contraction", "nan", ["contraction", ">= 0", "nan"]),
        ("--contraction", "inf", ["contraction", ">= 0", "inf"]),
        ("--contraction", "much", ["--contraction", "number", "'much'"]),
        ("--weight-decay", "-0.5", ["weight_decay", ">= 0", "-0.5"]),
        ("--learning-rate", "0", ["learning_rate", "> 0", "0"]),
        ("--batch-size", "0", ["batch", ">= 1", "0"]),
        ("--batch-size", "-3", ["batch", ">= 1", "-3"]),
        ("--batch-size", "2.5", ["batch", "whole number", "2.5"]),
        ("--batch-size", "many", ["batch", "whole number", "many"]),
        ("--batch-size", "21", ["batch", "20", "21"]),
        ("--components", "0", ["n_components", ">= 1", "0"]),
        ("--components", "1.5", ["--components", "integer", "'1.5'"]),
        ("--epochs", "0", ["max_epochs", ">= 1", "0"]),
        ("--epochs", "2.5", ["--epochs", "integer", "'2.5'"]),
        ("--seed", "-1", ["random_state", "-1"]),
        ("--seed", "4294967296", ["random_state", "4294967296"]),
        ("--uint8-scale", "0", ["uint8_scale", "> 0", "0"]),
        ("--activation", "sigmod", ["activation", "sigmod", "sigmoid"]),
        ("--loss", "mse", ["loss", "mse", "squared_error"]),
        ("--optimizer", "lbfgs", ["optimizer", "lbfgs", "adam"]),
        ("--preset", "turorial", ["preset", "turorial", "tutorial"]),
        ("--image-shape", "2x3", ["--image-shape", "4", "2x3"]),
        ("--image-shape", "square", ["--image-shape", "HxW", "square"]),
        ("--array", "a", ["--array"]),
    ],
)
def test_train_refuses_the_option(refused, tmp_path: Path, option: str, value: str, words: list[str]):
    np.save(tmp_path / "good.npy", TABLE)
    refused(["train", "good.npy", *TRAIN, option, value], words)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"contraction": -0.1}, ["`contraction` must be >= 0", "-0.1"]),
        ({"contraction": float("nan")}, ["`contraction`", "nan"]),
        ({"batch_size": 0}, ["`batch_size`", ">= 1", "0"]),
        ({"batch_size": 2.5}, ["`batch_size`", "whole number", "2.5"]),
        ({"batch_size": 21}, ["`batch_size`", "20", "21"]),
        ({"batch_size": True}, ["`batch_size`", "True"]),
        ({"n_components": 0}, ["`n_components`", "0"]),
        ({"max_epochs": 0}, ["`max_epochs`", "0"]),
        ({"learning_rate": -1.0}, ["`learning_rate`", "-1.0"]),
        ({"random_state": -1}, ["random_state", "-1"]),
    ],
)
def test_fit_refuses_the_parameter(parameters, words: list[str]):
    with pytest.raises((ValueError, TypeError)) as info:
        ContractiveAutoencoder(**parameters).fit(TABLE)
    assert all(word in str(info.value) for word in words), info.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], ["--out"]),
        (["train", "good.npy"], ["--out"]),
        (["train", *TRAIN], ["DATA", "--config"]),
        (["train", "good.npy", "good.npy", *TRAIN], ["good.npy"]),
        (["train", "good.npy", *TRAIN, "--lambda", "3"], ["--lambda"]),
        (["train", "good.npy", "--out"], ["--out"]),
        (["trian"], ["trian"]),
        (["--verison"], ["--verison"]),
        (["encode", "run", "good.npy"], ["--out"]),
        (["inspect"], ["RUN"]),
    ],
)
def test_wrong_usage_is_one_line_too(refused, tmp_path: Path, arguments: list[str], words: list[str]):
    np.save(tmp_path / "good.npy", TABLE)
    refused(arguments, words)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("folder", ["'folder' exists", "--out", "--overwrite"]),
        ("good.npy", ["'good.npy' exists", "--out", "--overwrite"]),
        ("good.npy/run", ["'good.npy/run'", "Not a directory"]),
        ("long" * 100, ["longlong", "File name too long"]),
        (".", ["'.' exists"]),
    ],
)
def test_train_refuses_the_output_folder(refused, tmp_path: Path, out: str, words: list[str]):
    np.save(tmp_path / "good.npy", TABLE)
    (tmp_path / "folder").mkdir()
    refused(["train", "good.npy", "--epochs", 1, "--out", out], words)


def test_overwrite_replaces_run_folders_only(refused, tmp_path: Path):
    np.save(tmp_path / "good.npy", TABLE)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"")
    refused(["train", "good.npy", "--out", "photos", "--overwrite"], ["'photos' is not a run folder", "--out"])


@pytest.mark.parametrize("out", ["new", "new/er/run"])
def test_refused_data_leave_no_folder(refused, tmp_path: Path, out: str):
    np.save(tmp_path / "nan.npy", ARRAYS["nan"])
    refused(["train", "nan.npy", "--out", out], ["NaN"])


def test_refused_data_keep_the_run_that_was_to_be_overwritten(refused, run: Path):
    (run / "config.json").write_text("{}")
    np.save(run.parent / "nan.npy", ARRAYS["nan"])
    refused(["train", "nan.npy", "--out", "run", "--overwrite"], ["NaN"])


def test_cost_that_is_not_finite_names_the_epoch_and_leaves_nothing(refused, tmp_path: Path):
    np.save(tmp_path / "x.npy", TABLE)
    refused(
        ["train", "x.npy", "--learning-rate", "1e30", "--optimizer", "sgd", "--batch-size", 1, *TRAIN],
        ["not finite in epoch 1", "learning_rate"],
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--components", 10**14], "allocate"),
        # NumPy makes the weights; what the step needs besides is JAX's to refuse.
        (["--components", 2, "--penalty", "hutchinson", "--n-probes", 10**14], "memory"),
    ],
)
def test_job_beyond_all_memory_is_refused(refused, tmp_path: Path, options: list[object], word: str):
    np.save(tmp_path / "x.npy", TABLE)
    refused(["train", "x.npy", "--out", "run", *options], [word])


def test_values_beyond_the_range_of_a_float32_model_are_refused(refused, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    estimator = ContractiveAutoencoder(n_components=2, max_epochs=1, random_state=0).fit(TABLE.astype(np.float32))
    estimator.save(run / "model.safetensors")
    np.save(tmp_path / "large.npy", ARRAYS["beyond_float32"])
    refused(["encode", "run", "large.npy", "--out", "codes.npy"], ["1e+300", "row 3, column 2"])
    refused(["inspect", "run", "large.npy"], ["1e+300", "row 3, column 2"])


@pytest.mark.parametrize(
    "command", [["encode", "run", "other.npy", "--out", "codes.npy"], ["inspect", "run", "other.npy"]]
)
def test_other_number_of_features_is_refused(refused, run: Path, command: list[str]):
    np.save(run.parent / "other.npy", TABLE[:, :3])
    refused(command, ["4 features", "3"])
    estimator = contractive.load(run / "model.safetensors")
    for method in (estimator.transform, estimator.reconstruct, estimator.score_samples, estimator.jacobian):
        with pytest.raises(ValueError, match=r"3 features.*expecting 4 features"):
            method(TABLE[:, :3])


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("codes.txt", [".npy", "'codes.txt'"]),
        ("good.npy", ["'good.npy' exists", "--overwrite"]),
        ("good.npy/codes.npy", ["'good.npy/codes.npy'", "Not a directory"]),
        ("none/codes.npy", ["'none/codes.npy'", "No such file or directory"]),
    ],
)
def test_encode_refuses_the_output_file(refused, run: Path, out: str, words: list[str]):
    refused(["encode", "run", "good.npy", "--out", out], words)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def lose_the_weight(path: Path) -> None:
    arrays, description = read_model(path)
    del arrays["weight"]
    write_model(path, arrays, description)


def change_the_class(path: Path) -> None:
    arrays, description = read_model(path)
    write_model(path, arrays, description | {"class": "Unheard"})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, ["truncated"]),
        (alter, ["altered"]),
        (lambda path: path.write_text("hello"), ["foreign"]),
        (lambda path: path.write_bytes(b""), ["truncated"]),
        (lambda path: save_file({"weight": TABLE}, path), ["another safetensors file"]),
        (lose_the_weight, ["weight"]),
        (change_the_class, ["'Unheard'"]),
    ],
)
@pytest.mark.parametrize("command", [["encode", "run", "good.npy", "--out", "codes.npy"], ["inspect", "run"]])
def test_damaged_model_file_is_refused_by_name(refused, run: Path, damage, words: list[str], command: list[str]):
    damage(run / "model.safetensors")
    refused(command, ["'run/model.safetensors'", *words])


@pytest.mark.parametrize("command", [["encode", "none", "good.npy", "--out", "codes.npy"], ["inspect", "none"]])
def test_missing_run_is_refused_by_name(refused, run: Path, command: list[str]):
    refused(command, ["'none'", "model.safetensors"])
    (run.parent / "none").mkdir()
    refused(command, ["'none' is a folder without model.safetensors"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "good.npy", *TRAIN, "--lambda", 3], ["--lambda"]),
        (["train", "one_d.npy", *TRAIN], ["2-d"]),
        (["train", "nan.npy", *TRAIN], ["NaN at row 3, column 2"]),
    ],
)
def test_real_process_is_refused_in_one_line(tmp_path: Path, arguments: list[str], words: list[str]):
    for name in ("good", "one_d", "nan"):
        np.save(tmp_path / f"{name}.npy", ARRAYS[name])
    before = listing(tmp_path)
    outcome = spawn(*arguments, folder=tmp_path)
    assert_one_line(outcome, *words)
    assert outcome.out == ""
    assert listing(tmp_path) == before


def test_questionable_data_are_trained_on_with_one_line_of_warning(tmp_path: Path):
    np.save(tmp_path / "bits.npy", (TABLE > 0.5).astype(np.uint8))
    outcome = spawn("train", "bits.npy", *TRAIN, folder=tmp_path)
    assert_one_line(outcome, "uint8", "0 and 1", code=0)


@pytest.fixture
def long_epochs(tmp_path: Path) -> list[str]:
    """A training whose epochs last seconds."""
    rows = np.random.default_rng(0).integers(0, 256, (100_000, 256), dtype=np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    return ["train", "rows.npy", "--out", "run", "--components", "64", "--batch-size", "1"]


@pytest.mark.parametrize("delay", [0.0, pytest.param(0.7, marks=pytest.mark.slow)])
def test_interrupt_in_the_first_epoch_leaves_nothing(tmp_path: Path, long_epochs: list[str], delay: float):
    process = start(*long_epochs, folder=tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < deadline:
        time.sleep(0.02)  # until the training has begun to collect its files out of sight
    time.sleep(delay)
    outcome = interrupt(process)
    assert outcome.out == ""
    assert_one_line(outcome, "interrupted before the first epoch ended", "nothing was written", code=130)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


@pytest.mark.slow
def test_interrupt_in_a_later_epoch_keeps_the_finished_ones(tmp_path: Path, long_epochs: list[str]):
    process = start(*long_epochs, folder=tmp_path)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(0.2)
    outcome = interrupt(process)
    epochs = [first, *outcome.out.splitlines()]
    assert all(line.startswith(f"epoch {number}/") for number, line in enumerate(epochs, 1))
    assert_one_line(outcome, "interrupted", "run", str(len(epochs)), "contractive resume run", code=130)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.npy", "run"}
    expected = ["checkpoints", "checkpoints/000001.safetensors", "config.json", "history.jsonl", "model.safetensors"]
    assert sorted(listing(tmp_path / "run")) == expected
    records = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    estimator = contractive.load(tmp_path / "run" / "model.safetensors")
    assert len(records) == estimator.n_epochs_ == len(epochs)
    assert estimator.transform(np.zeros((1, 256), np.uint8)).shape == (1, 64)
