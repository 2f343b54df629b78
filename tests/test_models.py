"""The auto-encoders against plain NumPy, the first weight against the tutorial's, and what is refused."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS
from contractive.losses import LOSSES
from contractive.models import AutoEncoder, Model, Stack, initialize, wrap_callables
from registry import MODELS
from routes import one_layer, random_model, sigmoid

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
    np.testing.assert_array_equal(forward.preactivations, [model.preactivation(x)])
    np.testing.assert_array_equal(forward.hidden, model.encode(x))
    np.testing.assert_array_equal(forward.output, model.decode_linear(model.encode(x)))


@pytest.mark.parametrize("field", ["activation", "loss", "output"])
def test_unknown_names_are_refused(field):
    with pytest.raises(KeyError, match="mystery"):
        AutoEncoder(jnp.ones((1, 1)), jnp.ones(1), jnp.ones(1), **{field: "mystery"})  # type: ignore[arg-type]


def test_first_weight_is_the_tutorials():
    rng = np.random.RandomState(123)
    expected = np.asarray(
        rng.uniform(low=-4 * np.sqrt(6.0 / 1284), high=4 * np.sqrt(6.0 / 1284), size=(784, 500)), dtype=np.float32
    )
    model = one_layer(784, 500, rng=np.random.RandomState(123))
    np.testing.assert_array_equal(model.weight, expected.T)
    assert not model.hidden_bias.any()
    assert not model.visible_bias.any()
    assert model.tied_weights


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_first_weight_fills_its_range(activation):
    model = one_layer(40, 60, rng=np.random.RandomState(0), activation=activation)
    radius = np.sqrt(6 / 100) * (4 if activation == "sigmoid" else 1)
    largest = float(jnp.abs(model.weight).max())
    assert 0.99 * radius < largest <= radius


def test_untied_decoder_is_the_next_draw():
    rng = np.random.RandomState(5)
    model = one_layer(4, 3, rng=np.random.RandomState(5), tied_weights=False)
    radius = 4 * np.sqrt(6 / 7)
    np.testing.assert_array_equal(model.weight, rng.uniform(-radius, radius, (4, 3)).astype(np.float32).T)
    np.testing.assert_array_equal(model.decoder_weight, rng.uniform(-radius, radius, (4, 3)).astype(np.float32))
    assert not model.tied_weights


def test_models_are_pytrees_of_their_arrays():
    tied = initialize(4, 3, rng=np.random.RandomState(0))
    untied = initialize(4, 3, rng=np.random.RandomState(0), tied_weights=False)
    assert [leaf.shape for leaf in jax.tree.leaves(tied)] == [(3, 4), (3,), (4,)]
    assert len(jax.tree.leaves(untied)) == 4


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_deep_code_and_reconstruction_equal_numpy(loss, tied, x64):
    rng, sizes = np.random.RandomState(3), (6, 5, 4, 3)
    drawn = initialize(6, 3, rng=rng, hidden_layer_sizes=(5, 4), activation="tanh", loss=loss, tied_weights=tied)
    model = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), drawn)
    assert isinstance(model, Stack)
    x = rng.uniform(size=6)
    h, preactivations = x, []
    layers = [layer for layer in model.layers if isinstance(layer, AutoEncoder)]
    for layer, units in zip(layers, sizes[1:], strict=True):
        preactivations.append(np.asarray(layer.weight) @ h + np.asarray(layer.hidden_bias))
        h = np.tanh(preactivations[-1])
        assert h.shape == (units,)
    r = h
    for number, layer in reversed([*enumerate(layers)]):
        decoder = layer.weight.T if layer.decoder_weight is None else layer.decoder_weight
        z = np.asarray(decoder) @ r + np.asarray(layer.visible_bias)
        r = np.tanh(z) if number else z
    forward = model.forward(jnp.asarray(x))
    for ours, by_hand in zip(forward.preactivations, preactivations, strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-12)
    np.testing.assert_allclose(forward.hidden, h, rtol=1e-12)
    np.testing.assert_allclose(forward.output, r, rtol=1e-12)
    np.testing.assert_allclose(
        model.reconstruct(jnp.asarray(x)), sigmoid(r) if loss == "cross_entropy" else r, rtol=1e-12
    )
    assert model.reconstruction_loss.name == loss


def test_a_stack_keeps_the_output_that_each_layer_was_trained_with(x64):
    model, x = MODELS["stack of layers"](), np.random.RandomState(0).uniform(size=6)
    assert isinstance(model, Stack)
    one, two, three = model.layers
    h = three.encode(two.encode(one.encode(jnp.asarray(x))))
    np.testing.assert_allclose(model.encode(jnp.asarray(x)), h, rtol=1e-13)
    assert isinstance(one, AutoEncoder)
    assert isinstance(two, AutoEncoder)
    assert isinstance(three, AutoEncoder)
    second = np.asarray(three.weight).T @ np.asarray(h) + np.asarray(three.visible_bias)
    first = np.asarray(two.decoder_weight) @ second + np.asarray(two.visible_bias)
    x_again = sigmoid(np.asarray(one.weight).T @ first + np.asarray(one.visible_bias))
    np.testing.assert_allclose(model.decode(h), x_again, rtol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
def test_deep_weights_are_drawn_layer_by_layer(tied):
    model = initialize(7, 3, rng=np.random.RandomState(9), hidden_layer_sizes=(5, 4), tied_weights=tied)
    assert isinstance(model, Stack)
    rng = np.random.RandomState(9)
    for layer, (units_in, units_out) in zip(model.layers, [(7, 5), (5, 4), (4, 3)], strict=True):
        assert isinstance(layer, AutoEncoder)
        radius = 4 * np.sqrt(6 / (units_in + units_out))
        for weight in (layer.weight.T, *([] if layer.decoder_weight is None else [layer.decoder_weight])):
            expected = rng.uniform(-radius, radius, (units_in, units_out)).astype(np.float32)
            np.testing.assert_array_equal(weight, expected)
        assert layer.tied_weights == tied


def test_a_stack_must_fit_together():
    layer = initialize(6, 4, rng=np.random.RandomState(0))
    with pytest.raises(ValueError, match="layer 2 must have 4 features, as many as the code of the layer below; got 6"):
        Stack((layer, layer))
    with pytest.raises(ValueError, match="`layers` must hold at least one auto-encoder; got none"):
        Stack(())


@pytest.mark.parametrize("name", MODELS)
def test_sizes_and_dtype_are_what_the_arrays_say(name, x64):
    model = MODELS[name]()
    x = jnp.zeros(model.n_features)
    assert model.encode(x).shape == (model.n_hidden,)
    assert model.reconstruct(x).shape == x.shape
    assert model.dtype == model.encode(x).dtype == np.float64
    layers = model.encoder_layers
    assert len(model.forward(x).preactivations) == (0 if layers is None else len(layers))


class Doubling(eqx.Module):
    """An encoder of a weight, an array of integers, a number and a name."""

    weight: Any
    order: Any
    factor: float = 2.0
    name: str = eqx.field(static=True, default="doubling")

    def __call__(self, x):
        return jnp.tanh(self.factor * (self.weight @ x)[self.order])


def doubling() -> Doubling:
    return Doubling(np.random.RandomState(0).normal(size=(3, 5)).astype(np.float32), np.array([2, 0, 1]))


def wrap(encoder: Any, decoder: Any = None, **options: Any) -> Model:
    return wrap_callables(encoder, decoder, n_features=5, rng=np.random.RandomState(1), **options)


def test_a_wrapped_encoder_computes_what_it_did():
    encoder, x = doubling(), jnp.linspace(-1, 1, 5)
    model = wrap(encoder)
    np.testing.assert_array_equal(model.encode(x), encoder(x))
    assert (model.n_features, model.n_hidden, model.encoder_layers) == (5, 3, None)
    weight, bias = jax.tree.leaves(model.decoder_arrays)  # type: ignore[attr-defined]
    radius = np.sqrt(6 / 8)
    drawn = np.random.RandomState(1).uniform(-radius, radius, (5, 3)).astype(np.float32)
    np.testing.assert_array_equal(weight, drawn)
    np.testing.assert_allclose(model.reconstruct(x), drawn @ np.asarray(encoder(x)) + np.asarray(bias), rtol=1e-6)


def test_a_wrapped_decoder_gives_logits():
    decoder = eqx.nn.Linear(3, 5, key=jax.random.key(0))
    model, x = wrap(doubling(), decoder, loss="cross_entropy"), jnp.linspace(-1, 1, 5)
    logits = decoder(model.encode(x))
    np.testing.assert_array_equal(model.decode_linear(model.encode(x)), logits)
    np.testing.assert_allclose(model.reconstruct(x), sigmoid(np.asarray(logits)), rtol=1e-6)


def test_the_dtype_is_that_of_the_callables(x64):
    assert wrap(doubling()).dtype == np.float32
    assert wrap(eqx.tree_at(lambda e: e.weight, doubling(), np.ones((3, 5)))).dtype == np.float64
    assert wrap(lambda x: x[:2]).dtype == np.float32
    assert wrap(lambda x: x[:2], dtype=np.float64).dtype == np.float64


def test_models_of_the_same_code_share_what_is_compiled():
    seen = []

    @jax.jit
    def code(model, x):
        seen.append(model)
        return model.encode(x)

    for scale in (1, 2):
        model = wrap(eqx.tree_at(lambda e: e.weight, doubling(), scale * np.ones((3, 5), np.float32)))
        np.testing.assert_allclose(code(model, jnp.ones(5)), np.tanh(10.0 * scale) * np.ones(3), rtol=1e-6)
    assert len(seen) == 1


def batch_normalized() -> eqx.nn.Sequential:
    layers = [
        eqx.nn.Linear(5, 4, key=jax.random.key(0)),
        eqx.nn.BatchNorm(4, axis_name="batch", mode="batch"),
        eqx.nn.Linear(4, 3, key=jax.random.key(1)),
    ]
    return eqx.nn.Sequential(layers)


def first_two(x: Any) -> Any:
    return x[:2]


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ((3,), TypeError, "`encoder` must be an Equinox module or a function of one example; got 3."),
        ((None,), TypeError, "`encoder` must be an Equinox module or a function of one example; got None."),
        ((first_two, "x"), TypeError, "`decoder` must be an Equinox module or a function of one example; got 'x'."),
        (
            (lambda x: jnp.ones((2, 9)) @ x,),
            ValueError,
            "`encoder` must take one example x of shape (5,), in jax.numpy; it failed with TypeError: ",
        ),
        (
            (lambda x: np.sin(np.asarray(x)),),
            ValueError,
            "`encoder` must take one example x of shape (5,), in jax.numpy; it failed with TracerArrayConversionError",
        ),
        (
            (lambda x: 1 / 0,),
            ValueError,
            "`encoder` must take one example x of shape (5,), in jax.numpy; it failed with ZeroDivisionError: division",
        ),
        (
            (lambda x: x - jax.lax.pmean(x, "batch"),),
            ValueError,
            "`encoder` must take one example x of shape (5,), in jax.numpy; it failed with NameError: ",
        ),
        ((lambda x: (x, x),), TypeError, "`encoder` must return a JAX array; got tuple."),
        ((lambda x: 1.0,), TypeError, "`encoder` must return a JAX array; got float."),
        ((lambda x: x > 0,), TypeError, "`encoder` must return floats; got bool."),
        (
            (lambda x: jnp.outer(x, x),),
            ValueError,
            "`encoder` must return a 1-d array for one example x of shape (5,); got shape (5, 5). "
            "Flatten what it returns.",
        ),
        ((jnp.sum,), ValueError, "`encoder` must return a 1-d array for one example x of shape (5,); got shape ()."),
        (
            (lambda x: x[:0],),
            ValueError,
            "`encoder` must return a 1-d array for one example x of shape (5,); got shape",
        ),
        (
            (first_two, lambda h: jnp.tile(h, 3)),
            ValueError,
            "`decoder` must give back the input's shape, (5,); got (6,).",
        ),
        (
            (first_two, lambda h: h[:, None] * jnp.ones(5)),
            ValueError,
            "`decoder` must return a 1-d array for one example h of shape (2,); got shape (2, 5).",
        ),
        (
            (first_two, lambda h: jnp.ones((5, 3)) @ h),
            ValueError,
            "`decoder` must take one example h of shape (2,), in jax.numpy; it failed with TypeError: ",
        ),
    ],
)
def test_callables_that_cannot_be_wrapped_are_refused_in_one_line(functions, error, message, unchecked):
    with pytest.raises(error) as caught:
        wrap(*functions)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("as_decoder", [False, True])
def test_batch_normalization_is_refused(as_decoder, unchecked):
    functions = (first_two, batch_normalized()) if as_decoder else (batch_normalized(),)
    name = "decoder" if as_decoder else "encoder"
    with pytest.raises(
        TypeError, match=f"^`{name}` must treat each example alone; got Sequential with a state.*LayerNorm"
    ):
        wrap(*functions)


def test_an_unknown_loss_is_refused():
    with pytest.raises(KeyError, match="mystery"):
        wrap(first_two, loss="mystery")
