"""The training loop against plain gradient descent written in NumPy, and its promises about compiling and order."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float

from contractive import training
from contractive.models import AutoEncoder, initialize
from contractive.objectives import Objective
from contractive.penalties import Contraction, Penalty
from contractive.training import OPTIMIZERS, Progress, epoch_order, resolve_optimizer, train
from routes import sigmoid

ROWS = np.random.RandomState(0).uniform(size=(23, 6)).astype(np.float32)
CONTRACTIVE = Objective((Contraction(0.1),))


def start(dtype: Any = np.float32) -> AutoEncoder:
    return initialize(6, 4, rng=np.random.RandomState(1), loss="cross_entropy", dtype=dtype)


def fit(rows: np.ndarray = ROWS, objective: Objective = CONTRACTIVE, **options: Any):
    settings = {"batch_size": 5, "max_epochs": 2, "shuffle": False} | options
    return train(start(), objective, rows, resolve_optimizer("sgd", 0.1), **settings)


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
    model, history = fit(batch_size=batch_size, shuffle=shuffle, seed=3, engine=engine)

    def order(epoch):
        return epoch_order(23, batch_size, shuffle=shuffle, seed=3, epoch=epoch).ravel()[:23]

    expected, curve = descend_by_hand(ROWS, batch_size, 2, order)
    for array, by_hand in zip(jax.tree.leaves(model), expected, strict=True):
        np.testing.assert_allclose(array, by_hand, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose([record.reconstruction_error for record in history], curve, rtol=1e-5)


def test_curves_are_means_over_all_rows_when_nothing_is_learned():
    still = train(start(), CONTRACTIVE, ROWS, resolve_optimizer("sgd", 1e-30), batch_size=5, max_epochs=1)
    (record,) = still[1]
    model = start()
    errors = [float(model.reconstruction_loss.error(x, model.forward(x).output)) for x in jnp.asarray(ROWS)]
    norms = [float(jnp.linalg.norm(jax.jacfwd(model.encode)(x))) for x in jnp.asarray(ROWS)]
    assert record.reconstruction_error == pytest.approx(np.mean(errors), rel=1e-6)
    assert record.jacobian_norm == pytest.approx(np.mean(norms), rel=1e-6)


class CountTraces(Penalty):
    """A penalty of zero that notes each time it is traced."""

    coefficient: float | Float[Array, ""]
    seen: list[int] = eqx.field(static=True)

    def __call__(self, model, forward):
        self.seen.append(1)
        return jnp.zeros(())


class Names(list):
    """A list that hashes by identity, as a static field must."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


def test_the_step_is_traced_once_a_run_whatever_the_chunks(monkeypatch):
    monkeypatch.setattr(training, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(training, "_CHUNK_SECONDS", 1e-9)
    seen, chunks = Names(), []
    fit(objective=Objective((CountTraces(0.0, seen),)), max_epochs=3, on_chunk=chunks.append)
    assert len(chunks) == 15  # five minibatches an epoch, one a chunk, the short one included
    assert len(seen) == 1


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
        model, history = train(start(), CONTRACTIVE, ROWS, transformation, batch_size=4, max_epochs=3, engine=engine)
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model)], [record[:3] for record in history]

    whole = run()
    monkeypatch.setattr(training, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(training, "_CHUNK_SECONDS", 1e-9)
    assert run() == whole


def test_bytes_train_as_their_pixels_do():
    pixels = (ROWS * 255).astype(np.uint8)
    as_bytes, _ = fit(pixels, uint8_scale=256)
    as_floats, _ = fit(pixels.astype(np.float32) / 256)
    jax.tree.map(np.testing.assert_array_equal, as_bytes, as_floats)


def test_bytes_stay_bytes_on_the_device(monkeypatch):
    stored = []
    run_chunk = training.run_chunk

    def spy(state, **arguments):
        stored.append(arguments["stored"].dtype)
        return run_chunk(state, **arguments)

    monkeypatch.setattr(training, "run_chunk", spy)
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
    monkeypatch.setattr(training, "_FIRST_CHUNK", 2)
    monkeypatch.setattr(training, "_CHUNK_SECONDS", 1e-9)
    seen: list[Progress] = []
    _, history = fit(on_chunk=seen.append, max_epochs=1)
    assert [progress.rows for progress in seen] == [10, 15, 20, 23]
    assert seen[-1].reconstruction_error == history[0].reconstruction_error


def test_a_callback_that_returns_true_ends_the_training():
    _, history = fit(max_epochs=9, on_epoch=lambda record, model: record.epoch == 2)
    assert [record.epoch for record in history] == [1, 2]


def test_a_cost_that_is_not_finite_names_the_epoch():
    kept = []
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 2; got (nan|inf).*`learning_rate`"):
        # The first epoch ends in weights that overflow in the second.
        train(
            initialize(6, 4, rng=np.random.RandomState(1), activation="linear"),
            Objective(),
            ROWS,
            resolve_optimizer("sgd", 1e25),
            batch_size=23,
            max_epochs=9,
            on_epoch=lambda record, model: kept.append(record.epoch),
        )
    assert kept == [1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_named_optimizers_are_optax_s_and_shared(name):
    assert resolve_optimizer(name, 0.1) is resolve_optimizer(name, 0.1)
    reference = {"sgd": optax.sgd(0.1), "momentum": optax.sgd(0.1, momentum=0.9), "adam": optax.adam(0.1)}[name]
    gradients = [jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])]
    ours, theirs = resolve_optimizer(name, 0.1), reference
    our_state, their_state = ours.init(gradients[0]), theirs.init(gradients[0])
    for gradient in gradients:
        our_step, our_state = ours.update(gradient, our_state)
        their_step, their_state = theirs.update(gradient, their_state)
        np.testing.assert_array_equal(our_step, their_step)


def test_an_optimizer_of_the_users_own_is_taken_as_it_is():
    transformation = optax.rmsprop(0.01)
    assert resolve_optimizer(transformation, 1.0) is transformation


def test_something_that_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="`optimizer` must be a name or an optax transformation; got 3"):
        resolve_optimizer(3, 0.1)
