"""The closed-form derivatives against automatic differentiation and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.activations import ACTIVATIONS, resolve_activation
from routes import finite_differences

POINTS = np.array([-30.0, -4.0, -1.3, -0.2, 0.4, 1.0, 2.5, 30.0])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_equals_automatic_differentiation(name, x64):
    activation = ACTIVATIONS[name]
    points = jnp.asarray([*POINTS, 0.0])
    by_autodiff = jax.vmap(jax.grad(activation.function))(points)
    np.testing.assert_allclose(activation.derivative(points), by_autodiff, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_equals_finite_differences(name, x64):
    activation = ACTIVATIONS[name]
    for point in POINTS:
        slope = finite_differences(lambda a: activation.function(jnp.asarray(a)).item(), point)
        np.testing.assert_allclose(activation.derivative(jnp.asarray(point)), slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_slope_is_steeper_than_the_steepest(name, x64):
    slopes = np.abs(np.asarray(ACTIVATIONS[name].derivative(jnp.linspace(-40, 40, 400_001))))
    assert slopes.max() <= ACTIVATIONS[name].steepest * (1 + 1e-14)
    np.testing.assert_allclose(slopes.max(), ACTIVATIONS[name].steepest, rtol=1e-8)


def test_a_users_own_function_is_differentiated(x64):
    own = resolve_activation(jnp.arctan)
    points = jnp.asarray(POINTS)
    assert own.name == "arctan"
    assert own.steepest == np.inf
    np.testing.assert_array_equal(own.function(points), jnp.arctan(points))
    np.testing.assert_allclose(own.derivative(points), 1 / (1 + POINTS**2), rtol=1e-13)
    np.testing.assert_allclose(resolve_activation(lambda a: a**3).derivative(points), 3 * POINTS**2, rtol=1e-13)


def test_names_are_looked_up():
    assert all(resolve_activation(name) is activation for name, activation in ACTIVATIONS.items())
    with pytest.raises(KeyError, match="mystery"):
        resolve_activation("mystery")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigmoid", 0.7310585786300049),
        ("tanh", 0.7615941559557649),
        ("relu", 1.0),
        ("softplus", 1.3132616875182228),
        ("gelu", 0.8413447460685429),
        ("linear", 1.0),
    ],
)
def test_value_at_one(name, value, x64):
    np.testing.assert_allclose(ACTIVATIONS[name].function(jnp.asarray(1.0)), value, rtol=1e-14)


def test_each_is_filed_under_its_name():
    assert all(name == activation.name for name, activation in ACTIVATIONS.items())
