"""What the papers' tables measure, against the definitions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.papers.data import Split, load_data
from benchmarks.papers.fits import Classified, classify, contract, find_neighbors, geometry_of
from benchmarks.papers.sampling import Sampled, draw_training_rows, sample
from benchmarks.papers.trial import Trial

from contractive import ContractiveAutoencoder
from contractive.datasets import load_digits
from contractive.geometry import contraction_curve
from contractive.sampling import parzen_log_likelihood

LAYER = {"kind": "cae", "n_components": 12, "loss": "cross_entropy", "max_epochs": 2, "batch_size": 50}
MLP = {"kind": "mlp", "max_epochs": 3, "batch_size": 50, "learning_rate": 0.01}


def digits(tmp_path: Path, **settings: Any) -> Trial:
    train, valid, _ = load_data("digits")
    is_refit = settings.pop("is_refit", False)
    return Trial("digits", train, valid, {"layers": [LAYER], **settings}, 0, cache=tmp_path, is_refit=is_refit)


def test_error_and_log_loss_are_those_of_the_labels():
    class Certain:
        classes_ = np.array([3, 5, 8])

        def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
            return np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]])

    measured = Classified(Certain(), {}).measure(Split(np.zeros((4, 2)), np.array([3, 5, 8, 3])))
    assert measured == pytest.approx({"error": 50.0, "log_loss": -np.log([0.5, 0.75, 0.3, 0.2]).mean()})


def test_geometry_is_that_of_the_definitions():
    X = load_digits()[1][0]
    cae = ContractiveAutoencoder(9, max_epochs=8, learning_rate=0.05, random_state=0).fit(X)
    measured = geometry_of(cae, X)
    codes = cae.transform(X)
    assert measured["jacobian_mean_squared_entry"] == pytest.approx(np.mean(cae.jacobian(X) ** 2), rel=1e-4)
    assert measured["saturation"] == pytest.approx(100 * np.mean((codes < 0.05) | (codes > 0.95)), rel=1e-5)


def test_what_is_found_of_a_representation_is_found_once(tmp_path: Path):
    trials = [digits(tmp_path), digits(tmp_path), digits(tmp_path, layers=[{**LAYER, "n_components": 5}])]
    for trial in trials:
        trial.representation()
    answers = iter([{"entry": 0.1}, {"entry": 0.25}])
    found = [trial.facts("geometry", lambda: next(answers)) for trial in trials]
    assert found == [{"entry": 0.1}, {"entry": 0.1}, {"entry": 0.25}]


@pytest.mark.slow
def test_fine_tuning_learns_and_keeps_the_best_epoch(tmp_path: Path):
    fitted = classify(digits(tmp_path, classifier=MLP))
    train, valid, _ = load_data("digits")
    assert fitted.measure(train)["error"] < 60
    assert 1 <= fitted.facts["best_epoch"] <= fitted.facts["epochs"] == 3


@pytest.mark.slow
def test_a_refit_chooses_nothing_by_validation_rows(tmp_path: Path):
    trial = digits(tmp_path, classifier=MLP, is_refit=True)
    assert trial.validation_data is None
    assert len(trial.train.y) == 1297 + 250
    fitted = classify(trial)
    assert fitted.facts["best_epoch"] == fitted.facts["epochs"] == 3


@pytest.mark.parametrize("with_unlabeled", [False, True])
def test_rows_without_a_label_are_given_to_fine_tuning_where_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_unlabeled: bool
):
    seen: list[np.ndarray] = []

    class Seeing:
        n_epochs_ = 1

        def __init__(self, representation: Any, **parameters: Any):
            assert parameters["unlabeled"] == -1

        def fit(self, X: np.ndarray, y: np.ndarray, validation_data: Split) -> None:
            seen.append(y)

    monkeypatch.setitem(classify.__globals__["_CLASSIFIERS"], "mlp", Seeing)
    classify(digits(tmp_path, classifier=MLP, n_labels=20, with_unlabeled=with_unlabeled))
    assert (seen[0] >= 0).sum() == 20
    assert len(seen[0]) == (1297 if with_unlabeled else 20)


def test_the_curve_is_that_of_the_validation_rows(tmp_path: Path):
    trial = digits(tmp_path, radii=[1.0, 2.0], n_curve_rows=40)
    fitted = contract(trial)
    model = trial.representation().model_
    rows: Any = trial.valid.X[:40]
    assert fitted.facts["ratio"] == pytest.approx(contraction_curve(model, rows, [1.0, 2.0], seed=0))
    assert fitted.measure(trial.valid) == {}


@pytest.mark.parametrize("distance", ["pixels", "codes", "tangents"])
def test_neighbors_vote_by_every_distance(tmp_path: Path, distance: str):
    neighbors = {"distance": distance, "n_neighbors": 1, "n_tangents": 2}
    trial = digits(tmp_path, n_labels=300, neighbors=neighbors)
    measured = find_neighbors(trial).measure(trial.valid)
    assert measured["error"] == pytest.approx(100 - measured["accuracy"])
    assert measured["accuracy"] > 75


def test_samples_are_judged_in_units_of_white():
    rows = Split(np.array([[255, 0, 51]], np.uint8), np.array([0]))
    measured = Sampled(np.array([[1.0, 0.0, 0.0]]), 0.5, {}).measure(rows)
    expected = -(0.2**2) / (2 * 0.5**2) - 3 * (np.log(0.5) + np.log(2 * np.pi) / 2)
    assert measured["log_likelihood"] == pytest.approx(expected)


@pytest.mark.slow
def test_walks_give_as_many_samples_as_they_keep(tmp_path: Path):
    train, valid, _ = load_data("mnist", quick=True)
    walk = {"n_chains": 6, "n_steps": 8, "thinning": 2, "burn_in": 1, "std": 0.1}
    settings = {"layers": [LAYER], "walk": walk, "parzen_stds": [0.2, 0.4]}
    fitted = sample(Trial("mnist", train, valid, settings, 0, cache=tmp_path))
    assert fitted.facts["n_samples"] == 6 * 4
    assert fitted.facts["parzen_std"] in (0.2, 0.4)
    assert np.isfinite(fitted.measure(valid)["log_likelihood"])


def test_training_rows_are_judged_as_samples_are(tmp_path: Path):
    train, valid, _ = load_data("mnist", quick=True)
    trial = Trial("mnist", train, valid, {"n_samples": len(train.y), "parzen_stds": [0.2, 0.4]}, 0, cache=tmp_path)
    fitted = draw_training_rows(trial)
    assert fitted.facts["n_samples"] == len(train.y)
    expected = parzen_log_likelihood(train.X / 255, valid.X / 255, fitted.facts["parzen_std"]).mean
    assert fitted.measure(valid)["log_likelihood"] == pytest.approx(expected)
