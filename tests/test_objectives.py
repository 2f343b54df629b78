"""The objective against a plain sum over rows, and its gradient against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS
from contractive.losses import LOSSES
from contractive.objectives import Objective
from contractive.penalties import Contraction, WeightDecay
from routes import finite_differences, random_model

TERMS = Objective((Contraction(0.3), WeightDecay(0.02)))


def rows_of(rng, n=4):
    return jnp.asarray(rng.uniform(size=(n, 5)))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cost_is_the_weighted_mean_of_its_terms(activation, loss, tied, x64):
    rng = np.random.RandomState(6)
    model, x = random_model(rng, tied=tied, activation=activation, loss=loss), rows_of(rng)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    cost, parts = TERMS(model, x, jnp.asarray(weights))
    errors = [float(model.reconstruction_loss.error(row, model.decode_linear(model.encode(row)))) for row in x]
    norms = [float(np.linalg.norm(jax.jacfwd(model.encode)(row))) for row in x]
    decay = 0.02 * sum(float(jnp.sum(w**2)) for w in (model.weight, model.decoder_weight) if w is not None)
    np.testing.assert_allclose(parts.reconstruction_error, weights @ errors, rtol=1e-12)
    np.testing.assert_allclose(parts.jacobian_norm, weights @ norms, rtol=1e-12)
    np.testing.assert_allclose(cost, weights @ (np.array(errors) + 0.3 * np.square(norms)) + decay, rtol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_equals_finite_differences_in_every_parameter(activation, loss, tied, x64):
    rng = np.random.RandomState(7)
    model, x = random_model(rng, tied=tied, activation=activation, loss=loss), rows_of(rng)
    leaves, structure = jax.tree.flatten(model)

    def cost(model):
        return TERMS(model, x, jnp.full(4, 0.25))[0]

    for index, gradient in enumerate(jax.tree.leaves(jax.grad(cost)(model))):

        def moved(leaf, index=index):
            changed = [jnp.asarray(leaf) if i == index else other for i, other in enumerate(leaves)]
            return cost(jax.tree.unflatten(structure, changed))

        np.testing.assert_allclose(gradient, finite_differences(moved, leaves[index]), rtol=2e-6, atol=2e-7)


def test_rows_of_weight_zero_do_not_count(x64):
    rng = np.random.RandomState(8)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    some = jax.value_and_grad(TERMS, has_aux=True)(model, x, jnp.array([0.5, 0.5, 0.0, 0.0]))
    two = jax.value_and_grad(TERMS, has_aux=True)(model, x[:2], jnp.full(2, 0.5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), some, two)


def test_mean_does_not_depend_on_the_size_of_the_minibatch(x64):
    rng = np.random.RandomState(9)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    once = TERMS(model, x, jnp.full(4, 1 / 4))
    twice = TERMS(model, jnp.concatenate([x, x]), jnp.full(8, 1 / 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), once, twice)


def test_without_penalties_the_cost_is_the_reconstruction_error(x64):
    rng = np.random.RandomState(10)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    cost, parts = Objective()(model, x, jnp.full(4, 0.25))
    assert cost == parts.reconstruction_error
    assert parts.jacobian_norm > 0
