"""The objective against a plain sum over rows, and its gradient against finite differences."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive import objectives
from contractive.activations import ACTIVATIONS
from contractive.corruption import Masking
from contractive.jacobian import encoder_differential, hutchinson_frobenius_sq
from contractive.losses import LOSSES
from contractive.objectives import _CORRUPTION, _PROBE, Objective, _rows_a_block, draw_key, row_key
from contractive.penalties import Contraction, HigherOrder, Penalty, WeightDecay
from registry import MODELS, keys_of_rows
from routes import Directions, facts, jacobians, jit_for_once, random_model, reconstruction_errors, value_and_gradient

TERMS = Objective((Contraction(0.3), WeightDecay(0.02)))


costs_and_gradient = jit_for_once(partial(value_and_gradient, TERMS))


def rows_of(rng, n=4):
    return jnp.asarray(rng.uniform(size=(n, 5)))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cost_is_the_weighted_mean_of_its_terms_and_so_is_its_gradient(activation, loss, tied, x64):
    rng = np.random.RandomState(6)
    model, x = random_model(rng, tied=tied, activation=activation, loss=loss), rng.uniform(size=(4, 5))
    row_weights, directions = np.array([0.1, 0.2, 0.3, 0.4]), Directions(model, None)
    here = facts(model, directions.moved)(x)
    errors, squares = reconstruction_errors(model, x, here), np.sum(here.jacobian**2, axis=(-2, -1))
    arrays = directions.moved.weight, *([] if tied else [directions.moved.decoder_weight])
    decay = sum(np.sum(np.asarray(array) ** 2, axis=(-2, -1)) for array in arrays)
    costs = (errors + 0.3 * squares) @ row_weights + 0.02 * decay
    (cost, parts), gradient = costs_and_gradient(model, jnp.asarray(x), jnp.asarray(row_weights))
    np.testing.assert_allclose(parts.reconstruction_error, row_weights @ errors[0], rtol=1e-12)
    np.testing.assert_allclose(parts.jacobian_norm, row_weights @ np.sqrt(squares[0]), rtol=1e-12)
    np.testing.assert_allclose(cost, costs[0], rtol=1e-12)
    np.testing.assert_allclose(directions.slopes(gradient), directions.differences(costs), rtol=2e-6, atol=2e-7)


def test_rows_of_weight_zero_do_not_count(x64):
    rng = np.random.RandomState(8)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    some = costs_and_gradient(model, x, jnp.array([0.5, 0.5, 0.0, 0.0]))
    two = costs_and_gradient(model, x[:2], jnp.full(2, 0.5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), some, two)


def test_mean_does_not_depend_on_the_size_of_the_minibatch(x64):
    rng = np.random.RandomState(9)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    once = costs_and_gradient(model, x, jnp.full(4, 1 / 4))
    twice = costs_and_gradient(model, jnp.concatenate([x, x]), jnp.full(8, 1 / 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), once, twice)


def test_without_penalties_the_cost_is_the_reconstruction_error(x64):
    rng = np.random.RandomState(10)
    model, x = random_model(rng, tied=True, activation="sigmoid", loss="cross_entropy"), rows_of(rng)
    cost, parts = jit_for_once(Objective())(model, x, jnp.full(4, 0.25))
    assert cost == parts.reconstruction_error
    norms = np.linalg.norm(jacobians(model, x), axis=(1, 2))
    np.testing.assert_allclose(parts.jacobian_norm, np.mean(norms), rtol=1e-12)


def test_a_sum_of_penalties_is_its_terms_to_the_bit(x64):
    rng = np.random.RandomState(11)
    model, x = random_model(rng, tied=True, activation="tanh", loss="squared_error"), rows_of(rng)
    one, two, three = Contraction(0.3, "hutchinson"), HigherOrder(0.1), WeightDecay(0.2)
    apart = Objective((one, two, three))
    for together in (Objective((one + two + three,)), Objective((one, two + three)), Objective((one + (two + three),))):
        assert together.terms == apart.terms
    arguments = model, x, jnp.full(4, 0.25)
    assert jit_for_once(Objective((one, two + three)))(*arguments) == jit_for_once(apart)(*arguments)


@pytest.mark.parametrize("penalties", [(), (HigherOrder(0.1),), (Contraction(0.3, "hutchinson", n_probes=4),)])
def test_the_norm_of_a_deep_encoder_is_estimated_by_the_root_of_the_mean_square(penalties, x64):
    model, rng = MODELS["deep tied"](), np.random.RandomState(12)
    x, draws = jnp.asarray(rng.uniform(size=(6, model.n_features))), 500
    row_weights = 2 * jnp.asarray([0.1, 0.2, 0.3, 0.25, 0.15, 0.0])

    @jit_for_once
    def norms(keys: Any) -> Any:
        return jax.vmap(lambda key: Objective(penalties)(model, x, row_weights, key)[1].jacobian_norm)(keys)

    squares = np.asarray(norms(jax.random.split(jax.random.key(3), draws))) ** 2
    exact = 2**2 * (row_weights / 2) @ np.sum(jacobians(model, x) ** 2, axis=(1, 2))
    assert abs(squares.mean() - exact) < 4 * squares.std() / np.sqrt(draws)
    assert squares.std() > 0


def test_an_exact_contraction_measures_the_norm_wherever_it_stands(x64):
    model, rng = MODELS["deep tied"](), np.random.RandomState(13)
    x = jnp.asarray(rng.uniform(size=(3, model.n_features)))
    norms = np.linalg.norm(jacobians(model, x), axis=(1, 2))
    for penalties in ((Contraction(0.0),), (Contraction(0.1, "hutchinson"), Contraction(0.2))):
        _, parts = jit_for_once(Objective(penalties))(model, x, jnp.full(3, 1 / 3))
        np.testing.assert_allclose(parts.jacobian_norm, np.mean(norms), rtol=1e-12)


def many_rows() -> np.ndarray:
    """Rows that are hard to tell apart: one pixel of another, a float32's ulp or a factor away, in another order."""
    rng = np.random.RandomState(14)
    base = rng.uniform(size=16).astype(np.float32)
    rows = [
        *np.eye(16),
        *(1 - np.eye(16)),
        *(np.full(16, value) for value in (0.0, 0.5, 1.0, 2.0, -1.0, 1e-30, 1e2)),
        *(base * factor for factor in (1.0, 2.0, 4.0, -1.0)),
        *(np.where(np.arange(16) == place, np.nextafter(base, np.float32(2)), base) for place in range(16)),
        *(np.roll(base, places) for places in range(1, 16)),
        *(rng.permutation(base) for _ in range(50)),
        *rng.randint(0, 2, (300, 16)),
    ]
    return np.unique(np.array(rows, float), axis=0)


def test_different_rows_minibatches_and_terms_draw_from_different_keys(x64):
    x = many_rows()
    assert len(x) > 400
    words = [keys_of_rows(jax.random.key(seed), x, term) for seed in range(4) for term in range(3)]
    words = np.array([jax.random.key_data(keys) for keys in words])
    assert len(np.unique(words.reshape(-1, 2), axis=0)) == words.size / 2
    assert all(len(np.unique(half)) == len(x) for keys in words for half in keys.T)


def test_rows_that_are_the_same_to_float32s_digits_draw_the_same(x64):
    # What float64 makes of equal rows in another order of summation differs in its last digits.
    x = np.random.RandomState(0).normal(size=(5, 16))
    moved = x * (1 + 4 * np.finfo(float).eps)
    assert (x != moved).all()
    one, other = (jax.random.key_data(keys_of_rows(jax.random.key(0), rows)) for rows in (x, moved))
    np.testing.assert_array_equal(one, other)
    tiny = np.stack([np.zeros(16), np.full(16, -1e-300)])  # what float32 makes minus nothing of
    one, other = np.asarray(jax.random.key_data(keys_of_rows(jax.random.key(0), tiny)))
    np.testing.assert_array_equal(one, other)


def test_both_zeros_are_one(x64):
    x = np.zeros((2, 5))
    x[1] = -0.0
    one, other = np.asarray(jax.random.key_data(keys_of_rows(jax.random.key(0), x)))
    np.testing.assert_array_equal(one, other)


def test_without_a_key_it_always_draws_the_same(x64):
    rng = np.random.RandomState(15)
    model, x = random_model(rng, tied=True, activation="tanh", loss="squared_error"), rows_of(rng)
    objective = jit_for_once(Objective((HigherOrder(0.1),)))
    costs = [objective(model, x, jnp.full(4, 0.25), *key)[0] for key in ((), (None,), (jax.random.key(1),))]
    assert costs[0] == costs[1] != costs[2]


def test_keys_are_the_words_that_numpy_mixes():
    """So that a run that goes on with another version, or elsewhere, draws what it would have drawn."""
    x = np.random.RandomState(16).normal(size=(3, 7)).astype(np.float32)
    words, places = x.view(np.uint32), np.arange(1, 8, dtype=np.uint32)
    halves = []
    for factor in (0x9E3779B1, 0x85EBCA77):
        spread = (words ^ (words >> 15)) * (places * np.uint32(factor) | np.uint32(1))
        halves.append((spread ^ (spread >> 13)).sum(axis=1, dtype=np.uint32))
    own = jax.vmap(partial(row_key, jax.random.key(3)))(jnp.asarray(x))
    expected = np.stack(halves, axis=1) ^ np.asarray(jax.random.key_data(jax.random.key(3)))
    np.testing.assert_array_equal(jax.random.key_data(own), expected)
    for number in (0, 1, 7):
        moved = expected ^ np.array([number * 0xC2B2AE35 % 2**32, 0], np.uint32)
        np.testing.assert_array_equal(jax.random.key_data(jax.vmap(partial(draw_key, number=number))(own)), moved)


@pytest.mark.parametrize(("floats", "rows"), [(1, 1 << 22), (1000, 4194), (1 << 22, 1), ((1 << 22) + 1, 1), (10**9, 1)])
def test_blocks_hold_as_many_rows_as_fit(floats, rows):
    assert _rows_a_block(floats) == rows


@pytest.mark.parametrize("rows_a_block", [1, 3, 7])
def test_cost_is_the_same_in_blocks_without_a_gradient_too(rows_a_block, x64, monkeypatch):
    model, rng, objective = MODELS["deep tied"](), np.random.RandomState(18), Objective((Contraction(0.3),))
    x, row_weights = jnp.asarray(rng.uniform(size=(7, model.n_features))), jnp.asarray(rng.uniform(size=7))
    cost, parts = objective(model, x, row_weights)
    monkeypatch.setattr(objectives, "MAX_BLOCK_FLOATS", rows_a_block * Contraction(0.3).floats(model, 7))
    in_blocks, of_blocks = objective(model, x, row_weights)
    np.testing.assert_allclose(in_blocks, cost, rtol=1e-12)
    np.testing.assert_allclose(of_blocks, parts, rtol=1e-12)
    _, gradient = value_and_gradient(objective, model, x, row_weights)
    monkeypatch.undo()
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12),
        gradient,
        value_and_gradient(objective, model, x, row_weights)[1],
    )


def test_a_term_that_holds_nothing_has_no_blocks():
    assert _rows_a_block(0) > 10**15


def test_the_norm_of_a_deep_encoder_is_estimated_by_sixteen_rows(x64):
    model, rng = MODELS["deep tied"](), np.random.RandomState(17)
    x, row_weights = rng.uniform(size=(20, model.n_features)), jnp.full(20, 1 / 20)
    norm = jit_for_once(lambda x: Objective(())(model, x, row_weights, jax.random.key(0))[1].jacobian_norm)
    moved = [np.where(np.arange(20)[:, None] == place, x / 2, x) for place in (15, 16)]
    first, with_last_of_them, with_next = (float(norm(jnp.asarray(rows))) for rows in (x, *moved))
    assert first == with_next != with_last_of_them


def test_the_error_is_of_corrupted_rows_and_the_penalties_are_of_clean_ones(x64):
    model, rng, key, corruption = MODELS["deep tied"](), np.random.RandomState(19), jax.random.key(4), Masking(0.5)
    x, row_weights = jnp.asarray(rng.uniform(size=(4, model.n_features))), jnp.asarray([0.1, 0.2, 0.3, 0.4])
    corrupted = jnp.stack([corruption(row, key=draw_key(row_key(key, row), _CORRUPTION)) for row in x])
    assert 0 < np.mean(np.asarray(corrupted) != np.asarray(x)) < 1
    outputs = [model.reconstruct(row) for row in corrupted]
    errors = np.array([model.reconstruction_loss.error(*pair) for pair in zip(x, outputs, strict=True)])
    squares = np.sum(jacobians(model, x) ** 2, axis=(1, 2))
    cost, parts = jit_for_once(Objective((Contraction(0.3),), corruption))(model, x, row_weights, key)
    np.testing.assert_allclose(parts.reconstruction_error, row_weights @ errors, rtol=1e-12)
    np.testing.assert_allclose(cost, row_weights @ (errors + 0.3 * squares), rtol=1e-12)


class Draw(Penalty):
    """A number that depends on the key alone."""

    coefficient: Any = 1.0

    def term(self, model, forward, prepared, *, key):
        return jax.random.uniform(key, dtype=jnp.float64)


@pytest.mark.parametrize("rows_a_block", [1, 9])
def test_terms_draw_from_keys_that_neither_another_term_nor_another_use_has(rows_a_block, x64, monkeypatch):
    rng, key = np.random.RandomState(20), jax.random.key(5)
    model, x = random_model(rng, tied=True, activation="tanh", loss="squared_error"), jnp.tile(rows_of(rng, 1), (2, 1))
    monkeypatch.setattr(objectives, "_rows_a_block", lambda floats: rows_a_block)
    own = row_key(key, x[0])
    drawn = [float(jax.random.uniform(draw_key(own, use), dtype=jnp.float64)) for use in (_CORRUPTION, _PROBE)]
    for number in range(3):
        terms = [Draw(float(i == number)) for i in range(3)]
        drawn.append(float(Objective(tuple(terms), reconstruct=False)(model, x, jnp.full(2, 0.5), key)[0]))
    assert len(set(drawn)) == 5


def test_rows_of_weight_zero_alone_have_the_norm_zero(x64):
    model, rng = MODELS["deep tied"](), np.random.RandomState(21)
    x, row_weights = jnp.asarray(rng.uniform(size=(20, model.n_features))), jnp.asarray([0.0] * 16 + [0.25] * 4)
    _, parts = jit_for_once(Objective(()))(model, x, row_weights, jax.random.key(0))  # the first 16 rows are probed
    assert parts.jacobian_norm == 0


def test_the_norm_is_the_root_of_the_weighted_mean_over_the_probed_rows(x64):
    model, rng, key = MODELS["deep tied"](), np.random.RandomState(22), jax.random.key(6)
    x, row_weights = jnp.asarray(rng.uniform(size=(20, model.n_features))), rng.uniform(size=20)
    _, parts = Objective(())(model, x, jnp.asarray(row_weights), key)
    squares = []
    for row in x[:16]:
        differential, own = encoder_differential(model, model.forward(row)), draw_key(row_key(key, row), _PROBE)
        squares.append(float(hutchinson_frobenius_sq(differential, n_probes=1, key=own)))
    expected = row_weights.sum() * np.sqrt(np.average(squares, weights=row_weights[:16]))
    np.testing.assert_allclose(parts.jacobian_norm, expected, rtol=1e-12)
