"""The classifiers: what they learn, from few labels too; what they keep, refuse and write down."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import contractive
from classifying import CAE, FEW, KINDS, X_VALID, Y_VALID, X, Y, make, weights_of
from contractive import (
    ContractiveAutoencoder,
    ContractiveClassifier,
    ManifoldTangentClassifier,
    StackedAutoencoder,
    TangentNeighborsClassifier,
)
from contractive.estimators import BaseClassifier, TangentProgress
from contractive.geometry import map_tangents
from contractive.penalties import Contraction
from contractive.serialization import read_model, write_model
from contractive.supervised import FineTuningProgress, FineTuningRecord
from toys import Convolution, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def test_it_learns_and_its_probabilities_are_calibrated(kind):
    classifier = make(kind, max_epochs=30).fit(X, Y)
    probabilities = classifier.predict_proba(X_VALID)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert classifier.score(X_VALID, Y_VALID) > 0.75
    assert log_loss(Y_VALID, probabilities) < 1.1  # guessing: 2.3
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X_VALID)), probabilities)
    np.testing.assert_array_equal(classifier.predict(X_VALID), classifier.classes_[probabilities.argmax(axis=1)])
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0] / 2


def test_the_representation_is_fitted_on_all_rows_with_a_seed_of_its_own(kind):
    unfitted = small(n_components=20, random_state=None)
    classifier = make(kind, representation=unfitted, unlabeled=-1).fit(X, FEW)
    seed = classifier.representation_.random_state
    again = small(n_components=20, random_state=seed).fit(X)
    np.testing.assert_array_equal(classifier.representation_.components_, again.components_)
    assert unfitted.random_state is None
    assert not hasattr(unfitted, "model_")
    # Fine-tuning has moved a copy of it.
    assert (np.asarray(classifier.classifier_.autoencoder.weight) != again.components_).any()


def test_a_frozen_representation_is_used_as_it_is(kind):
    classifier = make(kind).fit(X, Y)
    assert classifier.representation_ is CAE
    copied: Any = clone(classifier)
    assert copied.fit(X, Y).representation_ is CAE


def test_rows_without_labels_count_only_where_a_term_uses_them():
    labeled = make().fit(X[:60], Y[:60])
    assert weights_of(labeled) == weights_of(make(unlabeled=-1, batch_size=60).fit(X, FEW))
    for options in ({"smoothness": "spectral"}, {"contraction": 0.1}):
        assert weights_of(labeled) != weights_of(make(unlabeled=-1, batch_size=60, **options).fit(X, FEW))


def test_tangents_of_rows_without_labels_are_used():
    classifiers = [
        make(ManifoldTangentClassifier, unlabeled=-1, batch_size=60, tangent_weight=weight).fit(X, FEW)
        for weight in (0.0, 100.0)
    ]
    assert weights_of(classifiers[0]) == weights_of(make().fit(X[:60], Y[:60]))

    def change_along_tangents(classifier: Any) -> float:
        planes = map_tangents(CAE.model_, X, 3)

        def push(x: Any, plane: Any) -> Any:
            return jnp.sum((plane @ jax.jacrev(classifier.classifier_.probabilities)(x).T) ** 2)

        return float(jnp.mean(jax.vmap(push)(jnp.asarray(X), jnp.asarray(planes))))

    plain, tangent = map(change_along_tangents, classifiers)
    assert tangent < plain / 2


def test_the_output_holds_still_at_the_end_of_a_step_along_the_tangents(tmp_path):
    options: dict[str, Any] = {"batch_size": 60, "n_tangents": 3, "tangent_weight": 1.0, "max_epochs": 20}
    slopes, steps = (
        make(ManifoldTangentClassifier, unlabeled=-1, **options, tangent_radius=radius).fit(X, FEW)
        for radius in (None, 2.0)
    )
    planes = map_tangents(CAE.model_, X, 3)

    def moved_away(classifier: Any) -> float:
        """How far the output is from that at the row, at the worst of both ends of the three tangents."""
        here = classifier.predict_proba(X)
        ends = [classifier.predict_proba(X + step * planes[:, k]) for k in range(3) for step in (2, -2)]
        return float(np.mean(np.max([np.abs(there - here).sum(axis=1) for there in ends], axis=0)))

    assert moved_away(steps) < 0.9 * moved_away(slopes)
    steps.save(tmp_path / "m.safetensors")
    assert contractive.load(tmp_path / "m.safetensors").tangent_radius == 2.0


def test_smoothness_makes_few_labels_go_further():
    plain = make(unlabeled=-1, max_epochs=40).fit(X, FEW)
    options = {"smoothness": "spectral", "smoothness_radius": 1.5, "smoothness_weight": 1.0}
    smooth = make(unlabeled=-1, max_epochs=40, **options).fit(X, FEW)
    assert smooth.score(X_VALID, Y_VALID) > plain.score(X_VALID, Y_VALID)


@pytest.mark.parametrize("labels", [Y.astype(str), np.where(Y > 4, "high", "low"), Y > 4, Y * 10 - 5])
def test_labels_of_any_kind(labels):
    classifier = make(max_epochs=2).fit(X, labels)
    np.testing.assert_array_equal(classifier.classes_, np.unique(labels))
    assert classifier.predict(X).dtype == np.asarray(labels).dtype
    assert weights_of(classifier) == weights_of(make(max_epochs=2).fit(X, np.unique(labels, return_inverse=True)[1]))


def test_a_text_may_stand_for_no_label():
    texts = np.where(FEW < 0, "?", FEW.astype(str))
    numbers = make(unlabeled=-1).fit(X, FEW)
    assert weights_of(make(unlabeled="?").fit(X, texts)) == weights_of(numbers)
    assert list(make(unlabeled="?").fit(X, texts).classes_) == [str(digit) for digit in range(10)]


def test_minus_one_is_a_class_unless_it_is_said_to_be_none():
    assert -1 in make(max_epochs=1).fit(X, FEW).classes_


def test_the_best_epoch_of_validation_rows_is_kept():
    # The step size turns around, so that later epochs are worse.
    turning = lambda count: jnp.where(count < 6, 0.02, -0.05)  # noqa: E731
    classifier = make(learning_rate=turning, max_epochs=8, batch_size=100)
    classifier.fit(X, Y, validation_data=(X_VALID, Y_VALID))
    rates = classifier.validation_error_curve_
    assert len(rates) == 8
    assert classifier.best_epoch_ == 1 + int(np.argmin(rates)) < 8
    assert np.isclose(1 - classifier.score(X_VALID, Y_VALID), min(rates))
    record = classifier.history_[classifier.best_epoch_ - 1]
    assert np.isclose(record.validation_log_loss, log_loss(Y_VALID, classifier.predict_proba(X_VALID)), rtol=1e-5)


def test_early_stopping_holds_out_some_of_each_class():
    classifier = make(early_stopping=True, validation_fraction=0.3, n_iter_no_change=2, max_epochs=200)
    classifier.fit(X, Y)
    assert classifier.n_epochs_ < 200
    rates = np.array(classifier.validation_error_curve_)
    n_held_out = sum(round(0.3 * count) for count in np.bincount(Y))
    np.testing.assert_allclose(rates * n_held_out, np.round(rates * n_held_out), atol=1e-9)


def test_same_seed_same_bits_and_other_seed_other_bits(kind):
    options = {"dropout": 0.3, "input_dropout": 0.1, "smoothness": "spectral", "unlabeled": -1, "batch_size": 50}
    one, two = (make(kind, **options).fit(X, FEW) for _ in range(2))
    assert weights_of(one) == weights_of(two)
    assert weights_of(one) != weights_of(make(kind, **options, random_state=1).fit(X, FEW))


def test_chunks_do_not_change_the_bits(monkeypatch):
    options = {"unlabeled": -1, "batch_size": 30, "tangent_weight": 1.0, "max_epochs": 3}
    whole = make(ManifoldTangentClassifier, **options).fit(X, FEW)
    monkeypatch.setattr("contractive.supervised._loop._MAX_CHUNK", 3)
    assert weights_of(make(ManifoldTangentClassifier, **options).fit(X, FEW)) == weights_of(whole)


@pytest.mark.parametrize("store", [sparse.csr_array, sparse.csr_matrix, lambda rows: rows.astype("float32")])
def test_ways_to_store_the_rows(store):
    options = {"smoothness": "spectral", "unlabeled": -1, "batch_size": 64, "max_epochs": 3}
    dense = make(**options).fit(X, FEW)
    other = make(**options).fit(store(X), FEW)
    np.testing.assert_allclose(other.predict_proba(store(X)), dense.predict_proba(X), rtol=1e-4, atol=1e-6)


def test_bytes_are_read_as_the_representation_reads_them():
    pixels = np.round(X * 255).astype("uint8")
    bytewise = make(representation=FrozenEstimator(small(n_components=20).fit(pixels)), max_epochs=3).fit(pixels, Y)
    floats = (pixels / np.float32(256)).astype("float32")
    floating = make(representation=FrozenEstimator(small(n_components=20).fit(floats)), max_epochs=3).fit(floats, Y)
    assert weights_of(bytewise) == weights_of(floating)


def test_tangents_that_do_not_fit_are_mapped_and_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path))
    options = {"unlabeled": -1, "tangent_weight": 5.0, "max_epochs": 3}
    inside = make(ManifoldTangentClassifier, **options).fit(X, FEW)
    monkeypatch.setattr("contractive.estimators._tangent_planes.MAX_BYTES", 1000)
    seen: list[list[str]] = []

    def look(estimator: Any, event: Any) -> None:
        if not isinstance(event, TangentProgress):  # until then the file is being written
            seen.append([path.name for path in tmp_path.iterdir()])

    watch = [look]
    mapped = make(ManifoldTangentClassifier, callbacks=watch, **options).fit(X, FEW)
    assert not any(seen), "the file has no name that could be left behind"
    np.testing.assert_allclose(mapped.predict_proba(X), inside.predict_proba(X), atol=0.02)
    assert weights_of(mapped) != weights_of(inside)  # float16 it was


def test_tangents_are_kept_for_other_fits_with_the_same_rows_and_encoder(tmp_path):
    frozen = FrozenEstimator(small(n_components=20).fit(X))
    found: list[str] = []

    def fit(rows: np.ndarray = X, **options: Any) -> Any:
        listen = [lambda estimator, event: found.append("found") if isinstance(event, TangentProgress) else None]
        options = {"representation": frozen, "n_tangents": 4, "callbacks": listen, "max_epochs": 2, **options}
        return make(ManifoldTangentClassifier, tangent_cache=tmp_path / "kept", **options).fit(rows, Y)

    first = fit()
    assert found
    found.clear()
    assert weights_of(fit()) == weights_of(first)
    assert weights_of(fit(tangent_weight=5.0)) != weights_of(first)
    assert not found, "they were read"
    (kept,) = (tmp_path / "kept").iterdir()
    np.testing.assert_allclose(np.load(kept), frozen.estimator.tangents(X, 4), atol=1e-3)
    other = FrozenEstimator(small(n_components=20, contraction=0.5).fit(X))
    changes: list[dict[str, Any]] = [{"representation": other}, {"n_tangents": 5}, {"rows": X[::-1].copy()}]
    for changed in changes:
        fit(**changed)
        assert found, changed
        found.clear()
    kept.write_bytes(kept.read_bytes()[:-1])  # cut short: found anew
    assert weights_of(fit()) == weights_of(first)
    assert found
    assert all(path.name.startswith("tangents-") for path in (tmp_path / "kept").iterdir())


def test_tangents_of_an_own_encoder_are_not_kept(monkeypatch, tmp_path):
    fitted = FrozenEstimator(small(activation=jnp.tanh).fit(X))
    monkeypatch.setattr("contractive.estimators._base_classifier.fit_representation", None)  # it is not asked to
    for own in (
        fitted,
        small(activation=jnp.tanh),
        small(encoder=Convolution()),
        FrozenEstimator(small(encoder=Convolution()).fit(X)),
        StackedAutoencoder([small(), small(activation=jnp.tanh)]),
        FrozenEstimator(StackedAutoencoder([small(encoder=Convolution())]).fit(X)),
    ):
        with pytest.raises(TypeError, match="`tangent_cache` must be None with a function of the user's own"):
            make(ManifoldTangentClassifier, representation=own, tangent_cache=tmp_path).fit(X, Y)
    assert not [*tmp_path.iterdir()]
    with pytest.raises(TypeError, match="`tangent_cache` must be the path of a folder, or None; got 3."):
        make(ManifoldTangentClassifier, tangent_cache=3).fit(X, Y)


def test_callbacks_hear_of_both_trainings_and_may_stop():
    events: list[Any] = []

    def listen(estimator: Any, event: Any) -> bool:
        events.append(event)
        return isinstance(event, FineTuningRecord) and event.epoch == 2

    classifier = make(representation=small(n_components=5), callbacks=[listen], max_epochs=9).fit(X, Y)
    assert classifier.n_epochs_ == 2
    names = [type(event).__name__ for event in events]
    assert names.index("EpochRecord") < names.index("FineTuningProgress") < names.index("FineTuningRecord")
    progress = [event for event in events if isinstance(event, FineTuningProgress)]
    assert progress[-1].rows == len(X)


def test_the_closed_form_of_one_layer_is_what_is_chosen_for_it():
    one, other = (make(contraction=0.1, penalty=penalty, max_epochs=2).fit(X, Y) for penalty in ("closed_form", "auto"))
    assert weights_of(one) == weights_of(other)


def test_the_user_hears_of_the_tangents_and_may_interrupt_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path))
    monkeypatch.setattr("contractive.geometry._mapped._CHUNK_BYTES", 60 * 2 * X.shape[1] * 4)
    monkeypatch.setattr("contractive.estimators._tangent_planes.MAX_BYTES", 0)
    heard: list[TangentProgress] = []

    def listen(estimator: Any, event: Any) -> None:
        assert isinstance(estimator, ManifoldTangentClassifier)
        if isinstance(event, TangentProgress):
            heard.append(event)
            if event.rows > 40:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(ManifoldTangentClassifier, n_tangents=2, callbacks=[listen]).fit(X, Y)
    assert heard == [TangentProgress(32, len(X)), TangentProgress(64, len(X))]
    assert not [*tmp_path.iterdir()], "what was written of them is gone"


def test_weights_of_rows(kind):
    doubled = np.concatenate([X, X[:50]]).astype("float64"), np.concatenate([Y, Y[:50]])
    weights = np.where(np.arange(200) < 50, 2, 1)
    options: dict[str, Any] = {"max_epochs": 3, "batch_size": 250}
    options["representation"] = small(n_components=6, max_epochs=1, batch_size=250)
    repeated = make(kind, **options).fit(*doubled)
    options["representation"] = small(n_components=6, max_epochs=1, batch_size=200)
    options["batch_size"] = 200
    weighted = make(kind, **options).fit(X.astype("float64"), Y, sample_weight=weights)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


def test_max_norm_and_decay_are_what_they_say():
    classifier = make(max_norm=0.5).fit(X, Y)
    for leaf in (classifier.classifier_.weight, classifier.classifier_.autoencoder.weight):
        assert np.linalg.norm(leaf, axis=1).max() <= 0.5 * (1 + 1e-6)
    decayed, scheduled = (
        make(max_epochs=4, batch_size=50, **options).fit(X, Y)
        for options in ({"learning_rate_decay": "linear"}, {"learning_rate": optax.linear_schedule(0.01, 0, 16)})
    )
    assert weights_of(decayed) == weights_of(scheduled)


def test_penalties_of_ones_own_are_kept_on():
    named = make(contraction=0.2).fit(X, Y)
    assert weights_of(make(penalty=Contraction(0.2)).fit(X, Y)) == weights_of(named)
    assert weights_of(make().fit(X, Y)) != weights_of(named)
    assert named.classifier_.dtype == np.float32


@pytest.mark.parametrize("labels", [Y, Y.astype(str), Y > 4])
def test_a_file_gives_back_the_classifier(kind, labels, tmp_path):
    classifier = make(kind, max_epochs=3, dropout=0.2).fit(
        X, labels, validation_data=(X_VALID, labels[:250].repeat(2)[:250])
    )
    classifier.save(tmp_path / "model.safetensors")
    again = contractive.load(tmp_path / "model.safetensors")
    assert type(again) is type(classifier)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), classifier.predict(X))
    assert again.classes_.dtype == classifier.classes_.dtype
    assert again.history_ == classifier.history_
    assert again.best_epoch_ == classifier.best_epoch_
    assert again.get_params()["dropout"] == 0.2
    assert isinstance(again.representation, ContractiveAutoencoder)
    again.fit(X, labels)


def test_a_stack_is_fine_tuned_whole_and_written_down(tmp_path):
    stack = StackedAutoencoder([small(n_components=12), small(n_components=8)], random_state=0).fit(X)
    classifier = make(representation=FrozenEstimator(stack), dropout=0.1, max_epochs=3).fit(X, Y)
    for before, after in zip(stack.model_.layers, classifier.classifier_.autoencoder.layers, strict=True):
        assert (np.asarray(before.weight) != np.asarray(after.weight)).any()
    classifier.save(tmp_path / "model.safetensors")
    again = contractive.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda arrays, description: arrays.update({"output.weight": arrays["output.weight"][:, 1:]}), "output.weight"),
        (lambda arrays, description: description.update(n_features=63), "63 features and 10 classes; got 64 and 10"),
        (lambda arrays, description: description["classes"].update(values=[0, 1]), "64 features and 2 classes"),
    ],
)
def test_files_that_describe_no_classifier_are_refused_by_name(damage, words, tmp_path):
    path = tmp_path / "model.safetensors"
    make(max_epochs=1).fit(X, Y).save(path)
    arrays, description = read_model(path)
    damage(arrays, description)
    write_model(path, arrays, description)
    with pytest.raises(ValueError, match=re.escape(repr(str(path)))) as caught:
        contractive.load(path)
    assert words in str(caught.value)


def test_names_of_features_come_back(tmp_path):
    table = pandas.DataFrame(X, columns=[f"pixel {number}" for number in range(64)])
    make(max_epochs=1, representation=FrozenEstimator(small().fit(table))).fit(table, Y).save(
        tmp_path / "m.safetensors"
    )
    assert contractive.load(tmp_path / "m.safetensors").feature_names_in_.tolist() == table.columns.tolist()
    with pytest.raises(ValueError, match=r"`encoder` and `decoder` must be None for a classifier"):
        contractive.load(tmp_path / "m.safetensors", encoder=Convolution())


def test_verbose_prints_each_epoch(capsys):
    classifier = make(max_epochs=2, verbose=True).fit(X, Y)
    assert capsys.readouterr().out.splitlines() == [str(record) for record in classifier.history_]


def test_searches_and_pipelines():
    search = GridSearchCV(make(max_epochs=3), {"learning_rate": [1e-6, 0.02]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"learning_rate": 0.02}
    pipeline = make_pipeline(MinMaxScaler(), make(representation=small(n_components=5), max_epochs=3)).fit(X, Y)
    assert pipeline.predict(X).shape == (200,)


def test_neighbors_by_tangent_distance_are_those_of_numpy():
    neighbors = make(TangentNeighborsClassifier, n_neighbors=3).fit(X[:40], Y[:40])
    distances, places = neighbors.kneighbors(X_VALID[:10])
    planes, others = (map_tangents(CAE.model_, rows, 3) for rows in (X_VALID[:10], X[:40]))
    for row in range(10):
        expected = []
        for other in range(40):
            d, span = X_VALID[row] - X[other], np.concatenate([planes[row], others[other]]).T
            expected.append(np.linalg.norm(d - span @ np.linalg.lstsq(span, d, rcond=None)[0]))
        np.testing.assert_array_equal(places[row], np.argsort(expected)[:3])
        np.testing.assert_allclose(distances[row], np.sort(expected)[:3], rtol=1e-3)
    votes = (Y[:40][places][:, :, None] == np.unique(Y[:40])).mean(axis=1)
    np.testing.assert_array_equal(neighbors.predict_proba(X_VALID[:10]), votes)


def test_neighbors_keep_their_planes_exact_however_many_they_are(monkeypatch):
    # Of a code of 20 units 15 tangents of different rows nearly share directions.
    whole = make(TangentNeighborsClassifier, n_tangents=15).fit(X, Y)
    monkeypatch.setattr("contractive.estimators._tangent_planes.MAX_BYTES", 1000)
    many = make(TangentNeighborsClassifier, n_tangents=15).fit(X, Y)
    np.testing.assert_array_equal(many.kneighbors(X_VALID[:20])[0], whole.kneighbors(X_VALID[:20])[0])
    assert whole.score(X_VALID[:100], Y_VALID[:100]) > 0.5


def test_neighbors_without_labels_are_left_out():
    neighbors = make(TangentNeighborsClassifier, unlabeled=-1).fit(X, FEW)
    alone = make(TangentNeighborsClassifier).fit(X[:60], Y[:60])
    np.testing.assert_array_equal(neighbors.predict(X_VALID), alone.predict(X_VALID))
    assert KNeighborsClassifier(1).fit(X[:60], Y[:60]).score(X_VALID, Y_VALID) > 0.5


def test_all_kinds_are_classifiers_of_the_package():
    assert issubclass(ContractiveClassifier, BaseClassifier)
    with pytest.raises(NotFittedError):
        make().predict(X)
    with pytest.raises(NotFittedError):
        make(TangentNeighborsClassifier).predict(X)
