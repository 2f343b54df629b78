"""The training loop against plain gradient descent written in NumPy, and its promises about bits and compiling."""

import time
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float
from scipy.sparse import csr_array

from contractive.batched import map_rows
from contractive.corruption import Masking
from contractive.models import AutoEncoder, Model, initialize, wrap_callables
from contractive.objectives import Objective
from contractive.penalties import Contraction, HigherOrder, Penalty, WeightDecay
from contractive.training import (
    OPTIMIZERS,
    Progress,
    Trained,
    TrainingState,
    epoch_keys,
    epoch_order,
    initial_state,
    resolve_optimizer,
    run_chunk,
    train,
)
from registry import MODELS
from routes import one_layer, sigmoid, times_compiled
from toys import ArrayRows

ROWS = np.random.RandomState(0).uniform(size=(23, 6)).astype(np.float32)
CONTRACTIVE = Objective((Contraction(0.1),))
RANDOM = Objective((Contraction(0.1, "hutchinson"), HigherOrder(0.2)), Masking(0.3))


def start(dtype: Any = np.float32) -> AutoEncoder:
    return one_layer(6, 4, rng=np.random.RandomState(1), loss="cross_entropy", dtype=dtype)


def fit(rows: Any = ROWS, objective: Objective = CONTRACTIVE, **options: Any) -> Trained:
    settings = {"batch_size": 5, "max_epochs": 2, "shuffle": False} | options
    return train(start(), objective, rows, resolve_optimizer("sgd", 0.1), **settings)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def one_minibatch_a_chunk(monkeypatch: pytest.MonkeyPatch, first: int = 1) -> None:
    monkeypatch.setattr("contractive.training._loop._FIRST_CHUNK", first)
    monkeypatch.setattr("contractive.training._loop._CHUNK_SECONDS", 1e-9)


def descend_by_hand(rows: np.ndarray, batch_size: int, epochs: int, order: Any) -> tuple[list[np.ndarray], list[float]]:
    """Gradient descent on equation (4) with the gradient worked out on paper, in NumPy and float64.

    Returns:
        W, b and b' at the end, and the mean cross-entropy over all rows of each epoch.
    """
    rate, contraction = 0.1, 0.1
    weight, hidden_bias, visible_bias = np.asarray(start().weight, np.float64), np.zeros(4), np.zeros(6)
    curve = []
    for epoch in range(1, epochs + 1):
        chosen, errors = order(epoch), []
        for first in range(0, len(rows), batch_size):
            x = rows[chosen[first : first + batch_size]].astype(np.float64)
            h = sigmoid(x @ weight.T + hidden_bias)
            r = sigmoid(h @ weight + visible_bias)
            errors.extend(-np.sum(x * np.log(r) + (1 - x) * np.log(1 - r), axis=1))
            slope, lengths = h * (1 - h), np.sum(weight**2, axis=1)
            d_output = r - x
            d_hidden = d_output @ weight.T * slope + contraction * 2 * slope**2 * (1 - 2 * h) * lengths
            d_weight = d_hidden.T @ x + h.T @ d_output + contraction * 2 * np.sum(slope**2, axis=0)[:, None] * weight
            weight = weight - rate * d_weight / len(x)
            hidden_bias = hidden_bias - rate * d_hidden.mean(axis=0)
            visible_bias = visible_bias - rate * d_output.mean(axis=0)
        curve.append(float(np.mean(errors)))
    return [weight, hidden_bias, visible_bias], curve


@pytest.mark.parametrize("engine", ["jax", "auto"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 5, 23])
def test_training_equals_gradient_descent_by_hand(batch_size, shuffle, engine):
    model, _, history, _ = fit(batch_size=batch_size, shuffle=shuffle, seed=3, engine=engine)

    def order(epoch):
        return epoch_order(23, batch_size, shuffle=shuffle, seed=3, epoch=epoch).ravel()[:23]

    expected, curve = descend_by_hand(ROWS, batch_size, 2, order)
    for array, by_hand in zip(jax.tree.leaves(model), expected, strict=True):
        np.testing.assert_allclose(array, by_hand, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose([record.reconstruction_error for record in history], curve, rtol=1e-5)


def test_curves_are_means_over_all_rows_when_nothing_is_learned():
    still = train(start(), CONTRACTIVE, ROWS, resolve_optimizer("sgd", 1e-30), batch_size=5, max_epochs=1)
    (record,) = still.history
    model = start()
    errors = [float(model.reconstruction_loss.error(x, model.forward(x).output)) for x in jnp.asarray(ROWS)]
    norms = [float(jnp.linalg.norm(jax.jacfwd(model.encode)(x))) for x in jnp.asarray(ROWS)]
    assert record.reconstruction_error == pytest.approx(np.mean(errors), rel=1e-6)
    assert record.jacobian_norm == pytest.approx(np.mean(norms), rel=1e-6)


class CountTraces(Penalty):
    """A penalty of zero that notes each time it is traced."""

    coefficient: float | Float[Array, ""]
    seen: list[int] = eqx.field(static=True)

    def term(self, model, forward, prepared, *, key):
        self.seen.append(1)
        return jnp.zeros(())


class Names(list):
    """A list that hashes by identity, as a static field must."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


def test_the_step_is_traced_once_a_run_whatever_the_chunks(monkeypatch):
    one_minibatch_a_chunk(monkeypatch)
    seen, chunks = Names(), []
    fit(objective=Objective((CountTraces(0.0, seen),)), max_epochs=3, on_chunk=chunks.append)
    assert len(chunks) == 15  # five minibatches an epoch, one a chunk, the short one included
    assert len(seen) == 1


class SlowToHear:
    """A group of this process alone that takes long to say so."""

    def gather(self, values: Any) -> np.ndarray:
        time.sleep(0.01)
        return np.array([values], np.float64)

    def exchange(self, n_bytes: int) -> None:
        """JAX is to add up."""


def test_processes_that_hear_slowly_of_each_other_ask_seldom(monkeypatch):
    one_minibatch_a_chunk(monkeypatch)
    rows, ends = ArrayRows(np.tile(ROWS, (200, 1))), []
    fit(rows, max_epochs=1, peers=SlowToHear(), on_chunk=lambda progress: ends.append(progress.rows))
    assert ends[0] == 5  # nothing is known yet
    assert len(ends) < 100  # of 920 minibatches


def test_a_second_run_of_the_same_shape_is_not_traced_again():
    seen = Names()
    for coefficient in (0.1, 0.2):
        objective = Objective((CountTraces(0.0, seen), Contraction(coefficient)))
        fit(objective=objective, max_epochs=1)
    assert len(seen) == 1


@pytest.mark.parametrize("engine", ["jax", "auto"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_chunks_do_not_change_a_bit(name, engine, monkeypatch):
    def run():
        transformation = resolve_optimizer(name, 0.1)
        trained = train(start(), CONTRACTIVE, ROWS, transformation, batch_size=4, max_epochs=3, engine=engine)
        return bits(trained.model), [record[:3] for record in trained.history]

    whole = run()
    one_minibatch_a_chunk(monkeypatch)
    assert run() == whole


def test_chunks_do_not_change_a_bit_of_random_penalties_and_corruption(monkeypatch):
    def run():
        trained = fit(objective=RANDOM, shuffle=True)
        return bits(trained[:2]), [record[:3] for record in trained.history]

    whole = run()
    one_minibatch_a_chunk(monkeypatch)
    assert run() == whole


@pytest.mark.parametrize("engine", ["jax", "auto"])
def test_bytes_train_as_their_pixels_do(engine):
    pixels = (ROWS * 255).astype(np.uint8)
    as_bytes = fit(pixels, uint8_scale=256, engine=engine).model
    as_floats = fit(pixels.astype(np.float32) / 256, engine=engine).model
    jax.tree.map(np.testing.assert_array_equal, as_bytes, as_floats)


def test_bytes_stay_bytes_on_the_device(monkeypatch):
    stored = []

    def spy(state, **arguments):
        stored.append(arguments["stored"].dtype)
        return run_chunk(state, **arguments)

    monkeypatch.setattr("contractive.training._engines.run_chunk", spy)
    fit((ROWS * 255).astype(np.uint8), uint8_scale=256, engine="jax")
    assert set(stored) == {np.dtype(np.uint8)}


def test_every_row_counts_once_an_epoch():
    for epoch in (1, 2):
        order = epoch_order(23, 5, shuffle=True, seed=0, epoch=epoch)
        assert order.shape == (5, 5)
        assert sorted(order.ravel()[:23]) == list(range(23))
    assert (epoch_order(23, 5, shuffle=False, seed=0, epoch=1).ravel()[:23] == np.arange(23)).all()


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return epoch_order(23, 5, shuffle=True, seed=seed, epoch=epoch).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(2, 1)
    assert order(1, 2) != order(1, 3)


def test_the_model_given_stays_as_it_was():
    model = start()
    before = np.array(model.weight)
    train(model, CONTRACTIVE, ROWS, resolve_optimizer("sgd", 0.1), batch_size=5, max_epochs=1)
    np.testing.assert_array_equal(model.weight, before)


def test_progress_counts_rows_and_ends_with_the_epochs_means(monkeypatch):
    one_minibatch_a_chunk(monkeypatch, first=2)
    seen: list[Progress] = []
    history = fit(on_chunk=seen.append, max_epochs=1).history
    assert [progress.rows for progress in seen] == [10, 15, 20, 23]
    assert seen[-1].reconstruction_error == history[0].reconstruction_error


def test_a_callback_that_returns_true_ends_the_training():
    history = fit(max_epochs=9, on_epoch=lambda trained: trained.history[-1].epoch == 2).history
    assert [record.epoch for record in history] == [1, 2]
    assert len(fit(max_epochs=3, on_epoch=lambda trained: "anything but True").history) == 3


def test_a_cost_that_is_not_finite_names_the_epoch_and_the_rows():
    kept = []
    numbers = ", ".join(map(str, epoch_order(23, 23, shuffle=True, seed=0, epoch=2)[0, :5]))
    words = rf"not finite in epoch 2, minibatch 1 \(rows {numbers}, \.\.\.\); got (nan|inf).*`learning_rate`"
    with pytest.raises(FloatingPointError, match=words):
        # The first epoch ends in weights that overflow in the second.
        train(
            initialize(6, 4, rng=np.random.RandomState(1), activation="linear"),
            Objective(),
            ROWS,
            resolve_optimizer("sgd", 1e25),
            batch_size=23,
            max_epochs=9,
            on_epoch=lambda trained: kept.append(trained.history[-1].epoch),
        )
    assert kept == [1]


def test_a_schedule_is_followed_update_by_update(x64, quickly_compiled):
    def schedule(count):
        return 0.5 / (1 + count)

    model = start(np.float64)
    rows, objective = ROWS.astype(np.float64), Objective((Contraction(0.1),))
    transformation = resolve_optimizer("sgd", schedule)
    trained = train(model, objective, rows, transformation, batch_size=23, max_epochs=4, shuffle=False)
    gradient = jax.jit(jax.grad(lambda model: objective(model, jnp.asarray(rows), jnp.full(23, 1 / 23))[0]))
    for count in range(4):
        step = optax.tree.scale(schedule(count), gradient(model))
        model = jax.tree.map(jnp.subtract, model, step)
    assert trained.engine == "jax"
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), trained.model, model)


@pytest.mark.parametrize("objective", [CONTRACTIVE, RANDOM])
def test_three_and_two_epochs_are_five_to_the_bit(objective):
    def run(model: Model, epochs: int, **options: Any) -> Trained:
        adam = resolve_optimizer("adam", 0.05)
        return train(model, objective, ROWS, adam, batch_size=5, max_epochs=epochs, seed=4, **options)

    whole, three = run(start(), 5), run(start(), 3)
    two = run(three.model, 2, optimizer_state=three.optimizer_state, epochs_done=3)
    assert bits(two[:2]) == bits(whole[:2])
    assert [record.epoch for record in two.history] == [4, 5]
    assert [record[:3] for record in three.history + two.history] == [record[:3] for record in whole.history]


def test_noise_is_a_function_of_the_seed():
    first, again, other = (fit(objective=RANDOM, seed=seed).model for seed in (1, 1, 2))
    assert bits(first) == bits(again)
    assert bits(first) != bits(other)


class LastTwo(NamedTuple):
    before: Any
    last: Any


@cache
def remember_gradients() -> optax.GradientTransformation:
    """An optimiser that stands still and keeps the last two gradients."""

    def init(params: Any) -> Any:
        zero = jax.tree.map(jnp.zeros_like, params)
        return LastTwo(zero, zero)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, updates), LastTwo(state.last, updates)

    return optax.GradientTransformation(init, update)


@pytest.mark.parametrize(
    ("objective", "fresh"),
    [
        (Objective((HigherOrder(1.0),)), True),
        (Objective((Contraction(1.0, "hutchinson"),)), True),
        (Objective((), Masking(0.5)), True),
        (CONTRACTIVE, False),
    ],
)
def test_noise_is_fresh_at_every_update(objective, fresh, quickly_compiled):
    """The same rows twice in a row, without a step between: only the noise tells them apart."""
    for rows, epochs in ((np.tile(ROWS[:4], (2, 1)), 1), (ROWS[:4], 2)):
        state = train(
            start(), objective, rows, remember_gradients(), batch_size=4, max_epochs=epochs, shuffle=False
        ).optimizer_state
        assert isinstance(state, LastTwo)
        assert (bits(state.before) != bits(state.last)) == fresh


def test_no_two_minibatches_share_a_key():
    keys = np.concatenate([epoch_keys(50, seed=seed, epoch=epoch) for seed in (0, 1, 2) for epoch in (1, 2, 3)])
    assert len(np.unique(keys, axis=0)) == len(keys)


@pytest.mark.parametrize(("shuffle", "weighted"), [(False, False), pytest.param(True, True, marks=pytest.mark.slow)])
def test_sparse_rows_leave_the_bits_of_dense_ones(shuffle, weighted, monkeypatch):
    thin = np.where(ROWS > 0.5, ROWS, 0)
    weights = np.linspace(0.5, 1.5, 23) if weighted else None
    options = {"objective": RANDOM, "shuffle": shuffle, "engine": "jax", "sample_weight": weights}
    dense = fit(thin, **options)
    for minibatches in (2, 4):  # of five, dense at a time
        monkeypatch.setattr("contractive.training._feeds._SPARSE_BLOCK_ENTRIES", minibatches * 5 * 6)
        sparse = fit(csr_array(thin), **options)
        assert bits(sparse.model) == bits(dense.model)
        assert [record[:3] for record in sparse.history] == [record[:3] for record in dense.history]


def test_no_more_sparse_rows_than_allowed_are_dense_at_a_time(monkeypatch):
    stored = []

    def spy(state, **arguments):
        stored.append(arguments["stored"].shape)
        return run_chunk(state, **arguments)

    monkeypatch.setattr("contractive.training._engines.run_chunk", spy)
    monkeypatch.setattr("contractive.training._feeds._SPARSE_BLOCK_ENTRIES", 2 * 4 * 6)
    fit(csr_array(ROWS), batch_size=4, max_epochs=1)
    assert stored == [(8, 6)] * 3


def in_one_batch(rows: Any, **options: Any) -> Trained:
    """Some updates in float64 on all rows at once, with random penalties and a corruption."""
    settings: dict[str, Any] = {"batch_size": len(rows), "max_epochs": 4, "seed": 2} | options
    return train(start(np.float64), RANDOM, rows.astype(np.float64), resolve_optimizer("sgd", 0.1), **settings)


def assert_same_run(one: Trained, other: Trained) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), one.model, other.model)
    for a, b in zip(one.history, other.history, strict=True):
        np.testing.assert_allclose(a[1:3], b[1:3], rtol=1e-9)


def test_weight_two_is_the_row_twice(x64, quickly_compiled):
    weights = np.ones(12)
    weights[:4] = 2
    weighted = in_one_batch(ROWS[:12], sample_weight=weights / weights.mean())
    assert_same_run(weighted, in_one_batch(np.concatenate([ROWS[:12], ROWS[:4]])))


def test_weight_zero_leaves_the_row_out(x64, quickly_compiled):
    weights = np.repeat([1.5, 0.0], [8, 4])
    assert_same_run(in_one_batch(ROWS[:12], sample_weight=weights), in_one_batch(ROWS[:8]))


def test_a_minibatch_that_counts_double_makes_a_step_twice_as_long(x64, quickly_compiled):
    rows, weights = ROWS[:10].astype(np.float64), np.repeat([2.0, 0.0], 5)
    settings: dict[str, Any] = {"batch_size": 5, "shuffle": False, "max_epochs": 1}
    weighted = train(
        start(np.float64), CONTRACTIVE, rows, resolve_optimizer("sgd", 0.1), sample_weight=weights, **settings
    )
    twice = train(start(np.float64), CONTRACTIVE, rows[:5], resolve_optimizer("sgd", 0.2), **settings)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), weighted.model, twice.model)


def test_weights_of_one_change_nothing():
    weighted, plain = fit(sample_weight=np.ones(23)), fit(engine="jax")
    assert bits(weighted.model) == bits(plain.model)
    assert weighted.engine == "jax"


def test_a_stop_within_an_epoch_ends_it_there_and_then(monkeypatch):
    one_minibatch_a_chunk(monkeypatch)
    stopped = fit(max_epochs=5, on_chunk=lambda progress: progress.rows >= 15)
    assert bits(stopped.model) == bits(fit(ROWS[:15], max_epochs=1).model)
    (record,) = stopped.history
    assert record.epoch == 1
    assert record.reconstruction_error == fit(ROWS[:15], max_epochs=1).history[0].reconstruction_error


def test_the_validation_error_of_each_epochs_model_is_in_its_record():
    held_out = ROWS[:7]

    def validate(model: Model) -> float:
        return float(np.mean(np.sum((held_out - map_rows(Model.reconstruct, model, held_out)) ** 2, axis=1)))

    expected = []
    history = fit(validate=validate, on_epoch=lambda trained: expected.append(validate(trained.model))).history
    assert [record.validation_error for record in history] == expected
    assert len(set(expected)) == 2
    assert all(record.validation_error is None for record in fit().history)


@pytest.mark.parametrize("name", ["convolution", "perceptron", "plain function", "stack of a callable"])
def test_what_a_user_wraps_is_trained_and_nothing_but_its_floats(name, x64, quickly_compiled):
    model, rows = MODELS[name](), ROWS.astype(np.float64)
    objective = Objective((Contraction(0.01),))
    trained = train(model, objective, rows, resolve_optimizer("adam", 0.01), batch_size=6, max_epochs=3)
    assert jax.tree.structure(trained.model) == jax.tree.structure(model)
    for after, before in zip(jax.tree.leaves(trained.model), jax.tree.leaves(model), strict=True):
        assert after.dtype == before.dtype
        if jnp.issubdtype(before.dtype, jnp.floating):
            assert (after != before).any()
        else:
            np.testing.assert_array_equal(after, before)
    errors = [record.reconstruction_error for record in trained.history]
    assert errors[0] > errors[-1]


def same_shape(seed: int) -> AutoEncoder:
    return one_layer(6, 4, rng=np.random.RandomState(seed), loss="cross_entropy")


def wrapped(seed: int) -> Model:
    rng = np.random.RandomState(seed)
    linear = eqx.nn.Linear(6, 4, key=jax.random.key(seed))
    return wrap_callables(eqx.nn.Sequential([linear, eqx.nn.Lambda(jnp.tanh)]), n_features=6, rng=rng)


@pytest.mark.parametrize("make", [same_shape, wrapped])
def test_the_compiled_step_is_used_again_for_other_numbers(make):
    def run(seed: int, coefficient: float, rate: float, rows: np.ndarray) -> None:
        penalties = Contraction(coefficient), WeightDecay(coefficient), HigherOrder(coefficient, std=coefficient)
        objective = Objective(penalties, Masking(coefficient))
        train(make(seed), objective, rows, resolve_optimizer("adam", rate), batch_size=5, max_epochs=1, seed=seed)

    run(0, 0.1, 0.01, ROWS)
    compiled = times_compiled(run_chunk)
    run(0, 0.2, 0.01, ROWS)
    run(1, 0.1, 0.01, ROWS)
    run(0, 0.1, 0.02, ROWS)
    run(2, 0.3, 0.03, ROWS[::-1])
    assert times_compiled(run_chunk) == compiled


def test_nothing_is_trained_in_no_epoch():
    trained = fit(max_epochs=0)
    assert bits(trained.model) == bits(start())
    assert trained.history == []


def test_a_state_starts_with_copies():
    model = start()
    state = initial_state(model, resolve_optimizer("adam", 0.1), 3)
    assert isinstance(state, TrainingState)
    assert state.costs.shape == (3, 2)
    given = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(model)}
    assert given.isdisjoint(leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.model))
