"""The penalties: values, gradients, coefficients, and that none of them is without effect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS
from contractive.penalties import Contraction, Penalty, WeightDecay
from routes import finite_differences, random_model

PENALTIES = [Contraction, WeightDecay]


def test_every_penalty_is_here():
    ours = {penalty for penalty in Penalty.__subclasses__() if penalty.__module__ == Penalty.__module__}
    assert set(PENALTIES) == ours


@pytest.fixture
def model_and_x(x64):
    rng = np.random.RandomState(4)
    return random_model(rng, tied=False, activation="sigmoid", loss="squared_error"), jnp.asarray(rng.normal(size=5))


def test_contraction_is_lambda_times_the_squared_norm(model_and_x):
    model, x = model_and_x
    expected = 0.3 * np.sum(np.asarray(jax.jacfwd(model.encode)(x)) ** 2)
    np.testing.assert_allclose(Contraction(0.3)(model, model.forward(x)), expected, rtol=1e-12)


def test_weight_decay_counts_both_weights_and_no_bias(model_and_x):
    model, x = model_and_x
    expected = 0.3 * (np.sum(np.asarray(model.weight) ** 2) + np.sum(np.asarray(model.decoder_weight) ** 2))
    np.testing.assert_allclose(WeightDecay(0.3)(model, model.forward(x)), expected, rtol=1e-13)


def test_weight_decay_counts_a_tied_weight_once(x64):
    model = random_model(np.random.RandomState(4), tied=True, activation="sigmoid", loss="squared_error")
    np.testing.assert_allclose(
        WeightDecay(1.0)(model, model.forward(jnp.ones(5))), np.sum(np.asarray(model.weight) ** 2)
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_equals_finite_differences_in_every_parameter(penalty, activation, tied, x64):
    rng = np.random.RandomState(5)
    model, x = (
        random_model(rng, tied=tied, activation=activation, loss="squared_error"),
        jnp.asarray(rng.normal(size=5)),
    )
    leaves, structure = jax.tree.flatten(model)

    def value(model):
        return penalty(0.7)(model, model.forward(x))

    for index, gradient in enumerate(jax.tree.leaves(jax.grad(value)(model))):

        def moved(leaf, index=index):
            changed = [jnp.asarray(leaf) if i == index else other for i, other in enumerate(leaves)]
            return value(jax.tree.unflatten(structure, changed))

        np.testing.assert_allclose(gradient, finite_differences(moved, leaves[index]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradient_in_the_weight_is_not_zero(penalty, model_and_x):
    model, x = model_and_x
    gradient = jax.grad(lambda model: penalty(0.1)(model, model.forward(x)))(model)
    assert jnp.abs(gradient.weight).min() > 0


@pytest.mark.parametrize("penalty", PENALTIES)
def test_value_is_proportional_to_the_coefficient(penalty, model_and_x):
    model, x = model_and_x
    np.testing.assert_allclose(
        penalty(6.0)(model, model.forward(x)), 6 * penalty(1.0)(model, model.forward(x)), rtol=1e-14
    )
