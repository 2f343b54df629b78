"""The command line as a person meets it: real processes for what a process shows, calls for the rest."""

import importlib.metadata
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from safetensors.numpy import load_file

import contractive
from console import FILES, Outcome, history, listing, spawn, weights
from contractive import cli, tile_images
from contractive.datasets import DATASETS
from contractive.presets import PRESETS

Call = Callable[..., Outcome]
KEYS = ["epoch", "reconstruction_error", "jacobian_norm", "seconds", "rows_per_second", "validation_error"]
# What is written of data of which nothing was said but its name.
AS_THEY_ARE = {"array": None, "columns": None, "bad_rows": "refuse", "streamed": False}
ROWS = np.random.default_rng(0).uniform(size=(40, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A run folder that a real process made from the digits, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    options = ["--preset", "tutorial", "--epochs", 3, "--seed", 7, "--batch-size", 100, "--out", "run"]
    return folder / "run", spawn("train", "digits", *options, folder=folder)


@pytest.fixture
def trained(call: Call, tmp_path: Path) -> Path:
    """A small run folder of the table `x.npy`."""
    np.save(tmp_path / "x.npy", ROWS)
    assert call("train", "x.npy", "--out", "run", "--epochs", 2, "--components", 3).code == 0
    return tmp_path / "run"


def test_train_leaves_a_run_folder_and_nothing_else(digits_run: tuple[Path, Outcome]):
    run, outcome = digits_run
    assert (outcome.code, outcome.err) == (0, "")
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    assert sorted(listing(run)) == FILES


def test_history_has_a_line_an_epoch_with_all_keys(digits_run: tuple[Path, Outcome]):
    records = history(digits_run[0])
    assert [list(record) for record in records] == [KEYS] * 3
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for record in records:
        assert record.pop("validation_error") is None  # nothing is held out
        assert all(math.isfinite(value) and value > 0 for value in record.values())
        assert record["rows_per_second"] == pytest.approx(1297 / record["seconds"])
    assert records[2]["reconstruction_error"] < records[0]["reconstruction_error"]


def test_plain_lines_where_there_is_no_terminal(digits_run: tuple[Path, Outcome]):
    run, outcome = digits_run
    *epochs, last = outcome.out.splitlines()
    assert len(epochs) == 3
    for line, record in zip(epochs, history(run), strict=True):
        assert line.startswith(f"epoch {record['epoch']}/3 ")
        assert f"reconstruction error {record['reconstruction_error']:.4f}" in line
        assert f"Jacobian norm {record['jacobian_norm']:.4f}" in line
        assert line.endswith(" rows/s")
    assert all(name in last for name in FILES)
    assert "\x1b" not in outcome.out
    assert "\r" not in outcome.out


def test_config_holds_settings_data_and_versions(digits_run: tuple[Path, Outcome]):
    config = json.loads((digits_run[0] / "config.json").read_text())
    assert config["contractive"] == contractive.__version__
    assert config["model"] == "ContractiveAutoencoder"
    assert config["data"] == {"name": "digits", "shape": [1297, 64], "dtype": "float32"} | AS_THEY_ARE
    assert config["versions"]["jax"] == importlib.metadata.version("jax")
    # The preset, but for what was typed.
    expected = PRESETS["tutorial"] | {"max_epochs": 3, "batch_size": 100, "random_state": 7}
    assert config["parameters"] | expected == config["parameters"]


def test_filters_picture_has_the_tutorials_layout(digits_run: tuple[Path, Outcome]):
    run = digits_run[0]
    with Image.open(run / "filters.png") as image:
        picture = np.asarray(image.convert("L"))
    weight = load_file(run / "model.safetensors")["weight"]
    assert picture.shape == (10 * 9 - 1, 10 * 9 - 1)
    assert np.array_equal(picture, contractive.tile_images(weight, image_shape=(8, 8)))


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(call: Call, tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert call("train", "digits", "--out", name, "--epochs", 2, "--seed", seed, "--components", 5).code == 0
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert a == b
    assert a["weight"] != c["weight"]


def test_same_seed_gives_the_same_bytes_in_another_process(
    digits_run: tuple[Path, Outcome], call: Call, tmp_path: Path
):
    call("train", "digits", "--preset", "tutorial", "--epochs", 3, "--seed", 7, "--batch-size", 100, "--out", "run")
    assert weights(tmp_path / "run") == weights(digits_run[0])


@pytest.mark.parametrize("arguments", [["x.npy"], ["x.npz"], ["two.npz", "--array", "b"]])
def test_train_takes_numpy_files(call: Call, tmp_path: Path, arguments: list[str]):
    np.save(tmp_path / "x.npy", ROWS)
    np.savez(tmp_path / "x.npz", rows=ROWS)
    np.savez(tmp_path / "two.npz", a=ROWS[:1], b=ROWS)
    assert call("train", *arguments, "--out", "run", "--epochs", 1, "--components", 3).code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    array = {"array": "b"} if "--array" in arguments else {}
    own = {"name": arguments[0], "shape": [40, 12], "dtype": "float32"}
    assert config["data"] == own | AS_THEY_ARE | array
    # Twelve features are no square: each of the three filters is one line, and they stand one below the other.
    with Image.open(tmp_path / "run" / "filters.png") as image:
        assert image.size == (12, 3 * 2 - 1)


def test_image_shape_is_taken(call: Call, tmp_path: Path):
    np.save(tmp_path / "x.npy", ROWS)
    assert call("train", "x.npy", "--out", "run", "--epochs", 1, "--image-shape", "3x4").code == 0
    with Image.open(tmp_path / "run" / "filters.png") as image:
        assert image.size == (10 * 5 - 1, 10 * 4 - 1)


def test_filters_of_colour_pictures_have_colours(call: Call, tmp_path: Path):
    np.save(tmp_path / "x.npy", ROWS)
    assert call("train", "x.npy", "--out", "run", "--epochs", 1, "--image-shape", "2x2x3").code == 0
    weight = load_file(tmp_path / "run" / "model.safetensors")["weight"]
    with Image.open(tmp_path / "run" / "filters.png") as image:
        picture = np.asarray(image.convert("RGB"))
    assert np.array_equal(picture, tile_images(weight, image_shape=(2, 2, 3)))
    assert np.ptp(picture, axis=2).any()


def test_overwrite_replaces_a_run(call: Call, trained: Path):
    assert call("train", "x.npy", "--out", "run", "--epochs", 1, "--components", 5, "--overwrite").code == 0
    assert load_file(trained / "model.safetensors")["weight"].shape == (5, 12)
    assert len(history(trained)) == 1
    assert sorted(listing(trained)) == FILES


@pytest.mark.parametrize("name", ["run", "run/model.safetensors"])
def test_encode_writes_what_transform_returns(call: Call, trained: Path, name: str):
    outcome = call("encode", name, "x.npy", "--out", "codes.npy")
    assert (outcome.code, outcome.err) == (0, "")
    assert "40 rows of 3 float32 components" in outcome.out
    estimator = contractive.load(trained / "model.safetensors")
    codes = np.load(trained.parent / "codes.npy", allow_pickle=False)
    assert np.array_equal(codes, estimator.transform(ROWS))
    assert {path.name for path in trained.parent.iterdir()} == {"x.npy", "run", "codes.npy"}


def test_float64_data_are_computed_in_float64(call: Call, tmp_path: Path):
    np.save(tmp_path / "x.npy", ROWS.astype(np.float64))
    assert call("train", "x.npy", "--out", "run", "--epochs", 1, "--components", 3).code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["dtype"] == "float64"
    assert "3 float64 components" in call("encode", "run", "x.npy", "--out", "codes.npy").out
    assert np.load(tmp_path / "codes.npy").dtype == np.float64


def test_inspect_prints_model_and_training(call: Call, trained: Path):
    outcome = call("inspect", "run")
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in outcome.out.splitlines())
    last = history(trained)[-1]
    assert (outcome.code, outcome.err) == (0, "")
    assert (facts["features"], facts["n_components"], facts["epochs"]) == ("12", "3", "2")
    assert facts["last reconstruction error"] == f"{last['reconstruction_error']:.4f}"
    assert facts["last Jacobian norm"] == f"{last['jacobian_norm']:.4f}"
    assert "callbacks" not in facts


def test_inspect_measures_the_model_on_data(call: Call, trained: Path):
    outcome = call("inspect", "run", "x.npy")
    estimator = contractive.load(trained / "model.safetensors")
    assert re.search(r"rows of x\.npy +40\n", outcome.out)
    assert f"{-estimator.score(ROWS):.4f}\n" in outcome.out
    assert f"{estimator.contraction_norm(ROWS).mean():.4f}\n" in outcome.out


def test_inspect_measures_the_geometry_on_data(call: Call, trained: Path):
    outcome = call("inspect", "run", "x.npy", "--geometry", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    facts = json.loads(outcome.out)
    estimator = contractive.load(trained / "model.safetensors")
    spectra = np.linalg.svd(estimator.jacobian(ROWS), compute_uv=False)
    codes = estimator.transform(ROWS)

    def quantiles(values: np.ndarray) -> np.ndarray:
        return np.quantile(values, [0.1, 0.5, 0.9], axis=0)

    expected = {
        "rows of the geometry": 40,
        "Jacobian norm, quantiles": quantiles(np.sqrt((spectra**2).sum(axis=1))),
        "effective dimension, quantiles": quantiles((spectra**2).sum(axis=1) ** 2 / (spectra**4).sum(axis=1)),
        "largest singular value, quantiles": quantiles(spectra[:, 0]),
        "leading 3 singular values, means": spectra.mean(axis=0),
        "largest singular value found": spectra.max(),
        "Lipschitz bound": np.linalg.norm(estimator.components_, 2) / 4,
        "saturated units": np.mean((codes < 0.05) | (codes > 0.95)),
        "reconstruction error there": -estimator.score(ROWS),
    }
    pairs = estimator.neighbor_contraction(ROWS)
    expected |= {
        "pairs of rows": pairs.counts,
        "their distances": pairs.distances,
        "contraction ratio, means": pairs.means,
        "distance to the nearest row, quantiles": quantiles(pairs.nearest),
    }
    for share, one, other in zip(("10 %", "50 %", "90 %"), quantiles(spectra), pairs.quantiles, strict=True):
        expected |= {f"leading 3 singular values, {share}": one, f"contraction ratio, {share}": other}
    for name, value in expected.items():
        np.testing.assert_allclose(facts[name], value, rtol=1e-4, err_msg=name)
    table = call("inspect", "run", "x.npy", "--geometry").out
    assert re.search(rf"Lipschitz bound +{expected['Lipschitz bound']:.4f}\n", table)
    assert re.search(rf"saturated units +{100 * expected['saturated units']:.2f} %\n", table)
    leading = "  ".join(f"{value:.3f}" for value in facts["leading 3 singular values, means"])
    assert re.search(rf"means +{re.escape(leading)}\n", table)
    assert json.loads(call("inspect", "run", "--json").out).keys() < facts.keys()


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[[2, 2, 2]]])
def test_the_geometry_of_one_row_or_equal_ones_says_what_is_not_known(call: Call, trained: Path, rows: np.ndarray):
    np.save("same.npy", rows)
    outcome = call("inspect", "run", "same.npy", "--geometry")
    assert (outcome.code, outcome.err) == (0, "")
    assert re.search("contraction between rows +not known: it takes two rows that differ\n$", outcome.out)
    assert "pairs of rows" not in outcome.out


def test_geometry_wants_data(refused: Callable[..., None], trained: Path):
    refused(["inspect", "run", "--geometry"], ["`--geometry` must go with DATA."])


def test_datasets_lists_each_with_its_summary(call: Call):
    outcome = call("datasets")
    assert outcome.code == 0
    assert [line.split(maxsplit=1) for line in outcome.out.splitlines()] == [
        [info.name, info.summary] for info in DATASETS.values()
    ]


def test_version_and_its_distribution_agree(call: Call):
    assert call("--version") == Outcome(0, f"contractive {contractive.__version__}\n", "")
    assert importlib.metadata.version("contractive") == contractive.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["train", "--help"], ["encode", "-h"]])
def test_help_goes_to_standard_output(call: Call, arguments: list[str]):
    outcome = call(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: " in outcome.out


def test_without_a_command_the_help_is_shown_and_the_code_is_that_of_wrong_input(call: Call):
    outcome = call()
    assert (outcome.code, outcome.err) == (2, "")
    assert "Usage: contractive" in outcome.out


def test_help_and_version_import_nothing_heavy():
    probe = """
import sys
from contractive.cli import main
for sys.argv in (["contractive", "--help"], ["contractive", "train", "--help"], ["contractive", "--version"]):
    try:
        main()
    except SystemExit as leave:
        assert not leave.code
heavy = {"jax", "numpy", "sklearn", "scipy", "matplotlib", "optax", "equinox", "safetensors"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_help_takes_no_longer_than_a_blink():
    """Well below what it takes to import JAX alone, in the processor's time: how busy the machine is does not count."""
    probe = """
import resource, subprocess, sys
from console import COMMAND
words = {"help": [*COMMAND, "train", "--help"], "jax": [sys.executable, "-c", "import jax"]}[sys.argv[1]]
subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}

    def seconds(what: str) -> float:
        said = [subprocess.check_output([sys.executable, "-c", probe, what], env=environment) for _ in range(3)]
        return min(map(float, said))

    assert seconds("help") < 0.8 * seconds("jax")


def test_help_shows_every_option_whole_on_80_columns(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("train", "--help").out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for option in typer.main.get_command(cli.app).commands["train"].params:  # type: ignore[attr-defined]
        for name in (*option.opts, *option.secondary_opts):
            assert re.search(rf"{name}\b", shown, re.IGNORECASE), name


def test_console_script_is_installed():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="contractive")
    assert script.load() is cli.main


@pytest.mark.parametrize("start", [[], ["x.npy"]])
def test_samples_are_those_of_the_estimator(call: Call, trained: Path, start: list[str]):
    options = ["-n", 5, "--steps", 3, "--std", 0.2, "--seed", 7]
    outcome = call("sample", "run", *start, *options, "--out", "s.npy")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "wrote s.npy: 5 samples of 12 features\n"
    estimator = contractive.load(trained / "model.safetensors")
    rows = ROWS if start else None
    expected = estimator.sample(5, n_steps=3, std=0.2, X=rows, random_state=7)
    np.testing.assert_array_equal(np.load(trained.parent / "s.npy", allow_pickle=False), expected)
    assert call("sample", "run", *start, *options, "--image-shape", "3x4").code == 0
    with Image.open(trained.parent / "samples.png") as image:
        limits = float(expected.min()), float(expected.max())
        picture = tile_images(expected, image_shape=(3, 4), grid_shape=(2, 3), limits=limits)
        assert np.array_equal(np.asarray(image.convert("L")), picture)
    assert call("sample", "run", "-n", 4, "--out", "lines.png").code == 0
    with Image.open(trained.parent / "lines.png") as image:
        assert image.size == (12, 4 * 2 - 1), "rows that are no squares are lines, one below the other"


def test_samples_want_a_file_and_an_auto_encoder(refused: Callable[..., None], trained: Path):
    refused(["sample", "run", "--out", "s.jpg"], ["--out", ".npy or .png", "s.jpg"])
    refused(["sample", "run", "--image-shape", "5x5"], ["--image-shape", "12 features", "5x5"])
    refused(["sample", "run", "-n", "0"], ["--n-samples", "0"])
    refused(["sample", "none"], ["'none'", "model.safetensors"])
    (trained.parent / "samples.png").write_bytes(b"mine")
    refused(["sample", "run"], ["samples.png", "--overwrite"])
