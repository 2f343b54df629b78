"""What holds for every model with every penalty, and for every corruption, of `registry.py`."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive import corruption, models, objectives, penalties
from contractive.corruption import Corruption, Masking
from contractive.models import Model
from contractive.objectives import Objective, Parts
from contractive.penalties import Contraction, Penalty
from registry import CORRUPTIONS, MODELS, PENALTIES, Evidence, keys_of_rows
from routes import Directions, facts, jit_for_once, reconstruction_errors, value_and_gradient

ROWS = 5
each_model = pytest.mark.parametrize("name", MODELS)


def concrete(base: type) -> set[type]:
    """The package's own classes below one, without the abstract ones."""
    below = {found for child in base.__subclasses__() for found in concrete(child)}
    own = base.__module__.startswith("contractive.") and not getattr(base, "__abstractmethods__", None)
    return below | ({base} if own else set())


def test_every_penalty_is_registered():
    registered = {type(case.penalty) for case in PENALTIES.values()}
    assert concrete(Penalty) | {*penalties.PENALTIES.values()} <= registered
    assert all(name == penalty.__name__ for name, penalty in penalties.PENALTIES.items())


def test_every_corruption_is_registered():
    registered = {type(change) for change in CORRUPTIONS.values()}
    assert concrete(Corruption) == {*corruption.CORRUPTIONS.values()} == registered


def test_every_model_is_registered(x64):
    registered = {type(case(name).model) for name in MODELS}
    assert concrete(Model) <= registered
    assert {getattr(models, name) for name in models.__all__ if name.endswith("AutoEncoder")} <= registered


class Case(NamedTuple):
    """A model with rows and what to compute of it: for each penalty the objective's cost, error and gradient."""

    model: Model
    x: np.ndarray
    row_weights: np.ndarray
    key: Any
    objectives: Any

    def run(self, x: Any, row_weights: Any) -> Any:
        return self.objectives(self.model, x, row_weights, self.key)


@cache
def case(name: str) -> Case:
    """Compiled once for all tests of a model; to be called where JAX computes in float64."""
    model, rng = MODELS[name](), np.random.RandomState(0)

    @jit_for_once
    def all_objectives(model: Model, x: Any, row_weights: Any, key: Any) -> Any:
        def cost(penalty: Penalty, model: Model) -> Any:
            cost, parts = Objective((penalty,))(model, x, row_weights, key)
            # Without a contraction the norm is an estimate, long to compile; `test_objectives.py` looks at it.
            return cost, parts if isinstance(penalty, Contraction) else parts.reconstruction_error

        return {name: value_and_gradient(partial(cost, case.penalty), model) for name, case in PENALTIES.items()}

    x, row_weights = rng.uniform(size=(ROWS, model.n_features)), rng.uniform(size=ROWS)
    return Case(model, x, row_weights, jax.random.key(1), all_objectives)


def assert_same(one: Any, other: Any, rtol: float = 1e-12) -> None:
    """Two trees agree, each array relative to its largest entry."""
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    for a, b in zip(leaves, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(np.abs(b).max(initial=1e-3)))


@each_model
def test_cost_and_gradient_equal_numpy_and_finite_differences(name, x64):
    model, x, row_weights, key, _ = known = case(name)
    directions = Directions(model, np.random.RandomState(1))
    at = facts(model, directions.moved)
    here, keys = at(x), keys_of_rows(key, x)
    weights = [np.asarray(leaf) for leaf in jax.tree.leaves(directions.moved) if leaf.ndim > 2]
    evidence = Evidence(x, keys, weights, here, at)
    errors = reconstruction_errors(model, x, here)
    for penalty, ((cost, extras), gradient) in known.run(x, row_weights).items():
        term = PENALTIES[penalty].penalty.coefficient * PENALTIES[penalty].term(evidence)
        costs = (errors + term) @ row_weights
        error, *_ = extras if isinstance(extras, Parts) else (extras,)
        np.testing.assert_allclose(error, errors[0] @ row_weights, rtol=1e-12, err_msg=penalty)
        np.testing.assert_allclose(cost, costs[0], rtol=1e-12, err_msg=penalty)
        slopes, differences = directions.slopes(gradient), directions.differences(costs)
        np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-7 * np.abs(costs[0]), err_msg=penalty)


@each_model
def test_rows_of_weight_zero_do_not_count(name, x64):
    model, x, row_weights, *_ = known = case(name)
    garbage = np.array(x)
    garbage[[1, 4]] = 1e3 * np.random.RandomState(2).normal(size=(2, model.n_features))
    row_weights = row_weights * [1, 0, 1, 1, 0]
    assert_same(known.run(garbage, row_weights), known.run(x, row_weights))


@each_model
def test_a_slice_of_a_larger_array_is_as_good(name, x64):
    model, x, row_weights, *_ = known = case(name)
    larger = np.full((2 * ROWS, model.n_features + 3), np.nan)
    larger[::2, 2:-1] = x
    expected = known.run(x, row_weights)
    for stored in (larger, np.asfortranarray(larger), jnp.asarray(larger)):
        assert_same(known.run(stored[::2, 2:-1], row_weights), expected, rtol=0)


@pytest.mark.parametrize(
    ("name", "block"),
    [("perceptron", 1), ("perceptron", 2), ("deep tied", 2), ("stack of a callable", 2), ("deep overcomplete", 3)],
)
def test_blocks_of_rows_change_nothing(name, block, monkeypatch, x64):
    model, x, row_weights, key, _ = known = case(name)
    expected = known.run(x, row_weights)  # compiled before there is a budget
    blocked = {name: PENALTIES[name].penalty for name in ("contraction", "reconstruction", "higher order")}

    @jit_for_once
    def in_blocks(model: Model, x: Any, row_weights: Any, key: Any) -> Any:
        results = {}
        for name, penalty in blocked.items():
            monkeypatch.setattr(objectives, "MAX_BLOCK_FLOATS", block * max(1, penalty.floats(model, ROWS)))
            results[name] = value_and_gradient(Objective((penalty,)), model, x, row_weights, key)
        return results

    traced = in_blocks.trace(model, x, row_weights, key)
    assert str(traced.jaxpr).count("scan[") == len(blocked)
    results = traced.lower().compile()(model, x, row_weights, key)
    for name in blocked:
        ((cost, parts), gradient), ((whole, extras), whole_gradient) = results[name], expected[name]
        assert_same((cost, gradient), (whole, whole_gradient))
        if isinstance(extras, Parts):
            assert_same(parts, extras)


EVERYTHING = Objective(tuple(case.penalty for case in PENALTIES.values()), Masking(0.3))
mixed = pytest.mark.parametrize("name", ["tanh untied", "stack of a callable"])


@cache
def everything(name: str) -> tuple[Any, ...]:
    """A model, rows, and their cost, parts and gradient by all penalties and a corruption at once, compiled."""
    model, x, row_weights, key, _ = case(name)

    @jit_for_once
    def run(x: Any, row_weights: Any, key: Any) -> Any:
        return value_and_gradient(EVERYTHING, model, x, row_weights, key)

    return model, x, row_weights, key, run


@mixed
def test_a_minibatch_is_the_weighted_mean_of_its_rows(name, x64):
    _, x, row_weights, key, run = everything(name)
    alone = [run(row[None], np.ones(1), key) for row in x]
    mean = jax.tree.map(lambda *leaves: np.tensordot(row_weights, np.array(leaves), 1), *alone)
    assert_same(run(x, row_weights, key), mean)


@mixed
def test_neither_order_nor_repetition_of_rows_matters(name, x64):
    _, x, row_weights, key, run = everything(name)
    expected, order = run(x, row_weights, key), [3, 0, 4, 2, 1]
    assert_same(run(x[order], row_weights[order], key), expected)
    twice = run(x[[0, 1, 2, 3, 3]], np.array([0.1, 0.2, 0.3, 0.15, 0.25]), key)
    assert_same(twice, run(x, np.array([0.1, 0.2, 0.3, 0.4, 0.0]), key))


@mixed
def test_draws_are_a_function_of_the_key(name, x64):
    _, x, row_weights, key, run = everything(name)
    first, again, other = (run(x, row_weights, key) for key in (key, key, jax.random.key(2)))
    assert_same(first, again, rtol=0)
    assert first[0][0] != other[0][0]


def test_compiled_equals_eager(x64):
    model, x, row_weights, key, _ = case("tanh untied")
    objective, arguments = Objective((Contraction(0.3),), Masking(0.3)), (jnp.asarray(x), jnp.asarray(row_weights), key)
    eager = value_and_gradient(objective, model, *arguments)
    assert_same(jit_for_once(lambda model: value_and_gradient(objective, model, *arguments))(model), eager)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_keeps_shape_and_dtype_and_is_a_function_of_the_key(name, dtype, x64):
    change, x = CORRUPTIONS[name], jnp.linspace(0, 1, 50, dtype=dtype)
    first, again, other = (change(x, key=jax.random.key(seed)) for seed in (0, 0, 1))
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != x).any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_penalties_see_the_clean_row(name, x64):
    model, x, row_weights, key, _ = case("tanh untied")
    change, contraction = CORRUPTIONS[name], Contraction(0.3)
    cost, parts = Objective((contraction,), change)(model, jnp.asarray(x), jnp.asarray(row_weights), key)
    denoising, _ = Objective((), change)(model, jnp.asarray(x), jnp.asarray(row_weights), key)
    squares = [float(np.sum(np.asarray(jax.jacrev(model.encode)(row)) ** 2)) for row in x]
    np.testing.assert_allclose(cost, denoising + 0.3 * np.dot(row_weights, squares), rtol=1e-13)
    np.testing.assert_allclose(parts.reconstruction_error, denoising, rtol=1e-13)
    np.testing.assert_allclose(parts.jacobian_norm, np.dot(row_weights, np.sqrt(squares)), rtol=1e-13)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_error_is_of_the_clean_row_given_the_corrupted_one(name, x64):
    model, x, _, key, _ = case("tanh untied")
    row, change = jnp.asarray(x[0]), CORRUPTIONS[name]
    seen = change(row, key=key)
    expected = np.sum((x[0] - np.asarray(model.reconstruct(seen))) ** 2)
    np.testing.assert_allclose(Objective((), change).error(model, row, key=key), expected, rtol=1e-13)
