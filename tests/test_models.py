"""The auto-encoder against plain NumPy, and its first weight against the tutorial's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS
from contractive.losses import LOSSES
from contractive.models import AutoEncoder, initialize
from routes import random_model, sigmoid

NUMPY = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "linear": lambda a: a,
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", NUMPY)
def test_code_and_reconstruction_equal_numpy(activation, loss, tied, x64):
    rng = np.random.RandomState(1)
    model = random_model(rng, tied=tied, activation=activation, loss=loss)
    x = rng.uniform(size=5)
    weight, decoder = np.asarray(model.weight), model.decoder_weight
    h = NUMPY[activation](weight @ x + np.asarray(model.hidden_bias))
    z = (weight.T if decoder is None else np.asarray(decoder)) @ h + np.asarray(model.visible_bias)
    r = sigmoid(z) if loss == "cross_entropy" else z
    np.testing.assert_allclose(model.encode(jnp.asarray(x)), h, rtol=1e-13)
    np.testing.assert_allclose(model.decode(jnp.asarray(h)), r, rtol=1e-13)
    np.testing.assert_allclose(model.reconstruct(jnp.asarray(x)), r, rtol=1e-13)


def test_forward_holds_what_the_methods_return(x64):
    rng = np.random.RandomState(2)
    model = random_model(rng, tied=True, activation="tanh", loss="cross_entropy")
    x = jnp.asarray(rng.uniform(size=5))
    forward = model.forward(x)
    np.testing.assert_array_equal(forward.x, x)
    np.testing.assert_array_equal(forward.preactivation, model.preactivation(x))
    np.testing.assert_array_equal(forward.hidden, model.encode(x))
    np.testing.assert_array_equal(forward.output, model.decode_linear(model.encode(x)))


@pytest.mark.parametrize("field", ["activation", "loss"])
def test_unknown_names_are_refused(field):
    with pytest.raises(KeyError, match="mystery"):
        AutoEncoder(jnp.ones((1, 1)), jnp.ones(1), jnp.ones(1), **{field: "mystery"})  # type: ignore[arg-type]


def test_first_weight_is_the_tutorials():
    rng = np.random.RandomState(123)
    expected = np.asarray(
        rng.uniform(low=-4 * np.sqrt(6.0 / 1284), high=4 * np.sqrt(6.0 / 1284), size=(784, 500)), dtype=np.float32
    )
    model = initialize(784, 500, rng=np.random.RandomState(123))
    np.testing.assert_array_equal(model.weight, expected.T)
    assert not model.hidden_bias.any()
    assert not model.visible_bias.any()
    assert model.tied_weights


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_first_weight_fills_its_range(activation):
    model = initialize(40, 60, rng=np.random.RandomState(0), activation=activation)
    radius = np.sqrt(6 / 100) * (4 if activation == "sigmoid" else 1)
    largest = float(jnp.abs(model.weight).max())
    assert 0.99 * radius < largest <= radius


def test_untied_decoder_is_the_next_draw():
    rng = np.random.RandomState(5)
    model = initialize(4, 3, rng=np.random.RandomState(5), tied_weights=False)
    radius = 4 * np.sqrt(6 / 7)
    np.testing.assert_array_equal(model.weight, rng.uniform(-radius, radius, (4, 3)).astype(np.float32).T)
    np.testing.assert_array_equal(model.decoder_weight, rng.uniform(-radius, radius, (4, 3)).astype(np.float32))
    assert not model.tied_weights


def test_models_are_pytrees_of_their_arrays():
    tied = initialize(4, 3, rng=np.random.RandomState(0))
    untied = initialize(4, 3, rng=np.random.RandomState(0), tied_weights=False)
    assert [leaf.shape for leaf in jax.tree.leaves(tied)] == [(3, 4), (3,), (4,)]
    assert len(jax.tree.leaves(untied)) == 4
