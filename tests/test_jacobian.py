"""The closed forms against automatic differentiation and finite differences, value and gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS
from contractive.jacobian import jacobian, jacobian_frobenius_sq
from contractive.models import AutoEncoder, initialize
from routes import finite_differences, random_model


@pytest.fixture
def case(request, x64):
    rng = np.random.RandomState(2)  # for ReLU: two units on, one off
    return random_model(rng, tied=True, activation=request.param, loss="squared_error"), jnp.asarray(rng.normal(size=5))


each_activation = pytest.mark.parametrize("case", ACTIVATIONS, indirect=True)


@each_activation
def test_jacobian_equals_forward_mode(case):
    model, x = case
    np.testing.assert_allclose(jacobian(model, x), jax.jacfwd(model.encode)(x), rtol=1e-12, atol=1e-15)


@each_activation
def test_jacobian_equals_finite_differences(case):
    model, x = case
    rows = [finite_differences(lambda x, i=i: model.encode(jnp.asarray(x))[i], x) for i in range(3)]
    np.testing.assert_allclose(jacobian(model, x), rows, rtol=1e-6, atol=1e-8)


@each_activation
def test_squared_norm_equals_the_sum_over_the_automatic_jacobian(case):
    model, x = case
    expected = jnp.sum(jax.jacrev(model.encode)(x) ** 2)
    np.testing.assert_allclose(jacobian_frobenius_sq(model, x), expected, rtol=1e-12)


@each_activation
@pytest.mark.parametrize("field", ["weight", "hidden_bias"])
def test_gradient_of_the_squared_norm_equals_two_other_routes(case, field):
    model, x = case

    def at(value, norm_sq):
        return norm_sq(eqx.tree_at(lambda model: getattr(model, field), model, jnp.asarray(value)), x)

    def by_autodiff(model, x):
        return jnp.sum(jax.jacfwd(model.encode)(x) ** 2)

    value = getattr(model, field)
    gradient = jax.grad(at)(value, jacobian_frobenius_sq)
    np.testing.assert_allclose(gradient, jax.grad(at)(value, by_autodiff), rtol=1e-11, atol=1e-14)
    moved = finite_differences(lambda value: at(value, jacobian_frobenius_sq), value)
    np.testing.assert_allclose(gradient, moved, rtol=1e-6, atol=1e-7)
    if field == "weight":
        assert jnp.abs(gradient).max() > 0.01


def test_twenty_equal_units_count_twenty_times():
    one = initialize(6, 1, rng=np.random.RandomState(0))
    twenty = AutoEncoder(jnp.tile(one.weight, (20, 1)), jnp.zeros(20), jnp.zeros(6))
    x = jnp.linspace(0, 1, 6)
    np.testing.assert_allclose(jacobian_frobenius_sq(twenty, x), 20 * jacobian_frobenius_sq(one, x), rtol=1e-6)


def test_units_with_their_negatives_do_not_cancel():
    one = initialize(6, 3, rng=np.random.RandomState(0))
    both = AutoEncoder(jnp.concatenate([one.weight, -one.weight]), jnp.zeros(6), jnp.zeros(6))
    x = jnp.linspace(0, 1, 6)
    np.testing.assert_allclose(jacobian_frobenius_sq(both, x), 2 * jacobian_frobenius_sq(one, x), rtol=1e-6)
