"""Cases on which contractive auto-encoders that other people wrote are wrong, each by its name."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.jacobian import jacobian_frobenius_sq
from contractive.models import AutoEncoder, Model, initialize
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.training import resolve_optimizer, train
from registry import MODELS
from routes import Directions, facts, jacobians, jit_for_once, one_layer, random_model, value_and_gradient

X = np.random.RandomState(0).uniform(size=(4, 6))


def norms_sq(model: Model, x: Any = X) -> np.ndarray:
    return np.asarray(jit_for_once(jax.vmap(lambda row: jacobian_frobenius_sq(model, row)))(jnp.asarray(x)))


def assert_penalty_is_the_jacobians(model: Model, x: Any = X, rtol: float = 1e-12) -> None:
    """The contraction at some rows equals the sum over the automatic Jacobian, and each sum is far from zero."""
    expected = np.sum(jacobians(model, x) ** 2, axis=(1, 2))
    np.testing.assert_allclose(norms_sq(model, x), expected, rtol=rtol)
    assert (expected > 1e-3).all()


def test_twenty_equal_units_count_twenty_times():
    one = one_layer(6, 1, rng=np.random.RandomState(0))
    twenty = AutoEncoder(jnp.tile(one.weight, (20, 1)), jnp.zeros(20), jnp.zeros(6))
    x = jnp.linspace(0, 1, 6)
    np.testing.assert_allclose(jacobian_frobenius_sq(twenty, x), 20 * jacobian_frobenius_sq(one, x), rtol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_units_with_their_negatives_do_not_cancel(activation):
    one = one_layer(6, 3, rng=np.random.RandomState(0), activation=activation)
    both = AutoEncoder(jnp.concatenate([one.weight, -one.weight]), jnp.zeros(6), jnp.zeros(6), activation=activation)
    x = jnp.linspace(0, 1, 6)
    np.testing.assert_allclose(jacobian_frobenius_sq(both, x), 2 * jacobian_frobenius_sq(one, x), rtol=1e-6)
    codes = np.asarray(both.encode(x))
    if activation == "tanh":  # the case in which a derivative of the sum of the units is zero
        np.testing.assert_allclose(codes.sum(), 0, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_the_slope_is_the_activations_own_and_not_the_sigmoids(activation, x64):
    model = random_model(np.random.RandomState(1), tied=True, activation=activation, loss="squared_error", sizes=(6, 5))
    assert_penalty_is_the_jacobians(model)
    slope = {"relu": lambda a: (a > 0) * 1.0, "tanh": lambda a: 1 / np.cosh(a) ** 2, "linear": np.ones_like}[activation]
    a = X @ np.asarray(model.weight).T + np.asarray(model.hidden_bias)
    by_hand = slope(a) ** 2 @ np.sum(np.asarray(model.weight) ** 2, axis=1)
    np.testing.assert_allclose(norms_sq(model), by_hand, rtol=1e-12)


def linear(a: Any) -> Any:
    """No identity, in spite of its name."""
    return jnp.tanh(a)


def test_a_function_is_not_known_by_its_name(x64):
    model = initialize(6, 6, rng=np.random.RandomState(9), hidden_layer_sizes=(3,), activation=linear, dtype=np.float64)
    assert_penalty_is_the_jacobians(model)
    model = random_model(np.random.RandomState(9), tied=True, activation=linear, loss="squared_error", sizes=(6, 3))
    assert_penalty_is_the_jacobians(model)


def test_a_convolutional_encoder_is_no_matrix_of_its_kernel(x64):
    model = MODELS["convolution"]()
    assert_penalty_is_the_jacobians(model)


@pytest.mark.parametrize("field", ["weight", "hidden_bias", "visible_bias"])
def test_the_gradient_of_the_whole_objective_of_a_tied_layer(field, x64):
    model = random_model(np.random.RandomState(2), tied=True, activation="sigmoid", loss="squared_error", sizes=(6, 3))
    directions, penalty = Directions(model, None), Contraction(0.7)
    here = facts(model, directions.moved)(X)
    costs = np.mean(np.sum((X - here.reconstruction) ** 2, axis=-1) + 0.7 * np.sum(here.jacobian**2, (-2, -1)), axis=1)
    rows = jnp.asarray(X), jnp.full(4, 0.25)
    _, gradient = jit_for_once(lambda model: value_and_gradient(Objective((penalty,)), model, *rows))(model)
    place = ["weight", "hidden_bias", "visible_bias"].index(field)
    own = [number == place for number, _ in directions.steps]
    slopes, differences = directions.slopes(gradient)[own], directions.differences(costs)[own]
    np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-8)
    assert np.abs(slopes).min() > 1e-4
    assert len(slopes) == getattr(model, field).size


def test_the_penalty_reaches_the_weight_and_the_bias_and_not_only_the_printout(x64):
    model = random_model(np.random.RandomState(3), tied=True, activation="sigmoid", loss="squared_error", sizes=(6, 3))
    rows = jnp.asarray(X), jnp.full(4, 0.25)

    @jit_for_once
    def gradients(model: Any) -> Any:
        objectives = Objective((Contraction(0.7),)), Objective()
        return [value_and_gradient(objective, model, *rows)[1] for objective in objectives]

    with_it, without = gradients(model)
    assert np.abs(with_it.weight - without.weight).min() > 1e-5
    assert np.abs(with_it.hidden_bias - without.hidden_bias).min() > 1e-5
    np.testing.assert_allclose(with_it.visible_bias, without.visible_bias, rtol=1e-13)


@pytest.mark.parametrize("layers", [(), (5,)])
def test_the_penalty_is_right_after_many_updates_too(layers, x64):
    model = initialize(6, 3, rng=np.random.RandomState(4), hidden_layer_sizes=layers, dtype=np.float64)
    rows = np.random.RandomState(5).uniform(size=(40, 6))
    objective = Objective((Contraction(0.1),))
    trained = train(model, objective, rows, resolve_optimizer("sgd", 0.1), batch_size=10, max_epochs=50)
    moved = jax.tree.map(lambda after, before: float(np.abs(after - before).max()), trained.model, model)
    assert min(jax.tree.leaves(moved)) > 1e-3
    assert_penalty_is_the_jacobians(trained.model)
    (cost, parts), _ = jit_for_once(lambda model: value_and_gradient(objective, model, *weighted(rows)))(trained.model)
    squares = np.sum(jacobians(trained.model, rows) ** 2, axis=(1, 2))
    np.testing.assert_allclose(cost, parts.reconstruction_error + 0.1 * squares.mean(), rtol=1e-12)
    assert squares.mean() < np.mean(np.sum(jacobians(model, rows) ** 2, axis=(1, 2)))


def weighted(rows: np.ndarray) -> tuple[Any, Any]:
    return jnp.asarray(rows), jnp.full(len(rows), 1 / len(rows))


@pytest.mark.parametrize("name", ["sigmoid tied cross-entropy", "deep tied", "perceptron"])
def test_a_slice_of_a_larger_array_is_as_good_as_a_copy(name, x64):
    model, larger = MODELS[name](), np.full((9, 10), np.nan)
    larger[1:9:2, 2:8] = X
    slices = larger[1:9:2, 2:8], np.asfortranarray(larger)[1:9:2, 2:8], jnp.asarray(larger)[1:9:2, 2:8]
    for some in slices:
        np.testing.assert_array_equal(norms_sq(model, some), norms_sq(model))
    inside = jit_for_once(lambda larger: jax.vmap(lambda row: jacobian_frobenius_sq(model, row))(larger[1:9:2, 2:8]))
    np.testing.assert_allclose(inside(jnp.asarray(larger)), norms_sq(model), rtol=1e-13)


@pytest.mark.parametrize("times", [3, 7])
def test_the_penalty_is_a_sum_over_units_and_features_and_the_mean_is_over_rows_alone(times, x64):
    model = random_model(np.random.RandomState(6), tied=True, activation="sigmoid", loss="squared_error", sizes=(6, 3))
    more_units = AutoEncoder(jnp.tile(model.weight, (times, 1)), jnp.tile(model.hidden_bias, times), model.visible_bias)
    np.testing.assert_allclose(norms_sq(more_units), times * norms_sq(model), rtol=1e-12)
    silent = jnp.concatenate([model.weight, jnp.zeros((3, times))], axis=1)  # features that reach no unit
    more_features = AutoEncoder(silent, model.hidden_bias, jnp.zeros(6 + times))
    np.testing.assert_allclose(norms_sq(more_features, np.pad(X, ((0, 0), (0, times)))), norms_sq(model), rtol=1e-12)
    run = jit_for_once(Objective((Contraction(1.0),)))
    once, again = (run(model, *weighted(np.tile(X, (n, 1)))) for n in (1, times))
    np.testing.assert_allclose(once[0], again[0], rtol=1e-12)


@pytest.mark.parametrize("contraction", [1, 0.5, 1e-3, 3])
def test_no_number_is_divided_down_to_a_whole_one(contraction, x64):
    model = random_model(np.random.RandomState(7), tied=True, activation="sigmoid", loss="squared_error", sizes=(6, 3))
    rows = weighted(X[:3])  # thirds
    cost, parts = jit_for_once(Objective((Contraction(contraction),)))(model, *rows)
    by_hand = contraction * np.mean(np.sum(jacobians(model, X[:3]) ** 2, axis=(1, 2)))
    np.testing.assert_allclose(cost - parts.reconstruction_error, by_hand, rtol=1e-10)


def test_a_users_batch_of_one_row_is_no_special_case(x64):
    model = MODELS["deep tied"]()
    assert_penalty_is_the_jacobians(model, X[:1])
    single, _ = jit_for_once(Objective((Contraction(1.0),)))(model, *weighted(X[:1]))
    error = float(model.reconstruction_loss.error(jnp.asarray(X[0]), model.forward(jnp.asarray(X[0])).output))
    np.testing.assert_allclose(single - error, norms_sq(model, X[:1])[0], rtol=1e-10)


def test_the_derivative_at_rest_of_relu_is_that_of_automatic_differentiation(x64):
    model = AutoEncoder(jnp.ones((2, 6)), jnp.zeros(2), jnp.zeros(6), activation="relu")
    at_rest = jnp.zeros((1, 6))
    np.testing.assert_array_equal(norms_sq(model, at_rest), np.sum(jacobians(model, at_rest) ** 2, axis=(1, 2)))


def test_dead_units_give_zero_and_no_nan(x64):
    model = random_model(np.random.RandomState(8), tied=True, activation="relu", loss="squared_error", sizes=(6, 3))
    dead = eqx.tree_at(lambda model: model.hidden_bias, model, jnp.full(3, -100.0))
    (cost, parts), gradient = jit_for_once(
        lambda model: value_and_gradient(Objective((Contraction(1.0),)), model, *weighted(X))
    )(dead)
    assert cost == parts.reconstruction_error
    assert parts.jacobian_norm == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
