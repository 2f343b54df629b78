"""What data may be: any type of number, in 64 bits where it has them; sparse, without ever being dense; any number."""

import subprocess
import sys
import textwrap
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
from toys import X, assert_same_training, bits, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SPARSE = sparse.csr_array(X)
EIGHTHS = np.round(8 * X).astype(int)  # whole numbers from 0 to 8

# Each input, and the array of the model's own type that it means.
SAME: dict[str, tuple[Any, np.ndarray]] = {
    "float16": (X.astype(np.float16), X),
    "big-endian float32": (X.astype(">f4"), X),
    "bool": (X > 0.5, (X > 0.5).astype(np.float32)),
    "uint8": (np.round(255 * X).astype(np.uint8), np.round(255 * X) / np.float32(256)),
    "int8": (EIGHTHS.astype(np.int8), EIGHTHS.astype(float)),
    "int64": (EIGHTHS, EIGHTHS.astype(float)),
    "uint16": (EIGHTHS.astype(np.uint16), EIGHTHS.astype(float)),
    "big-endian float64": (X.astype(">f8"), X.astype(float)),
    "objects": (X.astype(object), X.astype(float)),
    "lists": (X.tolist(), X.astype(float)),
    "JAX": (jnp.asarray(X), X),
}


@pytest.mark.parametrize("name", SAME)
def test_every_type_of_number_is_the_floats_that_it_means(name: str):
    given, meant = SAME[name]
    one, other = small(loss="squared_error").fit(given), small(loss="squared_error").fit(meant)
    assert_same_training(one, other)
    for method in ("transform", "reconstruct", "score_samples", "contraction_norm"):
        of_given, of_meant = getattr(one, method)(given), getattr(other, method)(meant)
        assert of_given.dtype == of_meant.dtype == meant.dtype
        assert of_given.tobytes() == of_meant.tobytes()


def test_float64_is_float64_all_the_way():
    double, single = (small(learning_rate=0.01, max_epochs=5).fit(rows) for rows in (X.astype(float), X))
    for array in (
        double.components_,
        double.intercept_,
        double.transform(X),
        double.reconstruct(X),
        double.jacobian(X),
    ):
        assert array.dtype == np.float64
    np.testing.assert_allclose(double.components_, single.components_, atol=1e-3)
    codes = 1 / (1 + np.exp(-(X.astype(float) @ double.components_.T + double.intercept_)))
    np.testing.assert_allclose(double.transform(X.astype(float)), codes, rtol=1e-13)
    assert jnp.ones(1).dtype == np.float32


def test_a_step_in_float64_is_numpys():
    """Tied linear auto-encoder, squared error, no penalty, all rows in one minibatch."""
    rows, rate = X[:50].astype(float), 0.003
    options = {"activation": "linear", "loss": "squared_error", "contraction": 0, "optimizer": "sgd"}
    weight = small(**options, learning_rate=1e-300, max_epochs=1).fit(rows).components_
    trained = small(**options, learning_rate=rate, max_epochs=1).fit(rows)
    codes = rows @ weight.T
    error = codes @ weight - rows
    change = 2 / 50 * (codes.T @ error + (error @ weight.T).T @ rows)
    np.testing.assert_allclose(trained.components_, weight - rate * change, rtol=1e-12)
    np.testing.assert_allclose(trained.visible_intercept_, -rate * 2 * error.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(trained.intercept_, -rate * 2 * (error @ weight.T).mean(axis=0), rtol=1e-11)
    assert trained.loss_curve_ == pytest.approx([np.sum(error**2, axis=1).mean()], rel=1e-14)


def test_data_beyond_the_range_of_the_model_are_refused():
    single, wide = small(loss="squared_error").fit(X), X.astype(float)
    wide[3, 2] = 1e39
    for method in (single.transform, single.partial_fit):
        with pytest.raises(ValueError, match=r"`X` must lie within 3.4e\+38.*1e\+39 at row 3, column 2"):
            method(wide)
    assert small(loss="squared_error").fit(wide[4:]).transform(wide).dtype == np.float64


FORMATS = [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_array]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_sparse_format_is_the_dense_array(kind):
    given = kind(X)
    one, other = small().fit(given), small().fit(X)
    assert_same_training(one, other)
    for method in ("transform", "reconstruct", "score_samples", "contraction_norm", "jacobian"):
        assert getattr(one, method)(given).tobytes() == getattr(other, method)(X).tobytes()
    assert one.score(given) == other.score(X)


WAYS: dict[str, dict[str, Any]] = {
    "small batches": {"batch_size": 16},
    "a short last batch": {"batch_size": 60},
    "in order": {"batch_size": 16, "shuffle": False},
    "salt and pepper": {"kind": DenoisingAutoencoder, "corruption": "salt_and_pepper", "batch_size": 32},
    "probes": {"penalty": "hutchinson", "batch_size": 32},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("minibatches", [1, 3, 100])
def test_sparse_rows_made_dense_some_minibatches_at_a_time(way: str, minibatches: int, monkeypatch: pytest.MonkeyPatch):
    entries = minibatches * WAYS[way]["batch_size"] * 64
    monkeypatch.setattr("contractive.training._feeds._SPARSE_BLOCK_ENTRIES", entries)
    weights = np.arange(200) % 3 + 1
    one, other = (small(**WAYS[way]).fit(rows, sample_weight=weights) for rows in (SPARSE, X))
    assert one.loss_curve_ == pytest.approx(other.loss_curve_, rel=1e-6)
    np.testing.assert_allclose(one.components_, other.components_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "uint8", "bool", "int64"])
def test_sparse_rows_of_other_types(dtype: str):
    rows = EIGHTHS.astype(dtype)
    one, other = (small(loss="squared_error").fit(given) for given in (sparse.csr_array(rows), rows))
    assert_same_training(one, other)
    assert one.transform(sparse.csr_array(rows)).tobytes() == other.transform(rows).tobytes()


@pytest.mark.parametrize("kind", [ContractiveAutoencoder, DenoisingAutoencoder])
def test_sparse_rows_are_held_out_like_others(kind):
    assert_same_training(*(small(kind, early_stopping=True).fit(rows) for rows in (SPARSE, X)))


def test_stacks_take_sparse_rows():
    given: list[Any] = [SPARSE, X]
    one, other = (StackedAutoencoder([small(), small()], random_state=0, joint_epochs=1).fit(rows) for rows in given)
    assert bits(one) == bits(other)


@pytest.mark.slow
def test_a_big_sparse_matrix_never_is_dense():
    program = """
        import resource
        import numpy as np
        from scipy import sparse
        from contractive import ContractiveAutoencoder

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        def fit(X):
            return ContractiveAutoencoder(4, max_epochs=1, early_stopping=True).fit(X)

        X = sparse.random_array((20_000, 5_000), density=0.001, format="csr", dtype=np.float32, rng=0)
        fit(X[:500]).transform(X[:500])  # the compiler's own memory
        before = peak()
        assert fit(X).transform(X).shape == (20_000, 4)
        print(peak() - before)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    megabytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert megabytes < 200, "of 400 that it takes as a whole"


def test_one_row_and_a_hundred_thousand():
    estimator = small().fit(X)
    many = np.tile(X, (500, 1))
    codes = estimator.transform(many)
    assert codes.shape == (100_000, 7)
    np.testing.assert_array_equal(codes.reshape(500, 200, 7), np.broadcast_to(codes[:200], (500, 200, 7)))
    np.testing.assert_allclose(codes[-1:], estimator.transform(X[-1:]), rtol=1e-6)
    assert estimator.score_samples(many).shape == (100_000,)
