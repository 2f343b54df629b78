"""What ONNX Runtime and `jax.export` make of exported models, against the library; what the files say; refusals."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import optax
import pytest
from sklearn.exceptions import NotFittedError

from console import Outcome
from contractive import (
    ContractiveAutoencoder,
    ContractiveClassifier,
    DenoisingAutoencoder,
    StackedAutoencoder,
    TangentNeighborsClassifier,
)
from contractive.activations import ACTIVATIONS
from contractive.datasets import load_digits
from contractive.export import PARTS, onnx_content, stablehlo_content, to_onnx, to_stablehlo
from contractive.export._onnx import _ERRORS, _NONLINEARITIES
from contractive.losses import LOSSES
from contractive.models import AutoEncoder, Model, Stack, wrap_callables
from toys import X, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")
LABELS = load_digits()[0][1][: len(X)]
SIZES = {1: (64, 7), 2: (64, 12, 7)}
DEPTHS = ("one layer", "deep", "stack")
QUICK = [("cross_entropy", "deep", "float64")]
FAMILY = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
    for case in product(LOSSES, DEPTHS, ("float32", "float64"))
]
Call = Callable[..., Outcome]


def run_onnx(content: bytes, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime makes of a model, by the names of its outputs."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))


def run_stablehlo(content: bytes, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What an exported function makes of rows."""
    with jax.enable_x64(rows.dtype == np.float64):
        made: Any = jax.export.deserialize(bytearray(content)).call(rows)
    return {name: np.asarray(value) for name, value in made.items()}


def facts(content: bytes) -> dict[str, str]:
    """What an ONNX file says of itself."""
    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}


def random_estimator(activation: str, loss: str, *, tied: bool, depth: str, dtype: str) -> Any:
    """An estimator as `fit` leaves it, with random weights and biases of the size of trained ones."""
    rng, layers = np.random.RandomState(0), []
    sizes = SIZES[1 if depth == "one layer" else 2]
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        arrays = [
            rng.normal(size=shape).astype(dtype) / np.sqrt(n_in)
            for shape in ((n_out, n_in), (n_out,), (n_in,), (n_in, n_out))
        ]
        layers.append(
            AutoEncoder(
                *map(jnp.asarray, arrays[: 3 if tied else 4]),
                activation=activation,
                loss=loss if not layers or depth == "stack" else "squared_error",
                output=activation if layers and depth == "deep" else None,
            )
        )
    estimator = ContractiveAutoencoder()
    estimator.model_ = layers[0] if len(layers) == 1 else Stack(tuple(layers))
    estimator.n_features_in_ = 64
    return estimator


def expected(model: Model, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Code, reconstruction and score by the library's functions of one example, each step by itself."""
    forward = jax.vmap(model.forward)(jnp.asarray(rows))
    error = jax.vmap(model.reconstruction_loss.error)(jnp.asarray(rows), forward.output)
    made = {"code": forward.hidden, "reconstruction": jax.vmap(model.decode)(forward.hidden), "score": -error}
    return {name: np.asarray(value) for name, value in made.items()}


def assert_close(found: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    assert found.keys() == right.keys()
    for name, value in right.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_every_nonlinearity_and_error_of_the_library_has_nodes():
    assert _NONLINEARITIES.keys() == ACTIVATIONS.keys()
    assert _ERRORS.keys() == LOSSES.keys()


@pytest.mark.parametrize(("loss", "depth", "dtype"), FAMILY)
def test_the_whole_family_equals_the_library_in_onnx_runtime(loss: str, depth: str, dtype: str):
    rows = X[:9].astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        for activation, tied in product(ACTIVATIONS, (True, False)):
            estimator = random_estimator(activation, loss, tied=tied, depth=depth, dtype=dtype)
            right = expected(estimator.model_, rows)
            tolerance = 1e-5 if dtype == "float32" or activation == "gelu" else 1e-12
            assert_close(run_onnx(onnx_content(estimator), x=rows), right, tolerance)
            decoded = run_onnx(onnx_content(estimator, "decoder"), code=right["code"])
            assert_close(decoded, {"reconstruction": right["reconstruction"]}, tolerance)
            encoded = run_onnx(onnx_content(estimator, "encoder"), x=rows)
            assert_close(encoded, {"code": right["code"]}, tolerance)


@pytest.mark.parametrize(
    ("activation", "loss", "depth", "dtype"),
    [
        pytest.param("gelu", "cross_entropy", "deep", "float32", marks=pytest.mark.slow),
        ("softplus", "squared_error", "stack", "float32"),
        pytest.param("sigmoid", "cross_entropy", "one layer", "float64", marks=pytest.mark.slow),
    ],
)
def test_stablehlo_equals_the_library_for_any_number_of_rows(activation: str, loss: str, depth: str, dtype: str):
    rows = X[:9].astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        estimator = random_estimator(activation, loss, tied=False, depth=depth, dtype=dtype)
        right = expected(estimator.model_, rows)
    content = stablehlo_content(estimator)
    assert_close(run_stablehlo(content, rows), right, 1e-5 if dtype == "float32" else 1e-12)
    assert run_stablehlo(content, rows[:2])["score"].shape == (2,)
    decoded = run_stablehlo(stablehlo_content(estimator, "decoder"), right["code"])
    assert_close(decoded, {"reconstruction": right["reconstruction"]})
    assert_close(run_stablehlo(stablehlo_content(estimator, "encoder"), rows), {"code": right["code"]})
    assert jax.export.deserialize(bytearray(content)).platforms == ("cpu", "cuda")


TRAINED: dict[str, Callable[[], Any]] = {
    "contractive": lambda: small(loss="squared_error"),
    "denoising": lambda: small(DenoisingAutoencoder, loss="squared_error", activation="gelu", tied_weights=False),
    "stack": lambda: StackedAutoencoder([small(), small(n_components=4, loss="squared_error")], random_state=0),
}


@pytest.mark.parametrize("name", ["contractive", *(pytest.param(n, marks=pytest.mark.slow) for n in [*TRAINED][1:])])
def test_trained_estimators_equal_their_own_methods_on_bytes_scaled_as_the_file_says(name: str):
    pixels = np.round(X * 255).astype(np.uint8)
    estimator = TRAINED[name]().fit(pixels)
    content = onnx_content(estimator)
    rows = pixels / np.float32(facts(content)["uint8_scale"])
    right = {
        "code": estimator.transform(pixels),
        "reconstruction": estimator.reconstruct(pixels),
        "score": estimator.score_samples(pixels),
    }
    assert_close(run_onnx(content, x=rows), right)
    assert_close(run_stablehlo(stablehlo_content(estimator), rows), right)
    assert {len(run_onnx(content, x=rows[:n])["code"]) for n in (1, 5)} == {1, 5}


def test_classifiers_give_codes_and_probabilities():
    classifier = ContractiveClassifier(small(), max_epochs=3, learning_rate=0.05, random_state=0).fit(X, LABELS)
    content = onnx_content(classifier)
    right = classifier.predict_proba(X)
    for made in (run_onnx(content, x=X), run_stablehlo(stablehlo_content(classifier), X)):
        assert list(made) == ["code", "probabilities"]
        np.testing.assert_allclose(made["probabilities"], right, atol=1e-5)
    classes = json.loads(facts(content)["classes"])
    assert [classes[place] for place in right.argmax(axis=1)] == classifier.predict(X).tolist()
    with pytest.raises(ValueError, match=r"`part` must be 'all' or 'encoder' for a classifier"):
        onnx_content(classifier, "decoder")


def test_the_file_says_what_it_is_and_holds_tied_weights_once():
    estimator = StackedAutoencoder([small(), small(n_components=4, loss="squared_error")], random_state=0).fit(X)
    content = onnx_content(estimator)
    said = facts(content)
    assert said["contractive"] == version("contractive")
    assert json.loads(said["versions"])["jax"] == version("jax")
    assert (said["model"], said["dtype"], said["loss"]) == ("StackedAutoencoder", "float32", "cross_entropy")
    assert (said["n_features"], said["n_components"], said["layers"]) == ("64", "4", "[7, 4]")
    assert "divide uint8 values by 256" in said["input"]
    assert json.loads(said["parameters"])["layers"][1]["parameters"]["n_components"] == 4
    proto = onnx.load_from_string(content)
    assert [weight.name for weight in proto.graph.initializer if list(weight.dims) == [7, 64]] == ["0.weight"]
    dimensions = [
        dimension.dim_param or dimension.dim_value for dimension in proto.graph.input[0].type.tensor_type.shape.dim
    ]
    assert dimensions == ["batch", 64]
    assert onnx_content(estimator) == content


def test_what_json_cannot_hold_is_left_out_of_the_file_and_keeps_nothing_back():
    estimator = small(optimizer=optax.sgd(0.1)).fit(X)
    assert "parameters" not in facts(onnx_content(estimator))


def test_own_encoders_and_nonlinearities_are_refused_by_onnx_and_taken_by_stablehlo(tmp_path: Path):
    estimator = random_estimator("tanh", "squared_error", tied=True, depth="one layer", dtype="float32")
    dense = estimator.model_
    own = {
        r"`encoder` must be None for ONNX.*Export StableHLO": wrap_callables(
            lambda x: jnp.sin(x[:5]), n_features=64, rng=np.random.RandomState(0)
        ),
        r"`activation` must be a name for ONNX.*'sin'": AutoEncoder(
            dense.weight, dense.hidden_bias, dense.visible_bias, activation=jnp.sin
        ),
    }
    for words, model in own.items():
        estimator.model_ = model
        with pytest.raises(TypeError, match=words):
            to_onnx(estimator, tmp_path / "model.onnx")
        assert not list(tmp_path.iterdir())
        made = run_stablehlo(stablehlo_content(estimator, "encoder"), X[:3])
        assert_close(made, {"code": np.stack([model.encode(jnp.asarray(x)) for x in X[:3]])})


def test_estimators_that_are_no_model_are_refused():
    with pytest.raises(NotFittedError):
        onnx_content(ContractiveAutoencoder())
    with pytest.raises(NotFittedError):
        onnx_content(ContractiveClassifier())
    with pytest.raises(TypeError, match=r"`estimator` must be .*got TangentNeighborsClassifier"):
        stablehlo_content(TangentNeighborsClassifier())
    with pytest.raises(ValueError, match=r"`part` must be one of 'all', 'decoder', 'encoder'; got 'half'"):
        to_stablehlo(
            random_estimator("tanh", "squared_error", tied=True, depth="deep", dtype="float32"), "x", part="half"
        )


def test_weights_beyond_the_format_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("contractive.export._onnx._MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"must be below 2 GiB; the weights take .* GiB"):
        onnx_content(random_estimator("tanh", "squared_error", tied=True, depth="deep", dtype="float32"))


@pytest.mark.parametrize(
    ("package", "make"), [("onnx", onnx_content), ("flatbuffers", stablehlo_content)], ids=["onnx", "stablehlo"]
)
def test_a_missing_package_names_the_extra(package: str, make: Any, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package or "jax._src.export.ser" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    estimator = random_estimator("tanh", "squared_error", tied=True, depth="one layer", dtype="float32")
    with pytest.raises(ImportError, match=re.escape("pip install 'contractive[onnx]'")):
        make(estimator)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A model file where the command line looks for it."""
    (tmp_path / "run").mkdir()
    small().fit(X).save(tmp_path / "run" / "model.safetensors")
    return tmp_path / "run"


def test_command_writes_both_files(call: Call, run_folder: Path, tmp_path: Path):
    outcome = call("export", "run", "--onnx", "model.onnx", "--stablehlo", "model.stablehlo")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split(":")[0] for line in outcome.out.splitlines()] == ["wrote model.onnx", "wrote model.stablehlo"]
    made = run_onnx((tmp_path / "model.onnx").read_bytes(), x=X)
    assert_close(run_stablehlo((tmp_path / "model.stablehlo").read_bytes(), X), made)
    assert call("export", "run", "--onnx", "model.onnx", "--part", "encoder", "--overwrite").code == 0
    assert list(run_onnx((tmp_path / "model.onnx").read_bytes(), x=X)) == ["code"]


def test_command_refuses_in_one_line_and_writes_nothing(refused: Any, run_folder: Path, tmp_path: Path):
    (tmp_path / "old.onnx").write_bytes(b"old")
    refused(["export", "run"], ["`--onnx` or `--stablehlo` must name a file"])
    refused(["export", "run", "--onnx", "model.bin"], ["`--onnx` must end in .onnx", "model.bin"])
    refused(["export", "run", "--onnx", "old.onnx"], ["'old.onnx' exists", "--onnx", "--overwrite"])
    refused(["export", "run", "--onnx", "new.onnx", "--stablehlo", "none/new.stablehlo"], ["new.stablehlo"])
    refused(["export", "nowhere", "--onnx", "model.onnx"], ["'nowhere'"])
    refused(["export", "run", "--onnx", "model.onnx", "--part", "half"], ["half"])


@pytest.mark.slow
def test_the_file_needs_nothing_of_this_package(run_folder: Path, call: Call, tmp_path: Path):
    assert call("export", "run", "--stablehlo", "model.stablehlo").code == 0
    script = (
        "import jax, sys, numpy as np\n"
        "content = open('model.stablehlo', 'rb').read()\n"
        "made = jax.export.deserialize(bytearray(content)).call(np.ones((3, 64), 'float32'))\n"
        "assert 'contractive' not in sys.modules\n"
        "print({name: value.shape for name, value in sorted(made.items())})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "{'code': (3, 7), 'reconstruction': (3, 64), 'score': (3,)}\n"


def test_parts_of_the_command_line_are_the_librarys():
    from contractive.cli._options import Part

    assert [part.value for part in Part] == [*PARTS]
