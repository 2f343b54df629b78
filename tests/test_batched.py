"""Functions of one example over many rows: blocks, their sizes, and rows of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from contractive import batched
from contractive.batched import as_floats, floats_held, map_rows
from contractive.jacobian import jacobian
from contractive.models import Model, initialize
from routes import times_compiled

ROWS = np.random.RandomState(0).uniform(size=(23, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return initialize(6, 4, rng=np.random.RandomState(1), hidden_layer_sizes=(5,))


@pytest.mark.parametrize("function", [Model.encode, Model.reconstruct, jacobian])
def test_each_row_is_what_the_function_gives(function, model):
    results = map_rows(function, model, ROWS)
    for row, result in zip(ROWS, results, strict=True):
        np.testing.assert_allclose(result, function(model, jnp.asarray(row)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 8, 23])
@pytest.mark.parametrize("budget", [1, 40, 100, 1000])
def test_blocks_change_nothing_and_stay_within_their_budget(budget, n_rows, model, monkeypatch):
    whole, sizes = map_rows(Model.encode, model, ROWS[:n_rows]), []
    run = batched._apply

    def spy(function, model, stored, scale):
        sizes.append(len(stored))
        return run(function, model, stored, scale)

    monkeypatch.setattr(batched, "_apply", spy)
    monkeypatch.setattr(batched, "MAX_BLOCK_FLOATS", budget)
    np.testing.assert_allclose(map_rows(Model.encode, model, ROWS[:n_rows]), whole, rtol=1e-6, atol=1e-7)
    held = floats_held(Model.encode, model)
    assert all(size == 1 or size * held <= budget for size in sizes)
    assert all(size & (size - 1) == 0 for size in sizes)  # powers of two: few shapes to compile
    assert n_rows <= sum(sizes) <= 2 * n_rows


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_sparse_rows_are_made_dense_block_by_block(kind, model, monkeypatch):
    thin = np.where(ROWS > 0.6, ROWS, 0)
    monkeypatch.setattr(batched, "MAX_BLOCK_FLOATS", 4 * floats_held(Model.encode, model))
    np.testing.assert_array_equal(map_rows(Model.encode, model, kind(thin)), map_rows(Model.encode, model, thin))


def test_bytes_are_divided_by_their_scale(model):
    pixels = (ROWS * 255).astype(np.uint8)
    expected = map_rows(Model.encode, model, (pixels / np.float32(256)).astype(np.float32))
    np.testing.assert_array_equal(map_rows(Model.encode, model, pixels, uint8_scale=256), expected)
    np.testing.assert_array_equal(as_floats(jnp.asarray(pixels), jnp.float32(2), np.float32), pixels / np.float32(2))
    np.testing.assert_array_equal(as_floats(jnp.asarray(ROWS), jnp.float32(2), np.float32), ROWS)


def test_floats_held_is_a_bound_of_what_is_made_for_a_row(model):
    sizes = [6, 5, 4]
    assert floats_held(Model.encode, model) >= sum(sizes)  # the row, and what each layer gives
    assert floats_held(Model.encode, model) <= 6 * sum(sizes)
    assert floats_held(jacobian, model) >= 6 * 4 + sum(sizes)
    assert floats_held(Model.decode, model, n_inputs=4) >= sum(sizes)


def test_what_is_made_of_the_weights_alone_is_not_held_for_each_row(model):
    def with_gram(model, x):
        gram = model.layers[0].weight.T @ model.layers[0].weight
        return jnp.sum(gram) * x

    assert floats_held(with_gram, model) <= 2 * 6


def test_any_number_of_rows_compiles_a_few_sizes_only(model):
    def function(model, x):
        return model.encode(x)

    before = times_compiled(batched._apply)
    for n_rows in range(1, 24):
        map_rows(function, model, ROWS[:n_rows])
    assert times_compiled(batched._apply) - before == 6  # 1, 2, 4, 8, 16, 32


def test_the_arithmetic_has_the_models_dtype(x64):
    model = initialize(6, 4, rng=np.random.RandomState(1), dtype=np.float64)
    assert map_rows(Model.encode, model, ROWS).dtype == np.float64
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32), model)
    assert map_rows(Model.encode, single, ROWS.astype(np.float64)).dtype == np.float32
