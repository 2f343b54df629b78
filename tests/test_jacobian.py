"""Jacobians, their norms and the plans for them against automatic differentiation, finite differences and NumPy."""

import time
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from contractive.activations import ACTIVATIONS
from contractive.batched import floats_held
from contractive.jacobian import (
    Plan,
    cheapest_plan,
    count_flops,
    encoder_differential,
    floats_for_frobenius_sq,
    hutchinson_frobenius_sq,
    jacobian,
    jacobian_frobenius_sq,
    largest_singular_value,
    matrix,
    reconstruction_differential,
)
from contractive.jacobian._chain import factor, factor_frobenius_sq, floats_of_plan, multiply, prepare, quadratic_form
from contractive.models import AutoEncoder
from registry import MODELS
from routes import finite_differences, jit_for_once, random_model, value_and_gradient


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


@pytest.mark.parametrize("name", ["deep tied", "deep overcomplete", "stack of a callable", "convolution"])
def test_both_derivatives_equal_forward_mode_as_matrices_and_as_maps(name, x64):
    model, rng = MODELS[name](), np.random.RandomState(0)
    x = jnp.asarray(rng.uniform(size=model.n_features))

    @jit_for_once
    def by_us_and_by_autodiff(model, x, v, u, w):
        forward = model.forward(x)
        code, reconstruction = encoder_differential(model, forward), reconstruction_differential(model, forward)
        ours = matrix(code), matrix(reconstruction), code.push(v), code.pull(u), reconstruction.push(v)
        of_code, of_reconstruction = jax.jacfwd(model.encode)(x), jax.jacfwd(model.reconstruct)(x)
        expected = of_code, of_reconstruction, of_code @ v, u @ of_code, of_reconstruction @ v
        return (*ours, reconstruction.pull(w), jacobian(model, x)), (*expected, w @ of_reconstruction, of_code)

    v, u, w = (jnp.asarray(rng.normal(size=n)) for n in (model.n_features, model.n_hidden, model.n_features))
    for ours, expected in zip(*by_us_and_by_autodiff(model, x, v, u, w), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-13)


sizes_of_chains = st.lists(st.integers(1, 7), min_size=2, max_size=5).map(tuple)


@settings(max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(sizes=sizes_of_chains, linear_top=st.booleans(), seed=st.integers(0, 2**16))
def test_all_plans_agree_on_value_distance_and_gradient(sizes, linear_top, seed):
    with jax.enable_x64(True):
        rng = np.random.RandomState(seed)
        weights = [rng.normal(size=(above, below)) for below, above in pairwise(sizes)]
        one, other = ([rng.normal(size=len(weight)) for weight in weights] for _ in range(2))
        if linear_top:
            one[-1] = other[-1] = np.ones(sizes[-1])
        plans = [Plan.GRAM, Plan.DOWN, Plan.UP] if len(weights) > 1 else [Plan.LAYER]
        plans += [Plan.TWO_GRAMS] if linear_top and len(weights) == 2 else []

        def distance(plan: Plan, weights: Any, one: Any, other: Any) -> Any:
            prepared = prepare(plan, weights)
            values = [factor(plan, weights, slopes) for slopes in (one, other)]
            square = factor_frobenius_sq(plan, values[0], weights, prepared)
            return square, factor_frobenius_sq(plan, values[0] - values[1], weights, prepared)

        def by_product(weights: Any, one: Any, other: Any) -> Any:
            return jnp.sum(product(weights, one) ** 2), jnp.sum((product(weights, one) - product(weights, other)) ** 2)

        @jit_for_once
        def all_ways(weights: Any, one: Any, other: Any) -> Any:
            ways = [by_product, *(partial(distance, plan) for plan in plans)]
            # The slopes of a linear layer are no variables.
            moving = 1 if linear_top else 2
            gradients = [jax.jacrev(way, argnums=tuple(range(moving)))(weights, one, other) for way in ways]
            return [way(weights, one, other) for way in ways], gradients, multiply(weights, one)

        arrays = [[jnp.asarray(array) for array in group] for group in (weights, one, other)]
        values, gradients, whole = all_ways(*arrays)
        np.testing.assert_allclose(whole, product(weights, one), rtol=1e-11, atol=1e-11)
        for value, gradient in zip(values, gradients, strict=True):
            np.testing.assert_allclose(value, values[0], rtol=1e-10, atol=1e-10)
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), gradient, gradients[0])


def product(weights: Any, slopes: Any) -> Any:
    """diag(s_L) W_L ... diag(s_1) W_1, from the right."""
    layers = [slope[:, None] * weight for weight, slope in zip(weights, slopes, strict=True)]
    return reduce(lambda below, layer: layer @ below, layers)


@settings(max_examples=200, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(
    sizes=st.lists(st.integers(1, 4000), min_size=2, max_size=6).map(tuple),
    linear_top=st.booleans(),
    batch=st.integers(1, 1000),
)
def test_the_cheapest_plan_has_the_least_operations(sizes, linear_top, batch):
    plan = cheapest_plan(sizes, linear_top=linear_top, batch=batch)
    if len(sizes) == 2:
        assert plan == Plan.LAYER
    else:
        possible = {Plan.GRAM, Plan.DOWN, Plan.UP} | ({Plan.TWO_GRAMS} if len(sizes) == 3 and linear_top else set())
        assert plan in possible
        assert count_flops(plan, sizes, batch) == min(count_flops(other, sizes, batch) for other in possible)


@pytest.mark.parametrize(
    ("sizes", "linear_top", "plan"),
    [
        ((784, 1000, 500, 100), False, Plan.GRAM),
        ((3072, 1000, 500, 100), False, Plan.GRAM),
        ((100, 300, 400, 600), False, Plan.UP),
        ((10, 20, 30, 40), False, Plan.UP),
        ((784, 1000, 10), False, Plan.DOWN),
        ((784, 500, 784), True, Plan.TWO_GRAMS),
        ((784, 500), True, Plan.LAYER),
    ],
)
def test_plans_for_known_shapes(sizes, linear_top, plan):
    assert cheapest_plan(sizes, linear_top=linear_top, batch=100) == plan


@pytest.mark.parametrize("plan", [Plan.GRAM, Plan.DOWN, Plan.UP, Plan.TWO_GRAMS])
def test_operations_are_counted_as_the_compiler_counts_them(plan):
    sizes, batch = (90, 300, 40) if plan == Plan.TWO_GRAMS else (90, 300, 80, 40), 20

    def cost(weights: Any, slopes: Any) -> Any:
        prepared = prepare(plan, weights)
        return jnp.sum(
            jax.vmap(lambda own: factor_frobenius_sq(plan, factor(plan, weights, own), weights, prepared))(slopes)
        )

    weights = [jax.ShapeDtypeStruct((above, below), jnp.float32) for below, above in pairwise(sizes)]
    slopes = [jax.ShapeDtypeStruct((batch, units), jnp.float32) for units in sizes[1:]]
    compiled = jit_for_once(jax.value_and_grad(cost, argnums=(0, 1))).lower(weights, slopes).compile()
    counted = compiled.cost_analysis()["flops"] / batch  # type: ignore[index]
    np.testing.assert_allclose(count_flops(plan, sizes, batch), counted, rtol=0.05)


@pytest.mark.parametrize(
    ("sizes", "floats"),
    [
        ((7, 5, 4, 3), {Plan.UP: 252, Plan.DOWN: 123, Plan.GRAM: 111}),
        ((7, 5, 3), {Plan.UP: 168, Plan.DOWN: 87, Plan.GRAM: 75, Plan.TWO_GRAMS: 0}),
        ((7, 5), {Plan.LAYER: 0}),
    ],
)
def test_floats_held_are_those_of_the_products_their_copies_and_their_gradients(sizes, floats):
    # UP: 3 x 7 x (5 + 4 + 3); from above: 3 x 3 x (5 + 4), and A W_1 or A G with its gradient, 2 x 3 x 7 or 2 x 3 x 5.
    assert {plan: floats_of_plan(plan, sizes) for plan in floats} == floats


def flops_of_products(function: Any, *arguments: Any) -> int:
    """Operations of the matrix products of a traced function."""

    def of(jaxpr: Any) -> int:
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                left = equation.invars[0].aval.shape
                total += 2 * equation.outvars[0].aval.size * int(np.prod([left[axis] for axis in contracted]))
            total += sum(of(inner) for inner in jaxprs_in_params(equation.params))
        return total

    return of(jax.make_jaxpr(function)(*arguments).jaxpr)


@pytest.mark.parametrize(
    "sizes", [(9, 2), (9, 5, 2), (2, 5, 9), (9, 4, 7, 2), (2, 7, 4, 9), (3, 8, 2, 8, 5), (5, 2, 8, 8, 3), (4, 4, 4, 4)]
)
def test_jacobian_is_multiplied_from_the_cheaper_end(sizes):
    weights = [np.ones((above, below), np.float32) for below, above in pairwise(sizes)]
    slopes = [np.ones(units, np.float32) for units in sizes[1:]]
    up = sum(2 * sizes[0] * below * above for below, above in pairwise(sizes[1:]))
    down = sum(2 * sizes[-1] * above * below for below, above in pairwise(sizes[:-1]))
    assert flops_of_products(multiply, weights, slopes) == min(up, down)


@pytest.mark.parametrize(("units", "share"), [(255, 1), (256, 10 / 16), (512, 10 / 16)])
def test_gradient_of_the_quadratic_form_costs_five_eighths_of_a_product_for_many_units(units, share):
    A, G = jnp.ones((3, units)), jnp.ones((units, units))
    counted = flops_of_products(lambda *moved: jax.jvp(quadratic_form, (A, G), moved), A, G)
    assert counted == 2 * 3 * units**2 * (1 + share) + 2 * 3 * units  # the last is <A, A G>


def test_the_quadratic_form_of_a_lone_row_costs_about_a_product():
    A, weight = jnp.ones((1, 1000, 1000)), jnp.ones((1000, 800))

    def seconds(function: Any) -> float:
        compiled = jax.jit(lambda A, weight: jax.vmap(function, (0, None))(A, weight @ weight.T))
        compiled(A, weight).block_until_ready()
        times = []
        for _ in range(5):
            start = time.process_time()
            compiled(A, weight).block_until_ready()
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(quadratic_form) < 5 * seconds(lambda A, G: A @ G)


@pytest.mark.parametrize("units", [7, pytest.param(256, marks=pytest.mark.slow), 301])
def test_gradient_of_the_quadratic_form_equals_the_dense_formula(units, x64):
    rng = np.random.RandomState(units)
    A, weight, change = rng.normal(size=(3, units)), rng.normal(size=(units, 4)), rng.normal(size=(units, units))
    gram, change = weight @ weight.T, change + change.T
    np.testing.assert_allclose(quadratic_form(jnp.asarray(A), jnp.asarray(gram)), np.trace(A @ gram @ A.T), rtol=1e-12)

    def through_gram(A: Any, weight: Any) -> Any:
        return quadratic_form(A, weight @ weight.T)

    of_A, of_weight = jax.grad(through_gram, argnums=(0, 1))(jnp.asarray(A), jnp.asarray(weight))
    np.testing.assert_allclose(of_A, 2 * A @ gram, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(of_weight, 2 * A.T @ A @ weight, rtol=1e-10, atol=1e-9)
    of_gram = jax.grad(quadratic_form, argnums=1)(jnp.asarray(A), jnp.asarray(gram))
    np.testing.assert_allclose(np.vdot(of_gram, change), np.vdot(A.T @ A, change), rtol=1e-10)
    _, slope = jax.jvp(quadratic_form, (jnp.asarray(A), jnp.asarray(gram)), (jnp.asarray(A), jnp.asarray(change)))
    np.testing.assert_allclose(slope, 2 * np.trace(A @ gram @ A.T) + np.trace(A @ change @ A.T), rtol=1e-10)


DRAWS = 4000


@pytest.mark.parametrize(
    ("name", "n_probes"), [pytest.param("deep tied", 1, marks=pytest.mark.slow), ("deep overcomplete", 2)]
)
def test_random_probes_are_unbiased_in_value_and_gradient_and_vary_as_documented(name, n_probes, x64):
    model = MODELS[name]()
    x = jnp.asarray(np.random.RandomState(0).uniform(size=model.n_features))

    def estimate(model: Any, key: Any) -> Any:
        differential = encoder_differential(model, model.forward(x))
        return hutchinson_frobenius_sq(differential, n_probes=n_probes, key=key), None

    def exact(model: Any) -> Any:
        return jnp.sum(jax.jacrev(model.encode)(x) ** 2), None

    @jit_for_once
    def draws_and_truth(keys: Any) -> Any:
        return jax.vmap(lambda key: value_and_gradient(estimate, model, key))(keys), value_and_gradient(exact, model)

    ((values, _), gradients), ((truth, _), gradient) = draws_and_truth(jax.random.split(jax.random.key(5), DRAWS))
    for drawn, expected in zip(jax.tree.leaves((values, gradients)), jax.tree.leaves((truth, gradient)), strict=True):
        error = np.abs(np.mean(drawn, axis=0) - expected)
        np.testing.assert_array_less(error, 4 * np.std(drawn, axis=0) / np.sqrt(DRAWS) + 1e-12)
    J = np.asarray(jax.jacrev(model.encode)(x))
    M = J @ J.T if len(J) <= J.shape[1] else J.T @ J
    variance = 2 * (np.sum(M**2) - np.sum(np.diag(M) ** 2)) / n_probes
    np.testing.assert_allclose(np.var(np.asarray(values)), variance, rtol=0.1)


def with_singular_values(*values: float) -> AutoEncoder:
    """A linear model whose encoder has these singular values and random singular vectors."""
    rng = np.random.RandomState(0)
    left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in (4, 6))
    weight = left @ np.diag(values) @ right[:4]
    return AutoEncoder(jnp.asarray(weight), jnp.zeros(4), jnp.zeros(6), activation="linear")


@pytest.mark.parametrize("n_iterations", [1, 3, 6])
def test_power_iteration_is_too_small_by_what_is_documented(n_iterations, x64):
    ratio = 0.9
    model = with_singular_values(2.0, 2.0 * ratio, 0.1, 0.1)
    differential = encoder_differential(model, model.forward(jnp.zeros(6)))
    value = float(largest_singular_value(differential, n_iterations=n_iterations))
    assert 2.0 * (1 - ratio ** (4 * n_iterations)) <= value <= 2.0


def test_the_largest_singular_value_of_nothing_is_zero_with_gradient_zero(x64):
    model = with_singular_values(0.0, 0.0, 0.0, 0.0)

    def value(model: AutoEncoder) -> Any:
        return largest_singular_value(encoder_differential(model, model.forward(jnp.ones(6))), n_iterations=5)

    assert value(model) == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(jax.grad(value)(model)))


@pytest.mark.parametrize("name", ["convolution", "stack of a callable"])
def test_automatic_differentiation_holds_three_times_the_function_for_each_entry_of_the_smaller_side(name):
    model = MODELS[name]()
    smaller = min(model.n_hidden, model.n_features)
    assert floats_for_frobenius_sq(model, 10) == 3 * smaller * floats_held(type(model).encode, model)
    found = floats_for_frobenius_sq(model, 10, reconstruction=True)
    assert found == 3 * model.n_features * floats_held(type(model).reconstruct, model)


def test_a_chain_of_layers_holds_what_its_plan_holds():
    model = MODELS["deep tied"]()
    sizes = (model.n_features, *(len(layer.weight) for layer in model.encoder_layers or ()))
    plan = cheapest_plan(sizes, linear_top=False, batch=10)
    assert floats_for_frobenius_sq(model, 10) == floats_of_plan(plan, sizes)
