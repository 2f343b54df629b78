"""How one auto-encoder is fitted: portions, going on, early stopping, callbacks, schedules, sample weights."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.sparse import csr_array

from contractive import DenoisingAutoencoder
from contractive.estimators._fitting import _as_reader
from contractive.estimators._parameters import make_contraction
from contractive.penalties import Contraction, Penalty, ReconstructionContraction, SpectralContraction
from contractive.training import EpochRecord, Progress
from toys import X, assert_same_training, bits, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")

# What is trained; each needs a compiled step of its own.
WAYS: dict[str, dict[str, Any]] = {
    "contractive": {},
    "in order": {"shuffle": False},
    "denoising momentum": {"kind": DenoisingAutoencoder, "optimizer": "momentum", "learning_rate": 0.01},
    "probed deep": {"penalty": "hutchinson", "hidden_layer_sizes": (9,)},
    "kernel": {"optimizer": "sgd", "learning_rate": 0.01, "batch_size": 10},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param]


def test_portions_are_epochs(way):
    whole, by_portions = small(max_epochs=3, **way).fit(X), small(**way)
    for _ in range(3):
        by_portions.partial_fit(X)
    assert_same_training(whole, by_portions)


def test_warm_start_goes_on_where_the_last_fit_ended(way):
    whole, resumed = small(max_epochs=5, **way).fit(X), small(max_epochs=3, warm_start=True, **way).fit(X)
    assert bits(whole) != bits(resumed)
    resumed.set_params(max_epochs=2).fit(X)
    assert_same_training(whole, resumed)
    assert resumed.n_epochs_ == 5


def test_fit_and_portions_may_be_mixed():
    assert_same_training(small(max_epochs=3).fit(X), small(max_epochs=2).fit(X).partial_fit(X))


def test_portions_may_be_of_any_size():
    estimator = small(batch_size=64)
    for start, stop in [(0, 100), (100, 101), (101, 200)]:
        estimator.partial_fit(X[start:stop])
    assert estimator.n_epochs_ == 3
    assert small(max_epochs=40, learning_rate=0.01).fit(X).score(X) > estimator.score(X)


def test_without_warm_start_nothing_of_the_last_fit_is_left():
    estimator = small(early_stopping=True).fit(X[:100])
    estimator.set_params(early_stopping=False).fit(X)
    assert_same_training(estimator, small().fit(X))
    assert not hasattr(estimator, "best_epoch_")
    with pytest.raises(ValueError, match="batch_size"):
        estimator.set_params(batch_size=201).fit(X)
    assert not hasattr(estimator, "model_")


def falls_then_rises(count: Any) -> Any:
    """A step size that turns negative: the error falls for some updates, then rises."""
    return jnp.where(count < 8, 0.01, -0.01)


def early(**parameters: Any) -> Any:
    return small(**{"early_stopping": True, "max_epochs": 9, "learning_rate": falls_then_rises} | parameters)


def held_out_rows(estimator: Any, rows: np.ndarray) -> np.ndarray:
    """Which rows may be anything without a change of the weights."""
    before = bits(estimator.fit(rows))
    mask = np.zeros(len(rows), bool)
    for number in range(len(rows)):
        poisoned = rows.copy()
        poisoned[number] = 1 - poisoned[number]
        curve = estimator.validation_loss_curve_
        mask[number] = bits(estimator.fit(poisoned)) == before
        assert estimator.validation_loss_curve_ != curve
    return mask


@pytest.mark.parametrize(("fraction", "n_held_out"), [(0.1, 2), (0.4, 8), (0.01, 1), (0.99, 19)])
def test_held_out_rows_are_never_trained_on(fraction: float, n_held_out: int):
    rows = X[:20]
    mask = held_out_rows(early(max_epochs=1, validation_fraction=fraction), rows)
    assert mask.sum() == n_held_out
    estimator = early(validation_fraction=fraction).fit(rows)
    # The same bits as without them: the weights kept are those after the best epoch.
    alone = early(early_stopping=False)
    for _ in range(estimator.best_epoch_):
        alone.partial_fit(rows[~mask])
    assert bits(estimator) == bits(alone)
    assert estimator.loss_curve_[: estimator.best_epoch_] == alone.loss_curve_
    kept_error = -estimator.score(rows[mask])
    assert kept_error == pytest.approx(min(estimator.validation_loss_curve_), rel=1e-6)
    assert estimator.best_epoch_ == 1 + np.argmin(estimator.validation_loss_curve_)
    assert 1 < estimator.best_epoch_ < estimator.n_epochs_


@pytest.mark.parametrize(("patience", "tol"), [(1, 0.0), (3, 0.0), (2, 0.05), (1, 1e9), (4, 1e9)])
def test_training_stops_after_epochs_without_an_improvement_by_tol(patience: int, tol: float):
    estimator = early(n_iter_no_change=patience, tol=tol, max_epochs=20).fit(X)
    best, waited, expected = np.inf, 0, 0
    for error in early(n_iter_no_change=99, max_epochs=20).fit(X).validation_loss_curve_:
        expected, waited = expected + 1, waited + 1
        if error < best - tol:
            best, waited = error, 0
        if waited == patience:
            break
    assert estimator.n_epochs_ == expected < 20
    assert len(estimator.validation_loss_curve_) == expected


def test_held_out_rows_count_by_their_weights():
    rows, weights = X[:20], np.arange(20.0)
    mask = held_out_rows(early(max_epochs=1, validation_fraction=0.3), rows)
    estimator = early(validation_fraction=0.3).fit(rows, sample_weight=weights)
    errors = np.average(-estimator.score_samples(rows[mask]), weights=weights[mask])
    assert errors == pytest.approx(min(estimator.validation_loss_curve_), rel=1e-6)
    equal = early(validation_fraction=0.3).fit(rows, sample_weight=np.where(mask, 0, 7))
    assert_same_training(equal, early(validation_fraction=0.3).fit(rows))


def test_held_out_rows_of_a_denoiser_are_corrupted():
    # All masked: what is reconstructed is what is made of zeros.
    estimator = early(kind=DenoisingAutoencoder, corruption_level=1.0, loss="squared_error").fit(X[:20])
    mask = held_out_rows(early(max_epochs=1), X[:20])
    made = estimator.reconstruct(np.zeros_like(X[:1]))
    expected = np.sum((X[:20][mask] - made) ** 2, axis=1).mean()
    assert expected == pytest.approx(min(estimator.validation_loss_curve_), rel=1e-5)


def test_callbacks_see_every_epoch_of_a_fitted_estimator():
    seen = []

    def look(estimator, event):
        if isinstance(event, EpochRecord):
            seen.append((event, estimator.n_epochs_, estimator.transform(X)))

    estimator = small(max_epochs=3, callbacks=[look]).fit(X)
    assert [event for event, _, _ in seen] == estimator.history_
    assert [n_epochs for _, n_epochs, _ in seen] == [1, 2, 3]
    for n_epochs in (1, 2, 3):
        np.testing.assert_array_equal(seen[n_epochs - 1][2], small(max_epochs=n_epochs).fit(X).transform(X))


def test_callbacks_see_progress_within_an_epoch():
    events = []
    small(batch_size=1, max_epochs=1, callbacks=[lambda _, event: events.append(event)]).fit(X)
    progress, [record] = events[:-1], events[-1:]
    assert isinstance(record, EpochRecord)
    assert all(isinstance(event, Progress) and event.epoch == 1 for event in progress)
    rows = [event.rows for event in progress]
    assert rows == sorted(set(rows))
    assert rows[0] < rows[-1] == len(X)
    assert progress[-1].reconstruction_error == record.reconstruction_error


def test_a_callback_stops_at_a_chunk():
    options = {"batch_size": 1, "shuffle": False, "max_epochs": 9}
    seen = []

    def stop(_, event):
        seen.append(event)
        return isinstance(event, Progress)

    estimator = small(callbacks=[stop], **options).fit(X)
    assert [type(event) for event in seen] == [Progress, EpochRecord]
    rows = seen[0].rows
    assert rows < len(X)
    assert estimator.n_epochs_ == 1
    part = small(**options | {"max_epochs": 1}).fit(X[:rows])
    np.testing.assert_allclose(estimator.components_, part.components_, rtol=1e-5)
    assert estimator.loss_curve_ == pytest.approx(part.loss_curve_, rel=1e-6)


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_callback_stops_at_an_epoch_and_all_are_called(answer):
    called = []
    ends = [lambda _, event: answer if isinstance(event, EpochRecord) and event.epoch == 2 else None]
    estimator = small(max_epochs=9, callbacks=[*ends, lambda _, event: called.append(event)]).fit(X)
    assert_same_training(estimator, small(max_epochs=2).fit(X))
    assert called[-1].epoch == 2


@pytest.mark.parametrize("answer", [None, False, 1, "yes", np.ones(2)])
def test_other_answers_do_not_stop(answer):
    assert small(callbacks=[lambda _, event: answer]).fit(X).n_epochs_ == 2


def test_an_error_in_a_callback_leaves_the_finished_epochs():
    def fail(estimator, event):
        if isinstance(event, EpochRecord) and event.epoch == 2:
            raise RuntimeError("enough")

    estimator = small(max_epochs=9, callbacks=[fail])
    with pytest.raises(RuntimeError, match="enough"):
        estimator.fit(X)
    assert_same_training(estimator, small(max_epochs=2).fit(X))


def test_a_cost_that_is_not_finite_leaves_the_finished_epochs():
    estimator = small(max_epochs=9, optimizer="sgd", learning_rate=lambda count: jnp.where(count < 4, 1e-3, 1e30))
    with pytest.raises(FloatingPointError, match="the cost is not finite in epoch 3"):
        estimator.set_params(loss="squared_error").fit(X)
    assert estimator.n_epochs_ == 2
    assert np.isfinite(estimator.score(X))


@pytest.mark.parametrize("user_has_64_bits", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_callbacks_and_other_threads_keep_the_users_precision(dtype: str, user_has_64_bits: bool):
    expected = np.dtype("float64" if user_has_64_bits else "float32")
    seen = []

    def look(estimator, event):
        with ThreadPoolExecutor(1) as thread:
            seen.append((jnp.ones(1).dtype, thread.submit(lambda: jnp.ones(1).dtype).result()))
        if isinstance(event, EpochRecord):
            assert estimator.transform(X.astype(dtype)).dtype == dtype

    with jax.enable_x64(user_has_64_bits):
        small(callbacks=[look]).fit(X.astype(dtype))
        assert jnp.ones(1).dtype == expected
    assert {own for own, _ in seen} == {expected}
    assert {other for _, other in seen} == {np.dtype("float32")}  # threads start as JAX is set up


def test_threads_train_in_both_precisions_at_once():
    kinds = ["float32", "float64"] * 2
    alone = {dtype: bits(small(max_epochs=9).fit(X.astype(dtype))) for dtype in kinds[:2]}
    barrier = threading.Barrier(len(kinds))

    def fit(dtype: str) -> list[bytes]:
        barrier.wait()
        return bits(small(max_epochs=9).fit(X.astype(dtype)))

    with ThreadPoolExecutor(len(kinds)) as threads:
        assert [*threads.map(fit, kinds)] == [alone[dtype] for dtype in kinds]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_schedule_is_a_function_of_the_number_of_updates(optimizer: str):
    # Two updates an epoch: the first epoch alone moves the weights.
    schedule = optax.piecewise_constant_schedule(0.01, {2: 0.0})
    options = {"optimizer": optimizer, "loss": "squared_error"}
    scheduled = small(max_epochs=3, learning_rate=schedule, **options).fit(X)
    once = small(max_epochs=1, learning_rate=0.01, **options).fit(X)
    np.testing.assert_allclose(scheduled.components_, once.components_, rtol=1e-5, atol=1e-6)
    assert scheduled.loss_curve_[1] == pytest.approx(scheduled.loss_curve_[2], rel=1e-6)


def test_a_schedule_goes_on_with_the_training():
    schedule = optax.linear_schedule(0.1, 0.0, transition_steps=6)
    whole, by_portions = small(max_epochs=4, learning_rate=schedule).fit(X), small(learning_rate=schedule)
    for _ in range(4):
        by_portions.partial_fit(X)
    assert_same_training(whole, by_portions)


@pytest.mark.parametrize("parameters", [{}, {"kind": DenoisingAutoencoder}, {"penalty": "hutchinson"}], ids=str)
def test_a_weight_is_a_number_of_copies(parameters):
    rows, copies = X[:20], np.arange(20) % 3
    weighted = small(learning_rate=0.01, **parameters).fit(rows, sample_weight=copies)
    repeated = small(learning_rate=0.01, **parameters).fit(np.repeat(rows, copies, axis=0))
    plain = small(learning_rate=0.01, **parameters).fit(rows)
    np.testing.assert_allclose(weighted.components_, repeated.components_, rtol=2e-3, atol=1e-5)
    assert weighted.loss_curve_ == pytest.approx(repeated.loss_curve_, rel=1e-5)
    assert weighted.jacobian_norm_curve_ == pytest.approx(repeated.jacobian_norm_curve_, rel=1e-5)
    assert np.abs(weighted.components_ - plain.components_).max() > 1e-3


def test_rows_of_weight_zero_are_not_looked_at():
    weights = np.arange(200) % 4 / 3
    poisoned = np.where(weights[:, None] == 0, np.float32(1e6), X)
    for options in ({"batch_size": 10}, {"kind": DenoisingAutoencoder, "batch_size": 10}):
        one, other = (small(loss="squared_error", **options).fit(rows, sample_weight=weights) for rows in (X, poisoned))
        assert bits(one) == bits(other)


def test_only_the_proportions_of_weights_matter():
    weights = np.arange(1, 201)
    assert_same_training(*(small().fit(X, sample_weight=scale * weights) for scale in (1, 2**-20)))
    assert_same_training(small().fit(X, sample_weight=np.full(200, 3)), small().fit(X))
    assert_same_training(small().partial_fit(X, sample_weight=weights), small(max_epochs=1).fit(X, None, weights))


def test_sparse_rows_are_refused_where_several_processes_train_together():
    with pytest.raises(TypeError, match="`X` must be dense where several processes train together; got sparse rows"):
        _as_reader(csr_array(np.eye(3)))


@pytest.mark.parametrize(
    ("name", "penalty"),
    [
        ("spectral", SpectralContraction(0.3)),
        ("hutchinson", Contraction(0.3, "hutchinson", 2)),
        ("reconstruction", ReconstructionContraction(0.3)),
    ],
)
def test_penalties_by_their_names(name: str, penalty: Penalty):
    assert make_contraction(name, 0.3, 2) == penalty
