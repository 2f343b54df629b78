"""An encoder and a decoder of the user's own: Equinox modules and plain functions inside the estimators."""

import copy
import pickle
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone

from contractive import ContractiveAutoencoder, DenoisingAutoencoder
from routes import jit_for_once
from toys import Convolution, X, assert_same_training, bits, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")


class Deconvolution(eqx.Module):
    """A decoder of 8 x 8 pictures."""

    spread: eqx.nn.Linear
    filters: eqx.nn.ConvTranspose2d

    def __init__(self):
        one, two = jax.random.split(jax.random.key(7))
        self.spread = eqx.nn.Linear(5, 27, key=one)
        self.filters = eqx.nn.ConvTranspose2d(3, 1, kernel_size=4, stride=2, key=two)

    def __call__(self, h):
        return self.filters(jnp.tanh(self.spread(h)).reshape(3, 3, 3)).reshape(-1)


def convolutional(kind: Any = ContractiveAutoencoder, **parameters: Any) -> Any:
    return small(kind, **{"encoder": Convolution(), "learning_rate": 0.01} | parameters)


def arrays(module: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_array))]


@cache
def trained(own_decoder: bool) -> Any:
    decoder = Deconvolution() if own_decoder else None
    return convolutional(decoder=decoder, contraction=0.001, max_epochs=40, batch_size=32).fit(X)


@pytest.fixture(params=[pytest.param(False, marks=pytest.mark.slow), True], ids=["affine decoder", "own decoder"])
def fitted(request: pytest.FixtureRequest) -> Any:
    return trained(request.param)


def test_it_learns(fitted):
    grey = X.mean()
    of_grey = -64 * (grey * np.log(grey) + (1 - grey) * np.log(1 - grey))  # nats of the best picture of one color
    assert -fitted.score(X) < 0.8 * of_grey < fitted.loss_curve_[0]
    assert -fitted.score(X) == pytest.approx(fitted.loss_curve_[-1], rel=0.02)


def test_what_it_computes_is_what_the_modules_compute(fitted):
    encoder, decoder = jax.tree.map(jnp.asarray, (fitted.model_.encoder, fitted.model_.decoder))
    codes = fitted.transform(X)
    assert codes.shape == (200, 5)
    np.testing.assert_allclose(codes, jit_for_once(jax.vmap(encoder))(X), rtol=1e-5, atol=1e-6)
    if decoder is None:
        weight, bias = fitted.model_.decoder_arrays
        z = codes @ weight.T + bias
    else:
        z = jit_for_once(jax.vmap(decoder))(codes)
    np.testing.assert_allclose(fitted.inverse_transform(codes), jax.nn.sigmoid(z), rtol=1e-4)
    jacobians = np.asarray(jit_for_once(jax.vmap(jax.jacrev(encoder)))(X[:20]))
    np.testing.assert_allclose(fitted.jacobian(X[:20]), jacobians, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(fitted.contraction_norm(X[:20]), np.linalg.norm(jacobians, axis=(1, 2)), rtol=1e-4)


def test_there_are_no_components(fitted):
    assert not hasattr(fitted, "components_")
    with pytest.raises(AttributeError, match="has no 'intercept_': it has an encoder of the user's own; see `model_`"):
        _ = fitted.intercept_


def test_training_starts_from_the_modules_values_and_leaves_them():
    encoder = Convolution()
    values = arrays(encoder)
    still = convolutional(encoder=encoder, learning_rate=1e-30, optimizer="sgd").fit(X)
    moved = convolutional(encoder=encoder).fit(X)
    for before, own, kept, trained in zip(
        values, arrays(encoder), arrays(still.model_.encoder), arrays(moved.model_.encoder), strict=True
    ):
        np.testing.assert_array_equal(own, before)
        np.testing.assert_array_equal(kept, before)
        assert np.array_equal(trained, before) == (before.dtype == np.int32)


@pytest.mark.parametrize("kind", [ContractiveAutoencoder, DenoisingAutoencoder])
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_portions_are_epochs(kind, optimizer: str):
    options = {"kind": kind, "contraction": 0.0, "optimizer": optimizer}
    whole, by_portions = convolutional(max_epochs=3, **options).fit(X), convolutional(**options)
    for _ in range(3):
        by_portions.partial_fit(X)
    assert_same_training(whole, by_portions)
    resumed = convolutional(warm_start=True, max_epochs=1, **options).fit(X)
    assert_same_training(whole, resumed.set_params(max_epochs=2).fit(X))


@pytest.mark.parametrize("penalty", ["exact", "hutchinson"])
def test_it_is_contracted(penalty: str):
    options = {"penalty": penalty, "max_epochs": 10, "loss": "squared_error"}
    plain, contracted = (convolutional(contraction=weight, **options).fit(X) for weight in (0.0, 10.0))
    assert contracted.contraction_norm(X).mean() < 0.5 * plain.contraction_norm(X).mean()


def test_copies_and_pickles_go_on_alike():
    estimator = convolutional(contraction=0.0).fit(X)
    copies = [pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)]
    further = estimator.transform(X), bits(estimator.partial_fit(X))
    for other in copies:
        np.testing.assert_array_equal(other.transform(X), further[0])
        assert bits(other.partial_fit(X)) == further[1]


def test_a_module_of_the_same_shape_compiles_nothing(quickly_compiled):
    convolutional(contraction=0.0).fit(X)
    before = quickly_compiled._cache_size()
    again: Any = clone(convolutional(contraction=0.0))
    again.fit(X)
    convolutional(contraction=0.0, encoder=Convolution(seed=9)).fit(X)
    assert quickly_compiled._cache_size() == before
    convolutional(contraction=0.0, encoder=Convolution(4)).fit(X)
    assert quickly_compiled._cache_size() == before + 1


class FromNumpy(eqx.Module):
    """An encoder whose array is NumPy's."""

    weight: np.ndarray

    def __call__(self, x):
        return jnp.tanh(self.weight @ x)


@pytest.mark.parametrize("of_module", ["float32", "float64"])
@pytest.mark.parametrize("of_data", ["float32", "float64"])
def test_precision_is_that_of_the_module_where_the_data_allow_it(of_module: str, of_data: str):
    weight = np.random.default_rng(0).normal(size=(3, 64)).astype(of_module)
    estimator = convolutional(encoder=FromNumpy(weight)).fit(X.astype(of_data))
    expected = "float64" if (of_module, of_data) == ("float64", "float64") else "float32"
    assert estimator.transform(X.astype(of_data)).dtype == expected
    assert all(leaf.dtype == expected for leaf in jax.tree.leaves(estimator.model_))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_functions_are_encoders_too(dtype: str):
    rows = X.astype(dtype)
    estimator = small(encoder=lambda x: jnp.sin(x[::2]), max_epochs=30, learning_rate=0.1).fit(rows)
    np.testing.assert_allclose(estimator.transform(rows), np.sin(rows[:, ::2]), rtol=1e-6)
    assert estimator.reconstruct(rows).dtype == dtype
    assert estimator.loss_curve_[-1] < 0.6 * estimator.loss_curve_[0]  # the decoder is trained
