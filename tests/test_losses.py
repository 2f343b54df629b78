"""The reconstruction errors against their textbook forms, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.losses import LOSSES, cross_entropy_on_logits, squared_error
from routes import finite_differences, sigmoid


@pytest.fixture
def pair():
    rng = np.random.RandomState(0)
    return rng.uniform(size=7), 3 * rng.normal(size=7)


def test_cross_entropy_equals_its_textbook_form(pair, x64):
    x, z = pair
    r = sigmoid(z)
    expected = -np.sum(x * np.log(r) + (1 - x) * np.log(1 - r))
    np.testing.assert_allclose(cross_entropy_on_logits(jnp.asarray(x), jnp.asarray(z)), expected, rtol=1e-13)


def test_squared_error_is_a_sum_and_not_halved(pair, x64):
    x, r = pair
    np.testing.assert_allclose(squared_error(jnp.asarray(x), jnp.asarray(r)), sum((x - r) ** 2), rtol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("argument", [0, 1])
def test_gradient_equals_finite_differences(name, argument, pair, x64):
    error = LOSSES[name].error
    arguments = [jnp.asarray(value) for value in pair]

    def moved(value):
        return error(*(jnp.asarray(value) if i == argument else other for i, other in enumerate(arguments)))

    np.testing.assert_allclose(
        jax.grad(error, argnums=argument)(*arguments), finite_differences(moved, pair[argument]), rtol=1e-7, atol=1e-8
    )


def test_cross_entropy_gradient_is_reconstruction_minus_input(pair, x64):
    x, z = map(jnp.asarray, pair)
    np.testing.assert_allclose(jax.grad(cross_entropy_on_logits, argnums=1)(x, z), sigmoid(pair[1]) - x, rtol=1e-13)


def test_cross_entropy_second_derivative_is_the_bernoulli_variance(pair, x64):
    x, z = map(jnp.asarray, pair)
    r = sigmoid(pair[1])
    curvature = jnp.diag(jax.hessian(cross_entropy_on_logits, argnums=1)(x, z))
    np.testing.assert_allclose(curvature, r * (1 - r), rtol=1e-12)


@pytest.mark.parametrize("z", [-1e4, -200.0, 200.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
def test_cross_entropy_is_finite_and_right_for_extreme_logits(x, z):
    arguments = jnp.asarray([x]), jnp.asarray([z])
    expected = max(z, 0) - x * z  # log(1 + exp(-|z|)) vanishes
    assert float(cross_entropy_on_logits(*arguments)) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(jax.grad(cross_entropy_on_logits, argnums=1)(*arguments)).all()


@pytest.mark.parametrize(("name", "output"), [("cross_entropy", sigmoid), ("squared_error", lambda z: z)])
def test_output_nonlinearity(name, output, pair, x64):
    z, nonlinearity = pair[1], LOSSES[name].output
    np.testing.assert_allclose(nonlinearity.function(jnp.asarray(z)), output(z), rtol=1e-14)
    slope = [finite_differences(lambda z: nonlinearity.function(jnp.asarray(z)).item(), entry) for entry in z]
    np.testing.assert_allclose(nonlinearity.derivative(jnp.asarray(z)), slope, rtol=1e-7, atol=1e-9)


def test_only_the_cross_entropy_needs_the_unit_interval():
    assert {name: loss.unit_interval for name, loss in LOSSES.items()} == {
        "squared_error": False,
        "cross_entropy": True,
    }


def test_a_loss_cannot_be_changed():
    with pytest.raises(AttributeError, match="name"):
        LOSSES["squared_error"].name = "other"  # type: ignore[misc]
