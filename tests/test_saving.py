"""Model files of estimators: back with the same bits, parameters and history, ready to train on; or one clear line."""

import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest

import contractive
from contractive import DenoisingAutoencoder, StackedAutoencoder, batched
from contractive.corruption import Gaussian, Masking, SaltAndPepper
from contractive.penalties import (
    Contraction,
    HigherOrder,
    Penalty,
    ReconstructionContraction,
    SpectralContraction,
    WeightDecay,
)
from contractive.serialization import read_model, write_model
from toys import Convolution, X, assert_same_training, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")

TABLE = pandas.DataFrame(X.astype(float), columns=[f"pixel {i}" for i in range(64)])
SUM = Contraction(jnp.asarray(0.1)) + WeightDecay(0.01) + HigherOrder(0.1, 0.2, 2)


def stack(*layers: Any, **parameters: Any) -> StackedAutoencoder:
    return StackedAutoencoder([small(), small(DenoisingAutoencoder, n_components=4), *layers], **parameters)


# What is saved; trained by plain SGD, which keeps nothing but the weights from epoch to epoch.
KINDS: dict[str, Any] = {
    "contractive": small,
    "untied": lambda: small(tied_weights=False, activation="tanh"),
    "deep": lambda: small(hidden_layer_sizes=(9, 8), penalty="hutchinson", n_probes=2),
    "higher order": lambda: small(hessian_weight=0.1, weight_decay=0.01),
    "reconstruction": lambda: small(penalty=ReconstructionContraction(0.1, "hutchinson", 2)),
    "spectral": lambda: small(penalty=SpectralContraction(0.1, 5)),
    "sum of penalties": lambda: small(penalty=SUM),
    "denoising": lambda: small(DenoisingAutoencoder, corruption="salt_and_pepper"),
    "masking": lambda: small(DenoisingAutoencoder, corruption=Masking(0.5)),
    "gaussian": lambda: small(DenoisingAutoencoder, corruption=Gaussian(jnp.asarray(0.5))),
    "salt and pepper": lambda: small(DenoisingAutoencoder, corruption=SaltAndPepper(0.3, low=-1.0)),
    "held-out rows": lambda: small(early_stopping=True, learning_rate=0.001),
    "numpy numbers": lambda: small(contraction=np.float32(0.5), n_components=np.int64(3), tied_weights=np.True_),
    "stack": lambda: stack(random_state=3),
    "joint": lambda: stack(joint_epochs=2, early_stopping=True, optimizer="sgd", penalty=SUM, random_state=3),
    "nested": lambda: stack(stack(small(n_components=3, hidden_layer_sizes=(5,))), random_state=3),
}


def trained(name: str, rows: Any) -> Any:
    estimator = KINDS[name]()
    plain = {key: "sgd" for key in estimator.get_params() if key.endswith("optimizer")}
    return estimator.set_params(**plain).fit(rows)


def assert_same_parameters(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert one.get_params().keys() == other.get_params().keys()
    for name, value in one.get_params().items():
        same = other.get_params()[name]
        if name.endswith(("penalty", "corruption")):
            assert eqx.tree_equal(*(jax.tree.map(float, part) if callable(part) else part for part in (value, same)))
        elif not name.endswith("layers"):
            assert same == value, name


@pytest.mark.parametrize("name", KINDS)
def test_a_model_file_gives_back_the_estimator(name: str, tmp_path: Path):
    one = trained(name, X)
    one.save(tmp_path / "model.safetensors")
    other = contractive.load(tmp_path / "model.safetensors")
    assert_same_parameters(one, other)
    assert_same_training(one, other)
    assert other.history_ == one.history_
    assert other.engine_ == one.engine_
    assert getattr(other, "best_epoch_", None) == getattr(one, "best_epoch_", None)
    assert jax.tree.structure(other.model_) == jax.tree.structure(one.model_)
    assert other.transform(X).tobytes() == one.transform(X).tobytes()
    one.set_params(early_stopping=False).partial_fit(X)
    assert_same_training(one, other.set_params(early_stopping=False).partial_fit(X))
    assert list(other.get_feature_names_out()) == list(one.get_feature_names_out())


@pytest.mark.parametrize("name", ["contractive", "salt and pepper", "joint"])
def test_names_of_features_and_64_bits_come_back(name: str, tmp_path: Path):
    one = trained(name, TABLE)
    one.save(tmp_path / "model.safetensors")
    other = contractive.load(tmp_path / "model.safetensors")
    assert list(other.feature_names_in_) == list(TABLE.columns)
    assert other.n_features_in_ == 64
    assert other.transform(TABLE).dtype == np.float64
    assert other.transform(TABLE).tobytes() == one.transform(TABLE).tobytes()
    assert_same_training(*(e.set_params(early_stopping=False).partial_fit(TABLE) for e in (one, other)))
    with pytest.raises(ValueError, match="same order"):
        other.transform(TABLE[TABLE.columns[::-1]])


def test_the_optimizers_state_is_not_saved(tmp_path: Path):
    one = small(optimizer="adam").fit(X)
    one.save(tmp_path / "model.safetensors")
    other = contractive.load(tmp_path / "model.safetensors").partial_fit(X)
    np.testing.assert_allclose(other.components_, one.partial_fit(X).components_, atol=0.01)


def test_random_states_and_callbacks_are_left_out(tmp_path: Path):
    estimator = small(random_state=np.random.RandomState(0), callbacks=[lambda *_: None]).fit(X)
    estimator.save(tmp_path / "model.safetensors")
    parameters = contractive.load(tmp_path / "model.safetensors").get_params()
    assert (parameters["random_state"], parameters["callbacks"]) == (None, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_modules_of_the_users_own_are_given_again(dtype: str, tmp_path: Path):
    rows, path = X.astype(dtype), tmp_path / "model.safetensors"
    own = {"encoder": Convolution(), "decoder": eqx.nn.Linear(5, 64, key=jax.random.key(1))}
    for names in (["encoder"], ["encoder", "decoder"]):
        one = small(**{name: own[name] for name in names}, contraction=0.0, optimizer="sgd").fit(rows)
        one.save(path)
        fresh = {"encoder": Convolution(seed=5), "decoder": eqx.nn.Linear(5, 64, key=jax.random.key(2))}
        other = contractive.load(path, **{name: fresh[name] for name in names})
        assert other.transform(rows).tobytes() == one.transform(rows).tobytes()
        assert other.reconstruct(rows).tobytes() == one.reconstruct(rows).tobytes()
        assert_same_training(one.partial_fit(rows), other.partial_fit(rows))


def test_single_floats_of_the_users_own_take_rows_of_doubles():
    batched._floats_of_shapes.cache_clear()  # what is known of rows of single floats would hide what is wrong
    rows = X[:40].astype(float)
    one = small(encoder=Convolution(), max_epochs=1).fit(rows)
    assert one.transform(rows).dtype == np.float32
    np.testing.assert_array_equal(one.transform(rows), one.transform(rows.astype(np.float32)))


def test_functions_of_the_users_own_are_given_again(tmp_path: Path):
    def encoder(x):
        return jnp.sin(x[::2])

    one = small(encoder=encoder).fit(X)
    one.save(tmp_path / "model.safetensors")
    other = contractive.load(tmp_path / "model.safetensors", encoder=encoder)
    assert other.reconstruct(X).tobytes() == one.reconstruct(X).tobytes()


class Own(Penalty):
    """A penalty of the user's own."""

    coefficient: Any = 1.0

    def term(self, model, forward, prepared, *, key):
        return jnp.sum(forward.hidden**2)


UNSAVED: dict[str, tuple[Any, list[str]]] = {
    "optimizer": (lambda: small(optimizer=optax.sgd(0.1)), ["`optimizer`", "GradientTransformation"]),
    "schedule": (lambda: small(learning_rate=optax.linear_schedule(0.1, 0, 9)), ["`learning_rate`", "function"]),
    "activation": (lambda: small(activation=jnp.sin), ["`activation`"]),
    "penalty": (lambda: small(penalty=Own()), ["`penalty`", "Own"]),
    "term": (lambda: small(penalty=Own() + WeightDecay(0.1)), ["`penalty`", "Own"]),
    "layer": (lambda: stack(small(encoder=eqx.nn.Linear(4, 3, key=jax.random.key(0)))), ["`encoder`", "Linear"]),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(name: str, tmp_path: Path):
    make, words = UNSAVED[name]
    estimator = make().fit(X)
    with pytest.raises(TypeError) as info:
        estimator.save(tmp_path / "model.safetensors")
    assert all(word in str(info.value) for word in [*words, "to be written down"])
    assert "\n" not in str(info.value)
    assert not list(tmp_path.iterdir())


REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("own", {}, ["`encoder` must be given"]),
    ("own", {"encoder": Convolution(), "decoder": Convolution()}, ["`decoder` must be None"]),
    ("own", {"encoder": Convolution(4)}, ["must hold arrays of the shapes", "(5, 27)", "got", "(4, 27)"]),
    ("own", {"encoder": lambda x: x}, ["must hold arrays of the shapes"]),
    ("own", {"encoder": lambda x: x.reshape(8, 8)}, ["`encoder` must return a 1-d array", "(8, 8)"]),
    ("own", {"encoder": 3}, ["`encoder` must be an Equinox module or a function", "3"]),
    ("dense", {"encoder": Convolution()}, ["`encoder` must be None"]),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("saved", "given", "words"), REFUSED)
def test_load_wants_the_modules_that_were_trained(saved: str, given: dict[str, Any], words: list[str], tmp_path: Path):
    path = tmp_path / "model.safetensors"
    small(encoder=Convolution() if saved == "own" else None, contraction=0.0, max_epochs=1).fit(X[:9]).save(path)
    with pytest.raises(ValueError, match=re.escape(repr(str(path)))) as info:
        contractive.load(path, **given)
    assert all(word in str(info.value) for word in words), info.value
    assert "\n" not in str(info.value)


def without(*keys: str) -> Any:
    def damage(arrays: dict[str, Any], description: dict[str, Any]) -> None:
        part: Any = description
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return damage


def renamed(**parameters: Any) -> Any:
    return lambda arrays, description: description["parameters"].update(parameters)


DAMAGES: dict[str, tuple[Any, list[str]]] = {
    "an array is missing": (lambda arrays, description: arrays.pop("hidden_bias"), ["hidden_bias"]),
    "an array has another shape": (
        lambda arrays, description: arrays.update(hidden_bias=arrays["hidden_bias"][:-1]),
        ["hidden_bias must be of shape (7,)", "(6,)"],
    ),
    "the class is unknown": (lambda arrays, description: description.update({"class": "Unheard"}), ["'Unheard'"]),
    "a parameter is unknown": (renamed(unheard=3), ["unheard"]),
    "a penalty is unknown": (renamed(penalty={"name": "Unheard"}), ["`penalty`", "Contraction", "'Unheard'"]),
    "a record is too long": (lambda arrays, description: description["history"][0].extend([1, 2]), ["argument"]),
    "the loss is unknown": (lambda arrays, description: description["model"].update(loss="unheard"), ["unheard"]),
    "features differ": (lambda arrays, description: description.update(n_features=63), ["63 features", "64"]),
    **{
        f"no {key}": (without(key), [key]) for key in ("parameters", "model", "history", "engine", "seed", "n_features")
    },
}


@pytest.mark.parametrize("name", DAMAGES)
def test_files_that_describe_no_estimator_are_refused_by_name(name: str, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    small(max_epochs=1).fit(X).save(path)
    arrays, description = read_model(path)
    damage, words = DAMAGES[name]
    damage(arrays, description)
    write_model(path, arrays, description)
    with pytest.raises(ValueError, match=re.escape(repr(str(path)))) as info:
        contractive.load(path)
    assert all(word in str(info.value) for word in words), info.value
    assert "\n" not in str(info.value)
