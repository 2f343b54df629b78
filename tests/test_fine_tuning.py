"""The loop of fine-tuning: which rows it walks, what it does in a step, what it refuses to go on with."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import softmax

from contractive.models import AutoEncoder, Classifier
from contractive.supervised import SupervisedObjective, SupervisedRows, fine_tune, minibatches_an_epoch
from contractive.supervised._loop import _walks, run_supervised_chunk
from contractive.training import decayed_rate, resolve_optimizer

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.RandomState(0)
ROWS = RNG.normal(size=(23, 4))
LABELS = RNG.randint(3, size=23)
FEW = np.where(np.arange(23) % 4 == 0, LABELS, -1)
POOL = SupervisedObjective(smoothness_weight=0.1)


def linear_classifier() -> Classifier:
    """Logistic regression: an encoder that gives back x, whose gradient is worked out by hand below."""
    encoder = AutoEncoder(jnp.eye(4), jnp.zeros(4), jnp.zeros(4), activation="linear")
    return Classifier(encoder, jnp.zeros((3, 4)), jnp.zeros(3))


def walks(rows: SupervisedRows, objective: SupervisedObjective, batch_size: int, **options: Any) -> Any:
    return _walks(rows, objective, batch_size, **({"shuffle": True, "seed": 0, "epoch": 1} | options))


def counted(order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    assert ((order >= 0) == (weights > 0)).all()
    return np.bincount(order[weights > 0], minlength=23)


@pytest.mark.parametrize("batch_size", [5, 23, 100])
def test_an_epoch_goes_once_through_the_labelled_rows(batch_size):
    rows = SupervisedRows(ROWS, FEW)
    labeled, everything = walks(rows, SupervisedObjective(), batch_size)
    assert everything is None
    np.testing.assert_array_equal(counted(*labeled), FEW >= 0)
    np.testing.assert_allclose(labeled.row_weights.sum(axis=1), 1)
    assert len(labeled.order) == minibatches_an_epoch(rows, SupervisedObjective(), batch_size)


@pytest.mark.parametrize("batch_size", [2, 5, 23, 100])
def test_beside_all_rows_goes_a_minibatch_of_labelled_ones(batch_size):
    rows = SupervisedRows(ROWS, FEW)
    labeled, everything = walks(rows, POOL, batch_size)
    np.testing.assert_array_equal(counted(*everything), np.ones(23))
    np.testing.assert_allclose(everything.row_weights.sum(axis=1), 1)
    times = counted(*labeled)
    assert (times[FEW < 0] == 0).all()
    assert np.ptp(times[FEW >= 0]) <= 1, "each as often as the others"
    assert len(labeled.order) == len(everything.order) == minibatches_an_epoch(rows, POOL, batch_size)


def test_where_all_rows_have_labels_there_is_one_walk():
    assert walks(SupervisedRows(ROWS, LABELS), POOL, 5)[1] is None


def test_orders_are_those_of_seed_and_epoch():
    rows = SupervisedRows(ROWS, FEW)
    orders = [walks(rows, POOL, 5, seed=seed, epoch=epoch) for seed, epoch in ((0, 1), (0, 1), (1, 1), (0, 2))]
    for place in (0, 1):
        same, other_seed, other_epoch = ((orders[0][place].order == orders[n][place].order).all() for n in (1, 2, 3))
        assert (same, other_seed, other_epoch) == (True, False, False)
    plain = walks(rows, POOL, 5, shuffle=False)
    np.testing.assert_array_equal(plain[1].order.ravel()[:23], np.arange(23))


@pytest.mark.parametrize("weights", [None, np.linspace(0.2, 1.8, 23)])
def test_training_is_gradient_descent_worked_out_by_hand(weights):
    trained = fine_tune(
        linear_classifier(),
        SupervisedObjective(),
        SupervisedRows(ROWS, LABELS, weights),
        optax.sgd(0.1),
        batch_size=5,
        max_epochs=2,
        shuffle=False,
    )
    encoder, hidden_bias, weight, bias = np.eye(4), np.zeros(4), np.zeros((3, 4)), np.zeros(3)
    for _ in range(2):
        for start in range(0, 23, 5):
            part = slice(start, start + 5)
            x, own = ROWS[part], (np.ones(23) if weights is None else weights)[part]
            h = x @ encoder.T + hidden_bias
            change = softmax(h @ weight.T + bias, axis=1) - np.eye(3)[LABELS[part]]
            change *= own[:, None] / len(x)
            back = change @ weight
            weight, bias = weight - 0.1 * change.T @ h, bias - 0.1 * change.sum(axis=0)
            encoder, hidden_bias = encoder - 0.1 * back.T @ x, hidden_bias - 0.1 * back.sum(axis=0)
    np.testing.assert_allclose(trained.weight, weight, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(trained.bias, bias, rtol=1e-10, atol=1e-12)
    assert isinstance(trained.autoencoder, AutoEncoder)
    np.testing.assert_allclose(trained.autoencoder.weight, encoder, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(trained.autoencoder.hidden_bias, hidden_bias, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("warmup", "radii"), [(0, [1.2, 1.2]), (1, [1.2, 1.2]), (3, [0.4, 0.8, 1.2, 1.2])])
def test_the_radius_grows_to_its_value(monkeypatch, warmup, radii):
    used: list[float] = []

    def watched(*arguments: Any, objective: SupervisedObjective, **others: Any) -> Any:
        used.append(float(objective.smoothness_radius))
        return run_supervised_chunk(*arguments, objective=objective, **others)

    monkeypatch.setattr("contractive.supervised._loop.run_supervised_chunk", watched)
    fine_tune(
        linear_classifier(),
        SupervisedObjective(smoothness_weight=1.0, smoothness_radius=jnp.asarray(1.2)),
        SupervisedRows(ROWS, FEW),
        optax.sgd(0.1),
        batch_size=23,
        max_epochs=len(radii),
        smoothness_warmup=warmup,
    )
    np.testing.assert_allclose(used, radii, rtol=1e-12)


def test_records_are_means_over_labelled_rows_before_each_update():
    records: list[Any] = []
    progress: list[Any] = []
    fine_tune(
        linear_classifier(),
        SupervisedObjective(),
        SupervisedRows(ROWS, LABELS),
        optax.sgd(0.0),
        batch_size=5,
        max_epochs=2,
        validate=lambda classifier: (0.5, 0.25),
        on_epoch=lambda classifier, record: records.append(record),
        on_chunk=progress.append,
    )
    assert [record.epoch for record in records] == [1, 2]
    np.testing.assert_allclose([record.log_loss for record in records], np.log(3), rtol=1e-12)
    # Among equal scores the first class is taken.
    np.testing.assert_allclose([record.error_rate for record in records], np.mean(LABELS != 0), rtol=1e-12)
    assert [record[-2:] for record in records] == [(0.5, 0.25)] * 2
    assert progress[-1].rows == 23


@pytest.mark.parametrize(("place", "n_epochs"), [("on_chunk", 1), ("on_epoch", 2)])
def test_it_stops_where_it_is_told_to(place, n_epochs):
    records: list[Any] = []

    def finish_epoch(classifier: Any, record: Any) -> bool:
        records.append(record)
        return place == "on_epoch" and record.epoch == 2

    fine_tune(
        linear_classifier(),
        SupervisedObjective(),
        SupervisedRows(ROWS, LABELS),
        optax.sgd(0.1),
        batch_size=23,
        max_epochs=5,
        on_epoch=finish_epoch,
        on_chunk=lambda progress: place == "on_chunk",
    )
    assert len(records) == n_epochs


def test_a_cost_that_is_not_finite_names_its_epoch():
    with pytest.raises(FloatingPointError, match="the cost is not finite in epoch 3; got"):
        fine_tune(
            linear_classifier(),
            SupervisedObjective(),
            SupervisedRows(ROWS, LABELS),
            optax.sgd(optax.piecewise_constant_schedule(0.1, {1: 1e300})),
            batch_size=23,
            max_epochs=5,
        )


@pytest.mark.parametrize(("name", "shares"), [("none", (1, 1, 1)), ("linear", (1, 0.5, 0)), ("cosine", (1, 0.5, 0))])
def test_the_step_size_falls_as_it_says(name, shares):
    rate = decayed_rate(name, 0.2, 10)
    values: list[Any] = [np.asarray(rate(count)) if callable(rate) else rate for count in (0, 5, 10)]
    np.testing.assert_allclose(values, 0.2 * np.array(shares), atol=1e-9)
    # The same object for the same arguments, so that the compiled step is shared.
    assert resolve_optimizer("adam", decayed_rate(name, 0.2, 10)) == resolve_optimizer("adam", rate)


def test_records_are_the_same_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch):
    def losses() -> list[tuple[float, float]]:
        found: list[Any] = []
        fine_tune(
            linear_classifier(),
            SupervisedObjective(),
            SupervisedRows(ROWS, LABELS),
            optax.sgd(0.1),
            batch_size=4,
            max_epochs=2,
            on_epoch=lambda classifier, record: found.append((record.log_loss, record.error_rate)),
        )
        return found

    whole = losses()
    monkeypatch.setattr("contractive.supervised._loop._MAX_CHUNK", 2)
    np.testing.assert_allclose(losses(), whole, rtol=1e-12)
