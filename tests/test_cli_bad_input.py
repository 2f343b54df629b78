"""Wrong models, options and files of settings: one line that says so, exit code 2, nothing left."""

import inspect
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import contractive
from console import Outcome, assert_one_line, call_in, history, listing
from contractive.cli._options import (
    Activation,
    CorruptionName,
    Engine,
    LayerModel,
    LossName,
    ModelName,
    OptimizerName,
    PenaltyName,
    Preset,
)
from contractive.cli._train import train
from contractive.presets import MODELS

Call = Callable[..., Outcome]
TABLE = np.random.default_rng(0).uniform(size=(20, 4)).astype(np.float32)
TRAIN = ("--out", "run", "--epochs", "1", "--components", "2")
STACKED = ["--model", "stacked", "--hidden-layer-sizes", "3"]


@pytest.fixture(autouse=True)
def _table(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", TABLE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "vae"], ["--model", "'vae'", *MODELS]),
        (["--model", ""], ["--model", "''"]),
        (["--penalty", "l2"], ["--penalty", "'l2'", "hutchinson"]),
        (["--corruption", "salt"], ["--corruption", "'salt'", "salt_and_pepper"]),
        ([*STACKED, "--layer-model", "stacked"], ["--layer-model", "'stacked'", "cae+h"]),
        (["--engine", "gpu"], ["--engine", "'gpu'", "native"]),
        # Options of another model.
        (["--corruption", "gaussian"], ["`--corruption`", "--model dae", "--model cae"]),
        (["--model", "rcae", "--corruption-level", "0.1"], ["`--corruption-level`", "--model dae", "--model rcae"]),
        ([*STACKED, "--corruption-std", "0.1"], ["`--corruption-std`", "--layer-model dae", "--layer-model cae"]),
        (["--layer-model", "dae"], ["`--layer-model`", "--model stacked", "--model cae"]),
        (["--model", "dae", "--joint-epochs", "2"], ["`--joint-epochs`", "--model stacked", "--model dae"]),
        # Options that make another model of it.
        (["--model", "ae", "--contraction", "0.1"], ["`contraction`", "0 for --model ae", "0.1", "Use cae."]),
        (["--model", "ae", "--hessian-weight", "1"], ["`hessian_weight`", "0 for --model ae", "1.0", "Use cae+h."]),
        (["--model", "cae+h", "--hessian-weight", "0"], ["`hessian_weight`", "> 0 for --model cae+h", "Use cae."]),
        (["--model", "rcae", "--penalty", "exact"], ["`penalty`", "'reconstruction'", "--model rcae", "'exact'"]),
        ([*STACKED, "--layer-model", "ae", "--contraction", "1"], ["`contraction`", "0 for --layer-model ae", "1.0"]),
        ([*STACKED, "--layer-model", "rcae", "--penalty", "auto"], ["`penalty`", "--layer-model rcae", "'auto'"]),
        # Values out of their ranges.
        (["--hidden-layer-sizes", "junk"], ["`--hidden-layer-sizes`", "whole number", "commas", "'junk'"]),
        (["--hidden-layer-sizes", "3;2"], ["`--hidden-layer-sizes`", "commas", "'3;2'"]),
        (["--hidden-layer-sizes", "3,,2"], ["`--hidden-layer-sizes`", "''"]),
        (["--hidden-layer-sizes", "3.5"], ["`--hidden-layer-sizes`", "'3.5'"]),
        (["--hidden-layer-sizes", "9" * 5000], ["`--hidden-layer-sizes`", "999...."]),
        (["--hidden-layer-sizes", "0"], ["`hidden_layer_sizes`", ">= 1", "0"]),
        (["--hidden-layer-sizes", "3,-2"], ["`hidden_layer_sizes`", ">= 1", "-2"]),
        ([*STACKED, "--hidden-layer-sizes", "0"], ["`layers[0]`", "`n_components`", ">= 1", "0"]),
        (["--model", "dae", "--corruption-level", "1.5"], ["`corruption_level`", ">= 0 and <= 1", "1.5"]),
        (["--model", "dae", "--corruption-std", "-1"], ["`corruption_std`", ">= 0", "-1.0"]),
        (["--validation-fraction", "0"], ["`validation_fraction`", "> 0 and < 1", "0.0"]),
        (["--early-stopping", "--validation-fraction", "1"], ["`validation_fraction`", "> 0 and < 1", "1.0"]),
        (["--early-stopping", "--batch-size", "20"], ["`batch_size`", "18", "20"]),
        (["--n-iter-no-change", "0"], ["`n_iter_no_change`", ">= 1", "0"]),
        (["--tol", "-1"], ["`tol`", ">= 0", "-1.0"]),
        ([*STACKED, "--joint-epochs", "-1"], ["`joint_epochs`", ">= 0", "-1"]),
        ([*STACKED, "--epochs", "0"], ["`layers[0]`", "`max_epochs`", ">= 1", "0"]),
        (["--penalty", "closed_form", "--hidden-layer-sizes", "3"], ["`penalty`", "'exact'", "'closed_form'"]),
        (["--n-probes", "0"], ["`n_probes`", ">= 1", "0"]),
        (["--hessian-std", "0"], ["`hessian_std`", "> 0", "0.0"]),
        (["--n-hessian-samples", "0"], ["`n_hessian_samples`", ">= 1", "0"]),
        (["--engine", "native"], ["`engine`", "'jax' or 'auto'", "'native'"]),
        (["--image-shape", ""], ["--image-shape", "HxW", "''"]),
    ],
)
def test_train_refuses_the_options(refused, options: list[str], words: list[str]):
    refused(["train", "good.npy", *TRAIN, *options], words)


def test_stack_whose_layers_do_not_fit_says_which(call: Call, tmp_path: Path):
    options = ["--activation", "tanh", "--loss", "cross_entropy"]
    outcome = call("train", "good.npy", *TRAIN, *STACKED, *options)
    assert_one_line(
        outcome, "`layers[1]`", "[0, 1]", "cross-entropy", "squared_error", "run holds the 1 finished epoch"
    )
    # Only the codes show it: the layer below is whole.
    assert contractive.load(tmp_path / "run" / "model.safetensors").transform(TABLE).shape == (20, 3)
    assert len(history(tmp_path / "run")) == 1


BASE = 'data = "good.npy"\nmax_epochs = 1\n'
STACK = 'data = "good.npy"\nmodel = "stacked"\n'
LAYER = f'{STACK}[[layers]]\nmodel = "cae"\nn_components = 2\nmax_epochs = 1\n'
JSON = '{"data": "good.npy", "parameters": {%s}}'


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("c.yaml", "a: 1", ["`--config`", ".toml or .json", "'c.yaml'"]),
        ("c.toml", "data = ", ["'c.toml' must be TOML", "end of document"]),
        ("c.toml", "a = 1\nb == 2", ["'c.toml' must be TOML", "line 2"]),
        ("c.json", "{", ["'c.json' must be JSON", "line 1"]),
        ("c.json", "[" * 100_000, ["'c.json' must be JSON", "recursion"]),
        ("c.json", "[]", ["'c.json'", "by name", "[]"]),
        ("c.toml", b'data = "d\xe9.npy"', ["'c.toml' must be in UTF-8"]),
        ("c.json", b"\x80\x02}q\x00.", ["'c.json' must be in UTF-8"]),
        ("c.toml", "", ["DATA", "--config"]),
        # Wrong names.
        ("c.toml", f"{BASE}epochs = 3", ["`epochs` is no parameter of ContractiveAutoencoder", "max_epochs"]),
        ("c.toml", f"{BASE}joint_epochs = 3", ["`joint_epochs` is no parameter of ContractiveAutoencoder"]),
        ("c.toml", f'{BASE}encoder = "mine"', ["`encoder` is no parameter of ContractiveAutoencoder"]),
        ("c.toml", f"{BASE}callbacks = []", ["`callbacks` is no parameter of ContractiveAutoencoder"]),
        ("c.toml", f'{BASE}model = "dae"\nlayer_model = "ae"', ["`--layer-model`", "--model stacked", "--model dae"]),
        ("c.json", JSON % '"new_in_2.0": 1', ["`new_in_2.0` is no parameter", "known: n_components"]),
        ("c.json", '{"data": "good.npy", "model": "Newer"}', ["`model`", "'stacked'", "'Newer'"]),
        ("c.toml", f'{BASE}model = "vae"', ["`model`", "'cae+h'", "'vae'"]),
        ("c.toml", f'{BASE}preset = "turorial"', ["`preset`", "'tutorial'", "'turorial'"]),
        ("c.toml", f'{STACK}layer_model = "vae"', ["`model`", "'vae'"]),
        ("c.toml", f'{STACK}layer_model = "stacked"', ["`layer_model`", "'stacked'", "List the layers"]),
        # Wrong types and values.
        ("c.toml", "data = 3", ["`data` must be a text", "3", "'c.toml'"]),
        ("c.toml", "data = {shape = [2, 2]}", ["DATA"]),
        ("c.toml", f"{BASE}model = []", ["`model` must be a text", "[]"]),
        ("c.toml", f"{BASE}image_shape = [2, 2]", ["`image_shape` must be a text", "[2, 2]"]),
        ("c.toml", f"{BASE}array = 3", ["`array` must be a text", "3"]),
        ("c.toml", f"{BASE}streamed = 1", ["`streamed` must be true or false", "1", "'c.toml'"]),
        ("c.toml", f"{BASE}parameters = 3", ["`parameters` must be a table", "3"]),
        ("c.toml", f'{BASE}contraction = "much"', ["`contraction`", ">= 0", "'much'"]),
        ("c.toml", f"{BASE}contraction = {10**400}", ["`contraction`", ">= 0", "100000"]),
        ("c.toml", f"{BASE}n_components = 2.5", ["`n_components`", "whole number", "2.5"]),
        ("c.toml", f"{BASE}early_stopping = 1", ["`early_stopping`", "True or False", "1"]),
        ("c.toml", f"{BASE}tol = 2026-01-01", ["`tol`", "number", "date"]),
        ("c.toml", f"{BASE}hidden_layer_sizes = 3", ["`hidden_layer_sizes`", "whole numbers", "3"]),
        ("c.toml", f"{BASE}hidden_layer_sizes = [[3]]", ["`hidden_layer_sizes`", "whole number", "[3]"]),
        ("c.toml", f"{STACK}hidden_layer_sizes = 3", ["`hidden_layer_sizes`", "list of whole numbers", "3"]),
        ("c.toml", f'{STACK}joint_epochs = "all"', ["`joint_epochs`", "whole number", "'all'"]),
        ("c.json", JSON % '"max_epochs": "9"', ["`max_epochs`", "whole number", "'9'"]),
        ("c.json", JSON % '"contraction": NaN', ["`contraction`", ">= 0", "nan"]),
        # Penalties and corruptions as tables.
        ("c.toml", f"{BASE}penalty = 3", ["`penalty`", "'hutchinson'", "3"]),
        ("c.toml", f'{BASE}penalty = {{name = "L2"}}', ["`penalty`", "WeightDecay", "'L2'"]),
        ("c.toml", f"{BASE}penalty = {{}}", ["`penalty`", "WeightDecay", "{}"]),
        ("c.toml", f"{BASE}penalty = {{sum = [1]}}", ["`penalty`", "WeightDecay", "got 1"]),
        ("c.toml", f"{BASE}penalty = {{sum = 1}}", ["`penalty`", "WeightDecay", "{'sum': 1}"]),
        ("c.toml", f'{BASE}penalty = {{name = "WeightDecay"}}', ["`coefficient` must be given for WeightDecay"]),
        (
            "c.toml",
            f'{BASE}penalty = {{name = "WeightDecay", coefficient = -1}}',
            ["`coefficient` must be >= 0", "-1"],
        ),
        (
            "c.toml",
            f'{BASE}penalty = {{name = "WeightDecay", coefficient = 1, std = 1}}',
            ["`std` is no parameter of WeightDecay", "known: coefficient"],
        ),
        (
            "c.toml",
            f'{BASE}penalty = {{name = "Contraction", coefficient = 1, n_probes = 0.5}}',
            ["`n_probes`", "whole number", "0.5"],
        ),
        (
            "c.toml",
            f'{BASE}penalty = {{name = "Contraction", coefficient = 1, estimator = "best"}}',
            ["`estimator`", "'hutchinson'", "'best'"],
        ),
        ("c.toml", f'{BASE}model = "dae"\ncorruption = {{name = "Masking", level = 2}}', ["`level`", "<= 1", "2"]),
        ("c.toml", f'{BASE}model = "dae"\ncorruption = {{sum = []}}', ["`corruption`", "Masking", "{'sum': []}"]),
        # Models that are none.
        ("c.toml", f'{BASE}model = "ae"\ncontraction = 1', ["`contraction`", "0 for --model ae", "1"]),
        (
            "c.toml",
            f'{BASE}model = "ae"\npenalty = {{name = "Contraction", coefficient = 1}}',
            ["`penalty`", "--model ae", "Contraction"],
        ),
        (
            "c.toml",
            f'{BASE}model = "rcae"\npenalty = {{name = "Contraction", coefficient = 1}}',
            ["`penalty`", "--model rcae", "'Contraction'"],
        ),
        # Layers.
        ("c.toml", f"{BASE}[[layers]]\nn_components = 2", ["`layers`", "--model stacked", "--model cae"]),
        ("c.toml", f"{STACK}layers = 3", ["`layers`", "list of tables", "3"]),
        ("c.toml", f"{STACK}layers = []", ["`layers`", "at least one", "[]"]),
        ("c.toml", f'{STACK}layers = ["cae"]', ["`layers[0]`", "table", "'cae'"]),
        ("c.toml", f"{STACK}[layers]\nn_components = 2", ["`layers`", "list of tables"]),
        ("c.toml", f'{LAYER}[[layers]]\nmodel = "vae"', ["`layers[1]`", "`model`", "'vae'"]),
        ("c.toml", f"{LAYER}[[layers]]\nepochs = 2", ["`layers[1]`", "`epochs` is no parameter"]),
        ("c.toml", f"{LAYER}[[layers]]\nn_components = 0", ["`layers[1]`", "`n_components`", ">= 1", "0"]),
        ("c.toml", f'{LAYER}[[layers]]\nmax_epochs = "x"', ["`layers[1]`", "`max_epochs`", "'x'"]),
        ("c.toml", f'{LAYER}[[layers]]\nmodel = "ae"\ncontraction = 1', ["`layers[1]`", "`contraction`", "model ae"]),
        ("c.toml", f'{LAYER}[[layers]]\nencoder = "mine"', ["`layers[1]`", "`encoder` is no parameter"]),
        ("c.toml", f'{LAYER}[[layers]]\nclass = "X"', ["`layers[1]`", "`model`", "'X'"]),
        ("c.toml", f"{LAYER}[[layers]]\nparameters = 3", ["`layers[1]`", "table", "3"]),
        (
            "c.toml",
            f'{LAYER}[[layers]]\nmodel = "stacked"\n[[layers.layers]]\nmodel = "vae"',
            ["`layers[1]`: `layers[0]`: `model`", "'vae'"],
        ),
        (
            "c.json",
            '{"data": "good.npy", "model": "StackedAutoencoder", "parameters": {"layers": null}}',
            ["`layers`", "list of tables", "None"],
        ),
    ],
)
def test_train_refuses_the_file(refused, tmp_path: Path, name: str, content: str | bytes, words: list[str]):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(["train", "--out", "run", "--config", name], words)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("none.toml", ["'none.toml': No such file or directory"]),
        ("none.json", ["'none.json': No such file or directory"]),
        ("folder", ["`--config`", "'folder'", "config.json in it"]),
        ("folder.toml", ["'folder.toml': Is a directory"]),
        ("", ["`--config`"]),
    ],
)
def test_train_refuses_the_path_of_the_file(refused, tmp_path: Path, config: str, words: list[str]):
    for name in ("folder", "folder.toml"):
        (tmp_path / name).mkdir()
    refused(["train", "good.npy", "--out", "run", "--config", config], words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--components", 3], ["`--components`", "lists the layers"]),
        (["--epochs", 3], ["`--epochs`", "lists the layers"]),
        (["--tied"], ["`--tied-weights`", "lists the layers"]),
        (["--layer-model", "ae"], ["`--layer-model`", "lists the layers"]),
        (["--preset", "tutorial"], ["`--preset`", "lists the layers"]),
        (["--model", "cae"], ["`layers`", "--model stacked", "--model cae"]),
    ],
)
def test_listed_layers_are_not_changed_from_outside(refused, tmp_path: Path, options: list[object], words: list[str]):
    (tmp_path / "c.toml").write_text(LAYER)
    refused(["train", "--out", "run", "--config", "c.toml", *options], words)


def test_data_of_the_file_may_be_gone(refused, tmp_path: Path):
    (tmp_path / "c.toml").write_text('data = "gone.npy"\n')
    refused(["train", "--out", "run", "--config", "c.toml"], ["'gone.npy'", "digits, fashion_mnist, mnist"])
    refused(["train", "", "--out", "run", "--config", "c.toml"], ["''", "neither a data set nor a file"])


def test_run_that_is_to_be_made_again_in_its_place_is_kept_when_its_file_is_wrong(refused, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    (tmp_path / "run" / "config.json").write_text(JSON % '"contraction": -1')
    refused(["train", "--config", "run/config.json", "--out", "run", "--overwrite"], ["`contraction`", "-1"])


ENUMS = [Activation, CorruptionName, Engine, LayerModel, LossName, ModelName, OptimizerName, PenaltyName, Preset]
NAMES = [name for name in inspect.signature(train).parameters if name not in ("context", "out", "overwrite")]
RENAMED = {"n_components": "components", "max_epochs": "epochs", "random_state": "seed", "tied_weights": "tied"}
# Numbers that are refused at once or cost nothing, as nothing is trained.
NUMBERS = st.integers(-3, 30) | st.floats() | st.sampled_from([10**14, 2**63, -(2**63), 10**30, 10**400])
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    | st.sampled_from(["", "auto", "2,3", "1e400", "0x10", "--", "-", "--help", "good.npy", "c.json", "4x1", "..", "/"])
    | st.sampled_from([name.value for names in ENUMS for name in names])
)
OPTIONS = st.lists(
    st.tuples(st.sampled_from(NAMES), TEXTS | NUMBERS.map(str)).map(
        lambda pair: [f"--{RENAMED.get(pair[0], pair[0]).replace('_', '-')}", pair[1]]
    )
    | st.sampled_from([["--untied"], ["--no-shuffle"], ["--early-stopping"], ["--overwrite"]])
    | TEXTS.map(lambda text: [text]),
    max_size=3,
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*NAMES, "layers", "parameters", "class"]) | TEXTS, inner, max_size=3)
        | st.fixed_dictionaries(
            {"name": st.sampled_from(["HigherOrder", "Contraction", "Masking", "SaltAndPepper"])},
            optional={name: inner for name in ("coefficient", "estimator", "n_samples", "level", "low", "sum")},
        )
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a table, where everything about a training is done but the training."""
    folder = tmp_path_factory.mktemp("fuzz")
    np.save(folder / "good.npy", TABLE)
    (folder / "c.json").write_text("{}")
    with mock.patch("contractive.estimators._fitting.train", side_effect=FloatingPointError("stopped.")):
        yield folder


def assert_refused_or_helped(folder: Path, *arguments: object) -> None:
    """Exit code 2 and one line, or the help; nothing else is left than there was."""
    before = sorted(os.listdir(folder))
    outcome = call_in(folder, *arguments)
    if outcome.code == 0:
        assert re.search("Usage: ", outcome.out)
        assert outcome.err == ""
    else:
        assert_one_line(outcome)
    assert sorted(os.listdir(folder)) == before


FUZZ = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@settings(FUZZ, max_examples=60)
@given(OPTIONS)
def test_no_option_ends_in_a_traceback(untrained: Path, options: list[list[str]]):
    typed = [word for option in options for word in option]
    assert_refused_or_helped(untrained, "train", "good.npy", "--out", "run", "--components", "2", *typed)


@settings(FUZZ, max_examples=60)
@given(
    st.dictionaries(st.sampled_from([*NAMES, "layers", "parameters"]) | TEXTS, VALUES, max_size=3),
    st.sampled_from(ModelName),
)
def test_no_file_ends_in_a_traceback(untrained: Path, found: dict[str, Any], model: ModelName):
    (untrained / "c.json").write_text(json.dumps({"model": model, "n_components": 2, **found}))
    assert_refused_or_helped(untrained, "train", "good.npy", "--out", "run", "--config", "c.json")


def test_fuzz_comes_as_far_as_the_training(untrained: Path):
    for options in ([], STACKED, ["--model", "dae", "--early-stopping"]):
        outcome = call_in(untrained, "train", "good.npy", *TRAIN, *options)
        assert outcome == Outcome(2, "", "contractive: stopped.\n")
        assert "run" not in listing(untrained)
