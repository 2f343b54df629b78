"""Inside scikit-learn: its own checks, pipelines, searches, clones, pickles, data frames and feature names."""

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import polars
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from contractive.datasets import load_digits
from toys import QUICK_FLAGS, X, assert_same_training, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")

Y = load_digits()[0][1][:200]
NAMES = [f"pixel {i}" for i in range(64)]


def stack() -> StackedAutoencoder:
    return StackedAutoencoder([small(), small(DenoisingAutoencoder, n_components=4)], random_state=0)


MAKERS: dict[str, Any] = {"contractive": small, "denoising": lambda: small(DenoisingAutoencoder), "stacked": stack}


@pytest.fixture(params=MAKERS)
def estimator(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]()


@parametrize_with_checks([ContractiveAutoencoder(), DenoisingAutoencoder(), StackedAutoencoder()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_pipelines_give_the_codes_of_scaled_rows_to_a_classifier(estimator):
    pipeline = make_pipeline(MinMaxScaler(), estimator, LogisticRegression())
    pipeline.fit(X, Y)
    codes = estimator.transform(MinMaxScaler().fit_transform(X))
    assert pipeline.score(X, Y) == LogisticRegression().fit(codes, Y).score(codes, Y)


def test_column_transformer_encodes_some_columns():
    table = pandas.DataFrame(X[:, :6], columns=NAMES[:6]).assign(kind=np.where(Y > 4, "high", "low"))
    columns = ColumnTransformer(
        [("codes", small(n_components=2, loss="squared_error"), NAMES[:6]), ("kind", OneHotEncoder(), ["kind"])]
    )
    encoded = columns.fit_transform(table)
    alone = small(n_components=2, loss="squared_error").fit(table[NAMES[:6]])
    np.testing.assert_array_equal(encoded[:, :2], alone.transform(table[NAMES[:6]]))
    names = ["contractiveautoencoder0", "contractiveautoencoder1"]
    assert list(columns.get_feature_names_out()) == [f"codes__{name}" for name in names] + [
        "kind__kind_high",
        "kind__kind_low",
    ]


GRIDS: dict[str, Any] = {
    "contractive": {"contraction": [0.1, 10.0], "learning_rate": [0.001, 0.1]},
    "stacked": {"layers__0__contraction": [0.1, 10.0], "layers__1__learning_rate": [0.001, 0.1]},
}


@pytest.mark.parametrize("name", [pytest.param("contractive", marks=pytest.mark.slow), "stacked"])
def test_grid_search_by_the_score_of_held_out_rows(name: str, monkeypatch: pytest.MonkeyPatch):
    alone = GridSearchCV(MAKERS[name](), GRIDS[name], cv=2).fit(X)
    scores = alone.cv_results_["mean_test_score"]
    assert len({*scores}) == 4
    assert alone.best_params_ == alone.cv_results_["params"][np.argmax(scores)]
    last = MAKERS[name]().set_params(**alone.cv_results_["params"][-1])
    halves = np.arange(100), np.arange(100, 200)
    by_hand = [last.fit(X[train]).score(X[test]) for test, train in (halves, halves[::-1])]
    np.testing.assert_allclose(scores[-1], np.mean(by_hand), rtol=1e-6)
    monkeypatch.setenv("XLA_FLAGS", QUICK_FLAGS)  # for the other processes
    by_two = GridSearchCV(MAKERS[name](), GRIDS[name], cv=2, n_jobs=2).fit(X)
    assert by_two.best_params_ == alone.best_params_
    np.testing.assert_allclose(by_two.cv_results_["mean_test_score"], scores, rtol=1e-4)
    np.testing.assert_array_equal(by_two.transform(X), alone.transform(X))


def test_cross_validation_needs_no_scorer(estimator):
    scores = cross_val_score(estimator, X, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    with pytest.raises(NotFittedError):
        estimator.score(X)


def test_clones_are_unfitted_and_train_the_same(estimator):
    estimator.fit(X)
    again: Any = clone(estimator)
    assert not hasattr(again, "model_")
    assert repr(again) == repr(estimator)
    np.testing.assert_array_equal(again.fit(X).transform(X), estimator.transform(X))


def test_clones_of_a_stack_have_layers_of_their_own():
    first = stack()
    again: Any = clone(first)
    again.set_params(layers__0__contraction=9.0)
    assert first.get_params()["layers__0__contraction"] == 0.1
    assert again.get_params()["layers__0__contraction"] == 9.0


def test_pickles_and_joblib_files_transform_in_a_fresh_process(tmp_path: Path):
    fitted = {name: make().fit(X.astype(np.float64) if name == "denoising" else X) for name, make in MAKERS.items()}
    for name, estimator in fitted.items():
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(estimator))
        joblib.dump(estimator, tmp_path / f"{name}.joblib")
        estimator.save(tmp_path / f"{name}.safetensors")
    np.save(tmp_path / "x.npy", X)
    program = f"""
        import pickle, joblib, numpy, contractive
        from pathlib import Path
        X = numpy.load("x.npy")
        for name in {[*fitted]}:
            numpy.savez(
                name,
                pickle=pickle.loads(Path(name + ".pickle").read_bytes()).transform(X),
                joblib=joblib.load(name + ".joblib").transform(X),
                model_file=contractive.load(name + ".safetensors").transform(X),
            )
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    subprocess.run(command, cwd=tmp_path, check=True)
    for name, estimator in fitted.items():
        with np.load(tmp_path / f"{name}.npz") as found:
            for way in ("pickle", "joblib", "model_file"):
                assert found[way].tobytes() == estimator.transform(X).tobytes(), (name, way)


def test_pickles_go_on_training_where_they_were(estimator):
    again = pickle.loads(pickle.dumps(estimator.fit(X)))
    assert_same_training(again.partial_fit(X), estimator.partial_fit(X))


def test_data_frames_come_out_where_they_are_asked_for(estimator):
    table = pandas.DataFrame(X, columns=NAMES, index=np.arange(200) + 1000)
    plain = estimator.fit(table).transform(table)
    assert type(plain) is np.ndarray
    names = [f"{type(estimator).__name__.lower()}{i}" for i in range(plain.shape[1])]
    assert list(estimator.get_feature_names_out()) == names
    as_pandas = estimator.set_output(transform="pandas").transform(table)
    assert list(as_pandas.columns) == names
    assert list(as_pandas.index) == list(table.index)
    np.testing.assert_array_equal(as_pandas.to_numpy(), plain)
    as_polars = estimator.set_output(transform="polars").transform(polars.from_pandas(table))
    assert isinstance(as_polars, polars.DataFrame)
    assert as_polars.columns == names
    np.testing.assert_array_equal(as_polars.to_numpy(), plain)
    from_sparse = estimator.set_output(transform="pandas").fit_transform(sparse.csr_array(X))
    assert list(from_sparse.columns) == names


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_names_of_the_features_are_kept_and_insisted_on(frame):
    table = frame(dict(zip(NAMES, X.T, strict=True)))
    estimator = small().fit(table)
    assert list(estimator.feature_names_in_) == NAMES
    assert estimator.n_features_in_ == 64
    for method in (estimator.transform, estimator.score, estimator.partial_fit):
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            method(table[NAMES[::-1]])
        with pytest.raises(ValueError, match="The feature names should match"):
            method(frame({f"other {name}": X[:, 0] for name in NAMES}))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.transform(X)
    assert not hasattr(estimator.fit(X), "feature_names_in_")


def test_whole_data_frames_of_any_number_type_are_what_numpy_makes_of_them():
    table = pandas.DataFrame({"a": np.arange(20), "b": np.linspace(0, 1, 20), "c": np.arange(20) % 2 == 0})
    one = small(loss="squared_error").fit(table)
    other = small(loss="squared_error").fit(table.to_numpy(float))
    assert one.components_.dtype == np.float64
    np.testing.assert_array_equal(one.components_, other.components_)
