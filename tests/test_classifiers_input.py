"""What classifiers are given: refused in a line, or counted and kept as it is."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier

import contractive
from classifying import CAE, FEW, X_VALID, Y_VALID, X, Y, make, weights_of
from contractive import (
    ContractiveAutoencoder,
    ContractiveClassifier,
    ManifoldTangentClassifier,
    TangentNeighborsClassifier,
)
from contractive.estimators._labels import split_stratified
from contractive.supervised import FineTuningRecord
from toys import Convolution, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")


WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (
        {"unlabeled": -1},
        np.full(200, -1),
        ValueError,
        "`y` must have labels; got 200 rows, all of them `unlabeled` (-1).",
    ),
    ({}, np.zeros(200, int), ValueError, "`y` must hold at least two classes; got one class, 0."),
    ({}, None, ValueError, "requires y to be passed"),
    ({}, Y[:100], ValueError, "inconsistent numbers of samples"),
    ({}, np.where(Y == 3, np.nan, Y), ValueError, "`y` must hold classes. Give rows without a label"),
    ({"early_stopping": True}, [70, *np.minimum(Y[1:], 6)], ValueError, "to hold out; got 1 of class 70."),
    (
        {"representation": KNeighborsClassifier()},
        Y,
        TypeError,
        "`representation` must be an auto-encoder of this package",
    ),
    ({"representation": FrozenEstimator(small())}, Y, NotFittedError, "not fitted"),
    ({"representation": small(contraction=-1)}, Y, ValueError, "`representation`: `contraction` must be >= 0; got -1."),
    (
        {"representation": FrozenEstimator(small().fit(X[:, :9]))},
        Y,
        ValueError,
        "fitted on 64 features, as X has; got 9.",
    ),
    ({"dropout": 1}, Y, ValueError, "`dropout` must be below 1, as something must be left; got 1."),
    ({"dropout": -0.1}, Y, ValueError, "`dropout` must be >= 0 and <= 1; got -0.1."),
    ({"max_norm": 0}, Y, ValueError, "`max_norm` must be > 0; got 0."),
    ({"smoothness": "flat"}, Y, ValueError, "`smoothness` must be one of 'spectral'; got 'flat'."),
    ({"smoothness_warmup": -1}, Y, ValueError, "`smoothness_warmup` must be a whole number >= 0; got -1."),
    ({"smoothness_radius": 0}, Y, ValueError, "`smoothness_radius` must be > 0; got 0."),
    ({"n_power_iterations": 0}, Y, ValueError, "`n_power_iterations` must be a whole number >= 1; got 0."),
    ({"learning_rate_decay": "fast"}, Y, ValueError, "`learning_rate_decay` must be one of 'cosine', 'linear', 'none'"),
    ({"learning_rate_decay": "linear", "optimizer": optax.sgd(1)}, Y, ValueError, "must be 'none' where"),
    ({"batch_size": 201}, Y, ValueError, "`batch_size` must be at most the number of rows trained on, 200; got 201."),
    ({"unlabeled": [-1]}, Y, TypeError, "`unlabeled` must be one value; got [-1]."),
    ({}, np.datetime64("2020-01-01") + Y % 3, TypeError, "`y` must hold numbers, strings or booleans; got datetime64"),
    ({"penalty": "spectral"}, Y, ValueError, "`contraction` must be > 0 for `penalty` to count; got 0 and 'spectral'."),
    ({}, np.array([*["a"] * 200], object), ValueError, "got one class, 'a'."),
    ({}, np.array(["a", None, *["b"] * 198], object), ValueError, "got a missing value at row 1."),
    ({"penalty": "wrong"}, Y, ValueError, "`penalty` must be one of"),
    *(
        (
            {"penalty": "closed_form", "contraction": 0.1, "representation": representation},
            Y,
            ValueError,
            "`penalty` must be 'auto' or 'exact' for more than one dense layer; got 'closed_form'.",
        )
        for representation in (
            None,
            small(hidden_layer_sizes=(9,)),
            FrozenEstimator(small(encoder=Convolution()).fit(X)),
        )
    ),
    ({"callbacks": 3}, Y, TypeError, "`callbacks` must be a list of functions"),
    ({}, np.array(["a", 1] * 100, object), TypeError, "`y` must hold labels of one kind; got several"),
    ({}, np.array([1, "a"] * 100, object), TypeError, "`y` must hold labels of one kind; got several"),
    (
        {"representation": small(loss="cross_entropy", batch_size=300)},
        Y,
        ValueError,
        "`representation`: `batch_size` must be at most the number of rows",
    ),
    (
        {"learning_rate": 1e30, "optimizer": "sgd", "max_epochs": 50},
        Y,
        FloatingPointError,
        "the cost is not finite in epoch",
    ),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("parameters", "labels", "error", "words"), WRONG)
def test_wrong_input_is_one_line(parameters, labels, error, words):
    with pytest.raises(error) as caught:
        make(**parameters).fit(X, labels)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        (ManifoldTangentClassifier, {"n_tangents": 21}, "`n_tangents` must be <= 20, the rank"),
        (TangentNeighborsClassifier, {"representation": small(n_components=50), "n_tangents": 32}, "<= 31, fewer than"),
        (ManifoldTangentClassifier, {"representation": small(n_components=9), "n_tangents": 10}, "<= 9, the rank"),
        (ManifoldTangentClassifier, {"n_tangents": 0}, "`n_tangents` must be a whole number >= 1; got 0."),
        (ManifoldTangentClassifier, {"n_tangents": "all"}, "`n_tangents` must be one of 'auto'; got 'all'."),
        (ManifoldTangentClassifier, {"tangent_weight": -1}, "`tangent_weight` must be >= 0; got -1."),
        (
            ManifoldTangentClassifier,
            {"n_tangent_probes": -1},
            "`n_tangent_probes` must be a whole number >= 0; got -1.",
        ),
        (ManifoldTangentClassifier, {"tangent_radius": 0}, "`tangent_radius` must be > 0; got 0."),
        (
            ManifoldTangentClassifier,
            {"tangent_radius": 0.5, "n_tangent_probes": 1},
            "`n_tangent_probes` must be 0 with a tangent_radius, for which one direction is looked for; got 1.",
        ),
        (TangentNeighborsClassifier, {"n_neighbors": 61}, "at most the number of labelled rows, 60; got 61."),
        (TangentNeighborsClassifier, {"n_tangents": 21}, "`n_tangents` must be <= 20, the rank"),
    ],
)
def test_wrong_tangents_are_one_line(kind, parameters, words):
    with pytest.raises(ValueError, match="must be") as caught:
        make(kind, unlabeled=-1, **parameters).fit(X, FEW)
    assert words in str(caught.value)


def test_wrong_validation_rows_are_one_line():
    for data, words in (
        ((X_VALID, Y_VALID[:9]), "`validation_data` must have as many labels as rows, 250; got 9."),
        ((X_VALID[:, :9], Y_VALID), "`validation_data` must have 64 features; got 9."),
        ((X_VALID, Y_VALID + 1), "`validation_data` must hold classes of the training rows; got 10 at row"),
    ):
        with pytest.raises(ValueError, match="`validation_data`") as caught:
            make().fit(X, Y, validation_data=data)
        assert words in str(caught.value)
    with pytest.raises(TypeError, match="must be a pair"):
        make().fit(X, Y, validation_data=X_VALID)  # type: ignore[arg-type]


def test_weights_are_compared_among_the_labelled_rows():
    weights = np.where(FEW < 0, 0.01, np.linspace(1, 2, 200))
    weighted = make(unlabeled=-1, batch_size=60).fit(X, FEW, sample_weight=weights)
    alone = make(batch_size=60).fit(X[:60], Y[:60], sample_weight=weights[:60])
    np.testing.assert_allclose(weighted.predict_proba(X), alone.predict_proba(X), rtol=1e-5)
    assert max(record.error_rate for record in weighted.history_) <= 1
    with pytest.raises(ValueError, match="`sample_weight` must have a value > 0 among the labelled rows"):
        make(unlabeled=-1).fit(X, FEW, sample_weight=(FEW < 0).astype(float))


def test_held_out_rows_count_by_their_weights():
    weights = np.where(np.arange(200) % 2 == 0, 1.0, 0.0)
    classifier = make(early_stopping=True, validation_fraction=0.5, max_epochs=1).fit(X, Y, sample_weight=weights)
    _, chosen = split_stratified(Y, classifier.classes_, 0.5, classifier._seed)
    wrong = classifier.predict(X[chosen]) != Y[chosen]
    assert np.isclose(classifier.validation_error_curve_[0], np.average(wrong, weights=weights[chosen]))


@pytest.mark.parametrize("missing", [float("nan"), pandas.NA])
def test_missing_values_may_stand_for_no_label(missing, tmp_path):
    numbers = make(unlabeled=-1).fit(X, FEW)
    texts = pandas.Series([None if label < 0 else str(label) for label in FEW], dtype=object)
    assert weights_of(make(unlabeled=missing).fit(X, texts)) == weights_of(numbers)
    floats = np.where(FEW < 0, np.nan, FEW)
    classifier = make(unlabeled=float("nan")).fit(X, floats)
    assert weights_of(classifier) == weights_of(numbers)
    classifier.save(tmp_path / "model.safetensors")
    assert np.isnan(contractive.load(tmp_path / "model.safetensors").unlabeled)


def test_labels_beside_none_are_those_without_it():
    known = np.arange(len(Y)) % 3 > 0
    alone = make(max_epochs=2).fit(X[known], Y[known])
    for labels, unlabeled in (
        ([int(label) if has else None for label, has in zip(Y, known, strict=True)], float("nan")),
        (np.where(known, Y, -1).astype(object), -1),
    ):
        beside = make(max_epochs=2, unlabeled=unlabeled).fit(X, labels)
        assert beside.classes_.dtype.kind == "i"
        assert weights_of(beside) == weights_of(alone)
    flags = [bool(label % 2) if has else None for label, has in zip(Y, known, strict=True)]
    assert make(max_epochs=1, unlabeled=float("nan")).fit(X, flags).classes_.tolist() == [False, True]


def test_validation_rows_without_a_label_do_not_count():
    labels = np.where(np.arange(len(Y_VALID)) % 2, Y_VALID, -1)
    some = make(max_epochs=2, unlabeled=-1).fit(X, FEW, validation_data=(X_VALID, labels))
    odd = make(max_epochs=2, unlabeled=-1).fit(X, FEW, validation_data=(X_VALID[1::2], Y_VALID[1::2]))
    assert some.validation_error_curve_ == odd.validation_error_curve_
    with pytest.raises(ValueError, match="`validation_data` must have labels; got 5 rows without"):
        make(unlabeled=-1).fit(X, FEW, validation_data=(X_VALID[:5], np.full(5, -1)))
    with pytest.raises(TypeError, match="`validation_data` must hold labels of the kind"):
        make().fit(X, Y, validation_data=(X_VALID[:5], [None] * 5))


def test_rows_beyond_the_arithmetic_of_a_frozen_encoder_are_refused():
    for kind in (ContractiveClassifier, TangentNeighborsClassifier):
        with pytest.raises(ValueError, match="`X` must"):
            make(kind).fit(X.astype(float) * 1e200, Y)
    with pytest.raises(ValueError, match="`validation_data` must"):
        make().fit(X, Y, validation_data=(X_VALID.astype(float) * 1e200, Y_VALID))


def test_what_is_given_as_a_path_or_as_missing_is_written_down(tmp_path):
    fitted = make(ManifoldTangentClassifier, max_epochs=1, tangent_cache=tmp_path / "cache", unlabeled=pandas.NA).fit(
        X, Y
    )
    fitted.save(tmp_path / "model")
    loaded = contractive.load(tmp_path / "model")
    assert loaded.tangent_cache == str(tmp_path / "cache")
    assert np.isnan(loaded.unlabeled)
    np.testing.assert_array_equal(loaded.predict_proba(X_VALID), fitted.predict_proba(X_VALID))


def test_a_tangent_cache_that_cannot_be_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for cache in (tmp_path / "file", tmp_path / "file" / "below", ""):
        classifier = make(ManifoldTangentClassifier, representation=CAE, tangent_cache=cache)
        with pytest.raises(ValueError, match="`tangent_cache` must be a folder that can be written to, or made; got"):
            classifier.fit(X, Y)
        assert not hasattr(classifier, "representation_")


def test_columns_in_another_order_are_refused():
    table = pandas.DataFrame(X, columns=[f"pixel {number}" for number in range(64)])
    turned = table[table.columns[::-1]]
    representation = small(n_components=5).fit(table)
    with pytest.raises(ValueError, match="feature names"):
        make(representation=FrozenEstimator(representation)).fit(turned, Y)
    with pytest.raises(ValueError, match="feature names"):
        make(representation=small(n_components=5)).fit(table, Y, validation_data=(turned, Y))
    classifier = make(representation=small(n_components=5), max_epochs=1).fit(table, Y)
    assert classifier.representation_.transform(table).shape == (200, 5)  # and no warning: it knows the names


def test_what_was_fitted_stays_where_the_rows_are_refused():
    classifier = make(max_epochs=1).fit(X, Y)
    neighbors = make(TangentNeighborsClassifier).fit(X, Y)
    before = classifier.predict(X), neighbors.predict(X[:20])
    for estimator in (classifier, neighbors):
        with pytest.raises(ValueError, match="must be finite"):
            estimator.fit(np.where(X > 0.9, np.nan, X), Y)
    np.testing.assert_array_equal(classifier.predict(X), before[0])
    np.testing.assert_array_equal(neighbors.predict(X[:20]), before[1])
    wrong = make(TangentNeighborsClassifier, n_tangents=21)
    with pytest.raises(ValueError, match="n_tangents"):
        wrong.fit(X, Y)
    with pytest.raises(NotFittedError):
        wrong.predict(X)


def test_the_best_epoch_is_kept_where_training_ends_by_an_error():
    def interrupt(estimator: Any, event: Any) -> None:
        if isinstance(event, FineTuningRecord) and event.epoch == 8:
            raise KeyboardInterrupt

    turning = lambda count: jnp.where(count < 6, 0.02, -0.05)  # noqa: E731
    classifier = make(learning_rate=turning, batch_size=100, callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(X, Y, validation_data=(X_VALID, Y_VALID))
    assert classifier.best_epoch_ < 8
    assert np.isclose(1 - classifier.score(X_VALID, Y_VALID), min(classifier.validation_error_curve_))


def test_fine_tuning_leaves_the_decoder_alone():
    untied = small(n_components=6, tied_weights=False).fit(X)
    classifier = make(representation=FrozenEstimator(untied), weight_decay=0.1, max_norm=0.5, max_epochs=2).fit(X, Y)
    np.testing.assert_array_equal(classifier.classifier_.autoencoder.decoder_weight, untied.decoder_components_)


def test_an_encoder_of_ones_own_is_fine_tuned_but_not_written_down(tmp_path):
    own = ContractiveAutoencoder(encoder=Convolution(), max_epochs=1, random_state=0).fit(X)
    classifier = make(representation=FrozenEstimator(own), dropout=0.2, max_norm=1.0, max_epochs=2).fit(X, Y)
    assert np.linalg.norm(classifier.classifier_.weight, axis=1).max() <= 1 + 1e-6
    with pytest.raises(TypeError, match="`representation` must be dense to be written down"):
        classifier.save(tmp_path / "model.safetensors")
    assert not [*tmp_path.iterdir()]
