"""From options, files and presets to an estimator: every model, every parameter, the same bits again."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import contractive
from console import FILES, Outcome, call_in, configuration, history, listing, weights
from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.activations import ACTIVATIONS
from contractive.cli import _options as options
from contractive.cli._train import train
from contractive.corruption import CORRUPTIONS, SaltAndPepper
from contractive.estimators import ESTIMATORS, PENALTY_NAMES, plain_parameters
from contractive.losses import LOSSES
from contractive.penalties import PENALTIES, Contraction, HigherOrder, WeightDecay
from contractive.presets import MODELS, PRESETS
from contractive.sources import open_rows
from contractive.training import ENGINES, OPTIMIZERS

Call = Callable[..., Outcome]
ROWS = np.random.default_rng(0).uniform(size=(40, 12)).astype(np.float32)
SHORT: dict[str, Any] = {"max_epochs": 2, "random_state": 5}


class Job(NamedTuple):
    """What is typed, and the same in Python."""

    typed: list[object]
    estimator: Callable[[], Any]


JOBS = {
    "cae": Job(["--contraction", 0.2], lambda: ContractiveAutoencoder(4, contraction=0.2, **SHORT)),
    "cae+h": Job(
        ["--hessian-weight", 0.3, "--n-hessian-samples", 1, "--optimizer", "sgd", "--learning-rate", 0.01],
        lambda: ContractiveAutoencoder(
            4, hessian_weight=0.3, n_hessian_samples=1, optimizer="sgd", learning_rate=0.01, **SHORT
        ),
    ),
    "dae": Job(
        ["--corruption", "gaussian", "--corruption-std", 0.3, "--early-stopping"],
        lambda: DenoisingAutoencoder(4, corruption="gaussian", corruption_std=0.3, early_stopping=True, **SHORT),
    ),
    "rcae": Job(
        ["--hidden-layer-sizes", 6, "--untied"],
        lambda: ContractiveAutoencoder(
            4, hidden_layer_sizes=(6,), tied_weights=False, penalty="reconstruction", **SHORT
        ),
    ),
    "ae": Job(
        ["--loss", "cross_entropy", "--activation", "tanh"],
        lambda: ContractiveAutoencoder(4, contraction=0, loss="cross_entropy", activation="tanh", **SHORT),
    ),
    "stacked": Job(
        ["--hidden-layer-sizes", 6, "--layer-model", "dae", "--batch-size", 64],
        lambda: StackedAutoencoder(
            [DenoisingAutoencoder(size, max_epochs=2, batch_size=64) for size in (6, 4)],
            batch_size=64,
            random_state=5,
        ),
    ),
}


@pytest.fixture(scope="module", params=JOBS)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A member of the family and the folder with its run."""
    folder = tmp_path_factory.mktemp("settings")
    typed = ["--model", request.param, *JOBS[request.param].typed, "--components", 4, "--epochs", 2, "--seed", 5]
    outcome = call_in(folder, "train", "digits", "--out", "run", *typed)
    assert (outcome.code, outcome.err) == (0, "")
    return request.param, folder


def errors(run: Path) -> list[tuple[Any, ...]]:
    """What the history of a run says of learning; how long it took is another matter each time."""
    timeless = ("epoch", "reconstruction_error", "jacobian_norm", "validation_error")
    return [tuple(record[name] for name in timeless) for record in history(run)]


def test_every_model_has_its_job():
    assert set(JOBS) == set(MODELS)


def test_run_of_each_model_is_complete_and_of_use(job: tuple[str, Path]):
    model, folder = job
    assert sorted(listing(folder / "run")) == FILES
    estimator = contractive.load(folder / "run" / "model.safetensors")
    assert type(estimator).__name__ == MODELS[model][0]
    assert len(history(folder / "run")) == estimator.n_epochs_ == (4 if model == "stacked" else 2)
    X = open_rows("digits").rows
    assert call_in(folder, "encode", "run", "digits", "--out", "codes.npy", "--overwrite").code == 0
    assert np.array_equal(np.load(folder / "codes.npy"), estimator.transform(X))
    shown = call_in(folder, "inspect", "run", "digits")
    assert (shown.code, shown.err) == (0, "")
    assert f"{-estimator.score(X):.4f}\n" in shown.out
    assert f"{type(estimator).__name__}\n" in shown.out
    # What was typed can be read there, a stack's for each of its layers.
    name, value = {"dae": ("corruption_std", "0.3"), "stacked": ("layer 2 batch_size", "64")}.get(
        model, ("max_epochs", "2")
    )
    assert f"\n{name} " in shown.out
    assert f" {value}\n" in shown.out.partition(f"\n{name} ")[2].partition("\n")[0] + "\n"


def test_same_job_in_python_gives_the_same_bits(job: tuple[str, Path], tmp_path: Path):
    model, folder = job
    estimator = JOBS[model].estimator().fit(open_rows("digits").rows)
    estimator.save(tmp_path / "model.safetensors")
    assert weights(tmp_path) == weights(folder / "run")
    written = [
        (line.epoch, line.reconstruction_error, line.jacobian_norm, line.validation_error)
        for line in estimator.history_
    ]
    assert written == errors(folder / "run")


def test_config_of_a_run_gives_the_same_bits(job: tuple[str, Path]):
    _, folder = job
    outcome = call_in(folder, "train", "--config", "run/config.json", "--out", "again", "--overwrite")
    assert (outcome.code, outcome.err) == (0, "")
    assert weights(folder / "again") == weights(folder / "run")
    assert errors(folder / "again") == errors(folder / "run")
    same = ("config.json", "curves.png", "filters.png")
    assert all((folder / "again" / name).read_bytes() == (folder / "run" / name).read_bytes() for name in same)


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_the_estimators(call: Call, model: str):
    found = configuration(call, "digits", "--model", model)
    name, told = MODELS[model]
    layers: dict[str, Any] = {"layers": [ContractiveAutoencoder()]} if model == "stacked" else {}
    expected = plain_parameters(ESTIMATORS[name](random_state=0, **told, **layers))
    assert (found["model"], found["parameters"]) == (name, json.loads(json.dumps(expected)))


def test_model_is_the_contractive_auto_encoder_where_none_is_named(call: Call):
    assert configuration(call, "digits") == configuration(call, "digits", "--model", "cae")


# Each parameter of each estimator: how it is typed, and what then stands in `config.json`.
TYPED: dict[str, tuple[list[object], Any]] = {
    "n_components": (["--components", 7], 7),
    "hidden_layer_sizes": (["--hidden-layer-sizes", "9, 8"], [9, 8]),
    "corruption": (["--corruption", "gaussian"], "gaussian"),
    "corruption_level": (["--corruption-level", 0.4], 0.4),
    "corruption_std": (["--corruption-std", 0.2], 0.2),
    "joint_epochs": (["--joint-epochs", 2], 2),
    "contraction": (["--contraction", 0.7], 0.7),
    "penalty": (["--penalty", "hutchinson"], "hutchinson"),
    "n_probes": (["--n-probes", 3], 3),
    "hessian_weight": (["--hessian-weight", 0.2], 0.2),
    "hessian_std": (["--hessian-std", 0.3], 0.3),
    "n_hessian_samples": (["--n-hessian-samples", 5], 5),
    "weight_decay": (["--weight-decay", 0.01], 0.01),
    "activation": (["--activation", "tanh"], "tanh"),
    "loss": (["--loss", "cross_entropy"], "cross_entropy"),
    "tied_weights": (["--untied"], False),
    "optimizer": (["--optimizer", "sgd"], "sgd"),
    "learning_rate": (["--learning-rate", 0.5], 0.5),
    "batch_size": (["--batch-size", 16], 16),
    "max_epochs": (["--epochs", 3], 3),
    "shuffle": (["--no-shuffle"], False),
    "validation_fraction": (["--validation-fraction", 0.25], 0.25),
    "early_stopping": (["--early-stopping"], True),
    "n_iter_no_change": (["--n-iter-no-change", 2], 2),
    "tol": (["--tol", 0.01], 0.01),
    "uint8_scale": (["--uint8-scale", 255], 255.0),
    "engine": (["--engine", "jax"], "jax"),
    "random_state": (["--seed", 9], 9),
}
CODE = {"self", "layers", "callbacks", "encoder", "decoder", "warm_start", "verbose"}  # have no option


def parameters_of(name: str) -> set[str]:
    """The parameters of an estimator's class that are options."""
    return set(inspect.signature(ESTIMATORS[name].__init__).parameters) - CODE


def test_every_parameter_is_an_option_and_nothing_else_is():
    others = {
        "context",
        "out",
        "data",
        "model",
        "layer_model",
        "preset",
        "config",
        "array",
        "image_shape",
        "report",
        "overwrite",
        "columns",
        "bad_rows",
        "memory",
        "checkpoint_every",
        "keep_checkpoints",
        "read_ahead",
        "distributed",
        "coordinator",
        "processes",
        "process_id",
        "tensorboard",
        "mlflow",
    }
    assert set(inspect.signature(train).parameters) - others == set(TYPED)
    assert set().union(*(parameters_of(name) for name, _ in MODELS.values())) == set(TYPED)


@pytest.mark.parametrize(
    ("model", "parameter"),
    [
        (model, parameter)
        for model in ("cae", "dae")
        for parameter in TYPED
        if parameter in parameters_of(MODELS[model][0])
    ],
)
def test_typed_parameter_and_no_other_reaches_the_config(call: Call, model: str, parameter: str):
    typed, value = TYPED[parameter]
    default = configuration(call, "digits", "--model", model)
    found = configuration(call, "digits", "--model", model, *typed)
    assert default["parameters"][parameter] != value
    assert found == default | {"parameters": default["parameters"] | {parameter: value}}


@pytest.mark.parametrize("parameter", [name for name in TYPED if name not in ("n_components", "hidden_layer_sizes")])
def test_typed_parameter_reaches_the_layers_of_a_stack_and_what_they_share(call: Call, parameter: str):
    typed, value = TYPED[parameter]
    sizes = ["--hidden-layer-sizes", "9,8", "--components", 7]
    found = configuration(call, "digits", "--model", "stacked", "--layer-model", "dae", *sizes, *typed)["parameters"]
    shared = {"optimizer", "learning_rate", "batch_size", "shuffle"} | {
        "validation_fraction",
        "early_stopping",
        "n_iter_no_change",
        "tol",
    }
    layers = [layer["parameters"] for layer in found["layers"]]
    assert [layer["n_components"] for layer in layers] == [9, 8, 7]
    assert [layer["hidden_layer_sizes"] for layer in layers] == [[]] * 3
    of_layer = parameter in parameters_of("DenoisingAutoencoder") - {"random_state"}
    assert not of_layer or [layer[parameter] for layer in layers] == [value] * 3
    if parameter in shared | {"joint_epochs", "random_state"}:
        assert found[parameter] == value
    elif parameter in found:  # a penalty: of the layers only
        assert found[parameter] == StackedAutoencoder().get_params()[parameter]


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (options.Activation, ACTIVATIONS),
        (options.LossName, LOSSES),
        (options.OptimizerName, OPTIMIZERS),
        (options.Engine, ENGINES),
        (options.CorruptionName, CORRUPTIONS),
        (options.PenaltyName, PENALTY_NAMES),
        (options.ModelName, MODELS),
        (options.LayerModel, {model for model in MODELS if model != "stacked"}),
        (options.Preset, PRESETS),
    ],
)
def test_names_on_the_command_line_are_the_registries(names: Any, registry: Any):
    assert {name.value for name in names} == set(registry)


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        (["--components", 4], "n_components", 4),
        (["--contraction", 0], "contraction", 0.0),
        (["--loss", "squared_error"], "loss", "squared_error"),
        (["--untied"], "tied_weights", False),
        (["--shuffle"], "shuffle", True),
        (["--optimizer", "adam"], "optimizer", "adam"),
        (["--learning-rate", 0.5], "learning_rate", 0.5),
        (["--activation", "tanh"], "activation", "tanh"),
        (["--batch-size", "auto"], "batch_size", "auto"),
        # Typed values that equal the defaults count as typed.
        (["--epochs", 50, "--components", 100], "n_components", 100),
    ],
)
def test_typed_options_win_over_the_preset(call: Call, typed: list[object], name: str, value: Any):
    seen = configuration(call, "digits", "--preset", "tutorial", *typed)["parameters"]
    assert seen[name] == value
    assert seen["max_epochs"] == (50 if "--epochs" in typed else 20)


@pytest.mark.parametrize("flat", [True, False])
def test_toml_says_what_options_say(call: Call, tmp_path: Path, flat: bool):
    parameters = """
n_components = 7
hidden_layer_sizes = [9, 8]
corruption = "gaussian"
learning_rate = 0.5
tied_weights = false
batch_size = 16
random_state = 3
"""
    table = parameters if flat else f"[parameters]\n{parameters}"
    # What other programs put before UTF-8 is not in the way.
    (tmp_path / "job.toml").write_text(f'data = "digits"\nmodel = "dae"\n{table}', encoding="utf-8-sig")
    typed = ["--components", 7, "--hidden-layer-sizes", "9,8", "--corruption", "gaussian", "--learning-rate", 0.5]
    typed += ["--untied", "--batch-size", 16, "--seed", 3]
    assert configuration(call, "--config", "job.toml") == configuration(call, "digits", "--model", "dae", *typed)


def test_typed_wins_over_the_file_and_the_file_over_the_preset(call: Call, tmp_path: Path):
    np.save(tmp_path / "x.npy", ROWS)
    (tmp_path / "job.toml").write_text(
        'data = "digits"\nmodel = "dae"\npreset = "tutorial"\nlearning_rate = 0.2\nmax_epochs = 7\nbatch_size = 3\n'
    )
    # The last one would be 0 by the model and 0.1 by the preset.
    for preset in ([], ["--preset", "tutorial"]):
        found = configuration(call, "x.npy", "--config", "job.toml", *preset, "--epochs", 4, "--batch-size", "auto")
        parameters = found["parameters"]
        assert (found["data"]["name"], found["model"]) == ("x.npy", "DenoisingAutoencoder")
        assert (parameters["max_epochs"], parameters["batch_size"]) == (4, "auto")
        assert (parameters["learning_rate"], parameters["n_components"]) == (0.2, 500)
    assert configuration(call, "--config", "job.toml", "--model", "rcae")["parameters"]["penalty"] == "reconstruction"


@pytest.mark.parametrize("options", [[], ["--preset", "tutorial"]])
@pytest.mark.parametrize("where", [["--model", "ae"], ["--model", "stacked", "--layer-model", "ae"]])
def test_what_a_model_is_wins_over_the_preset(call: Call, where: list[str], options: list[str]):
    parameters = configuration(call, "digits", *where, *options)["parameters"]
    layers = parameters.get("layers", [{"parameters": parameters}])
    assert [layer["parameters"]["contraction"] for layer in layers] == [0.0]
    assert layers[0]["parameters"]["n_components"] == (500 if options else 100)


def test_config_of_an_archives_array_gives_the_same_bits(call: Call, tmp_path: Path):
    np.savez(tmp_path / "two.npz", a=ROWS[:1], b=ROWS)
    np.save(tmp_path / "other.npy", ROWS[:, :4])
    typed = ["--array", "b", "--image-shape", "3x4", "--epochs", 3, "--components", 4, "--early-stopping", "--seed", 8]
    for name, arguments in {"run": ["two.npz", *typed], "again": ["--config", "run/config.json"]}.items():
        assert call("train", *arguments, "--out", name).code == 0
    first, second = (
        {name: content for name, content in listing(tmp_path / run).items() if name.endswith((".png", "config.json"))}
        for run in ("run", "again")
    )
    assert first == second
    assert weights(tmp_path / "run") == weights(tmp_path / "again")
    with Image.open(tmp_path / "again" / "filters.png") as image:
        assert image.size == (10 * 5 - 1, 10 * 4 - 1)
    # Array and shape are of those data; of others they say nothing.
    other = configuration(call, "other.npy", "--config", "run/config.json")
    assert (other["data"]["name"], other["data"]["array"], other["image_shape"]) == ("other.npy", None, None)
    assert other["parameters"] == configuration(call, "--config", "run/config.json")["parameters"]
    same = configuration(call, "two.npz", "--config", "run/config.json")
    assert same == configuration(call, "--config", "run/config.json")


def test_array_and_shape_of_a_file_without_data_are_those_of_the_typed_data(call: Call, tmp_path: Path):
    np.savez(tmp_path / "two.npz", a=ROWS[:1], b=ROWS)
    (tmp_path / "job.toml").write_text('array = "b"\nimage_shape = "3x4"\n')
    found = configuration(call, "two.npz", "--config", "job.toml")
    assert (found["data"]["array"], found["image_shape"]) == ("b", "3x4")
    typed = configuration(call, "two.npz", "--config", "job.toml", "--array", "b", "--image-shape", "2x6")
    assert (typed["data"]["array"], typed["image_shape"]) == ("b", "2x6")


def test_config_of_an_older_version_is_taken(call: Call, tmp_path: Path):
    older = {
        "contractive": "0.1.0",
        "data": {"name": "digits", "shape": [1297, 64], "dtype": "float32"},
        "preset": "tutorial",
        "model": "ContractiveAutoencoder",
        "parameters": {"n_components": 9, "contraction": 0.3, "batch_size": "auto", "random_state": 4, "verbose": 0},
        "versions": {"jax": "0.8.2"},
    }
    (tmp_path / "config.json").write_text(json.dumps(older))
    typed = ["--components", 9, "--contraction", 0.3, "--batch-size", "auto", "--seed", 4]
    assert configuration(call, "--config", "config.json") == configuration(
        call, "digits", "--preset", "tutorial", *typed
    )


STACK = """
data = "x.npy"
model = "stacked"
joint_epochs = 1
random_state = 4
weight_decay = 0.001

[[layers]]
model = "dae"
n_components = 6
max_epochs = 2
corruption = {name = "SaltAndPepper", level = 0.25, low = -1, high = 1}

[[layers]]
model = "cae+h"
n_components = 3
max_epochs = 1
penalty = {sum = [{name = "Contraction", coefficient = 0.25}, {name = "WeightDecay", coefficient = 0.01}]}
"""


def test_layers_may_be_different_models_with_penalties_as_tables(call: Call, tmp_path: Path):
    np.save(tmp_path / "x.npy", ROWS)
    (tmp_path / "stack.toml").write_text(STACK)
    for name, config in {"run": "stack.toml", "again": "run/config.json"}.items():
        outcome = call("train", "--config", config, "--out", name)
        assert (outcome.code, outcome.err) == (0, "")
    layers = [
        DenoisingAutoencoder(6, max_epochs=2, corruption=SaltAndPepper(0.25, -1.0, 1.0)),
        ContractiveAutoencoder(3, max_epochs=1, hessian_weight=0.1, penalty=Contraction(0.25) + WeightDecay(0.01)),
    ]
    stack = StackedAutoencoder(layers, joint_epochs=1, weight_decay=0.001, random_state=4).fit(ROWS)
    stack.save(tmp_path / "model.safetensors")
    assert weights(tmp_path) == weights(tmp_path / "run") == weights(tmp_path / "again")
    assert (tmp_path / "run" / "config.json").read_bytes() == (tmp_path / "again" / "config.json").read_bytes()
    # What layers share may still be typed, and is for the joint training then.
    parameters = configuration(call, "--config", "stack.toml", "--joint-epochs", 3, "--batch-size", 5)["parameters"]
    assert (parameters["joint_epochs"], parameters["batch_size"]) == (3, 5)
    assert [layer["parameters"]["batch_size"] for layer in parameters["layers"]] == ["auto", "auto"]


def test_layer_may_be_a_stack(call: Call, tmp_path: Path):
    (tmp_path / "stack.toml").write_text(
        'data = "digits"\nmodel = "stacked"\n[[layers]]\nmodel = "stacked"\n'
        '[[layers.layers]]\nmodel = "ae"\nn_components = 9\n[[layers]]\nn_components = 8\n'
    )
    outer = configuration(call, "--config", "stack.toml")["parameters"]["layers"]
    assert [layer["class"] for layer in outer] == ["StackedAutoencoder", "ContractiveAutoencoder"]
    (inner,) = outer[0]["parameters"]["layers"]
    assert (inner["parameters"]["n_components"], inner["parameters"]["contraction"]) == (9, 0.0)


def test_file_of_one_model_makes_the_layers_of_a_stack(call: Call, tmp_path: Path):
    (tmp_path / "job.toml").write_text(
        'data = "digits"\nmodel = "dae"\nn_components = 7\nhidden_layer_sizes = [9]\nmax_epochs = 3\nrandom_state = 6\n'
        "corruption_level = 0.5\nlearning_rate = 0.02\n"
    )
    typed = ["--model", "stacked", "--layer-model", "dae", "--joint-epochs", 2]
    found = configuration(call, "--config", "job.toml", *typed)["parameters"]
    assert (found["joint_epochs"], found["random_state"], found["learning_rate"]) == (2, 6, 0.02)
    for layer, size in zip(found["layers"], (9, 7), strict=True):
        own = layer["parameters"]
        assert (layer["class"], own["n_components"], own["max_epochs"]) == ("DenoisingAutoencoder", size, 3)
        assert (own["corruption_level"], own["learning_rate"], own["random_state"]) == (0.5, 0.02, None)
    # Of another model a layer takes what it knows.
    others = configuration(call, "--config", "job.toml", "--model", "stacked")["parameters"]["layers"]
    assert [layer["parameters"]["n_components"] for layer in others] == [9, 7]
    assert all("corruption_level" not in layer["parameters"] for layer in others)


def test_layer_model_may_stand_in_the_file(call: Call, tmp_path: Path):
    (tmp_path / "job.toml").write_text(
        'data = "digits"\nmodel = "stacked"\nlayer_model = "rcae"\nn_components = 7\nhidden_layer_sizes = [9]\n'
    )
    typed = ["--model", "stacked", "--hidden-layer-sizes", 9, "--components", 7, "--layer-model"]
    assert configuration(call, "--config", "job.toml") == configuration(call, "digits", *typed, "rcae")
    assert configuration(call, "--config", "job.toml", "--layer-model", "dae") == configuration(
        call, "digits", *typed, "dae"
    )


@pytest.mark.parametrize("name", PENALTIES)
def test_each_penalty_may_be_a_table(call: Call, tmp_path: Path, name: str):
    (tmp_path / "job.toml").write_text(f'data = "digits"\npenalty = {{name = "{name}", coefficient = 2}}\n')
    expected = plain_parameters(ContractiveAutoencoder(penalty=PENALTIES[name](2.0)))["penalty"]
    assert configuration(call, "--config", "job.toml")["parameters"]["penalty"] == expected
    assert configuration(call, "--config", "job.toml", "--penalty", "exact")["parameters"]["penalty"] == "exact"


@pytest.mark.parametrize("kind", CORRUPTIONS.values())
def test_each_corruption_may_be_a_table(call: Call, tmp_path: Path, kind: type[Any]):
    number = "std" if kind.__name__ == "Gaussian" else "level"
    # A whole number will do.
    (tmp_path / "job.toml").write_text(
        f'data = "digits"\nmodel = "dae"\ncorruption = {{name = "{kind.__name__}", {number} = 1}}\n'
    )
    expected = plain_parameters(DenoisingAutoencoder(corruption=kind(1.0)))["corruption"]
    assert configuration(call, "--config", "job.toml")["parameters"]["corruption"] == expected


def test_numbers_of_a_table_reach_the_penalty(call: Call, tmp_path: Path):
    (tmp_path / "job.toml").write_text(
        'data = "digits"\npenalty = {name = "HigherOrder", coefficient = 0.5, std = 0.25, n_samples = 3}\n'
    )
    expected = plain_parameters(ContractiveAutoencoder(penalty=HigherOrder(0.5, 0.25, 3)))["penalty"]
    assert configuration(call, "--config", "job.toml")["parameters"]["penalty"] == expected
