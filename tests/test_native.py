"""The compiled kernel against the JAX loop: the same job by two routes, and what happens without a compiler."""

import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from scipy.sparse import csr_array

from contractive import ContractiveAutoencoder, native
from contractive.corruption import Masking
from contractive.models import AutoEncoder, initialize
from contractive.native import MAX_BATCH, build_kernel
from contractive.objectives import Objective
from contractive.penalties import (
    Contraction,
    HigherOrder,
    ReconstructionContraction,
    SpectralContraction,
    WeightDecay,
)
from contractive.training import Trained, make_engine, native_kernel, resolve_optimizer, train
from routes import one_layer

SGD = resolve_optimizer("sgd", 0.05)
pytestmark = pytest.mark.skipif(build_kernel(1, 1, np.dtype(np.uint8)) is None, reason="there is no C compiler")


def rows_of(n_rows: int, n_features: int, dtype: type) -> np.ndarray:
    pixels = np.random.RandomState(0).randint(0, 256, (n_rows, n_features)).astype(np.uint8)
    return pixels if dtype is np.uint8 else (pixels / np.float32(256)).astype(np.float32)


def fit(rows: np.ndarray, n_hidden: int, engine: str, *, contraction: float = 0.3, batch_size: int = 10, **options):
    model = initialize(rows.shape[1], n_hidden, rng=np.random.RandomState(1), loss="cross_entropy")
    objective = Objective((Contraction(contraction),)) if contraction else Objective()
    settings = {"max_epochs": 2, "shuffle": True, "seed": 5, "uint8_scale": 256, "engine": engine} | options
    return train(model, objective, rows, SGD, batch_size=batch_size, **settings)


def assert_same(one: Trained, other: Trained, rtol: float = 2e-4) -> None:
    """Both models and curves agree up to float32's rounding, each array relative to its largest entry."""
    for a, b in zip(jax.tree.leaves(one.model), jax.tree.leaves(other.model), strict=True):
        np.testing.assert_allclose(a, b, atol=rtol * float(np.abs(b).max()), rtol=0)
    np.testing.assert_allclose([r[1:3] for r in one.history], [r[1:3] for r in other.history], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("n_features", "n_hidden"), [(784, 30), (64, 500), (80, 4), (17, 3), (1, 1), (16, 5), (95, 7)], ids=str
)
def test_kernel_and_jax_agree_on_any_shape(n_features, n_hidden, dtype):
    rows = rows_of(57, n_features, dtype)
    assert_same(fit(rows, n_hidden, "native"), fit(rows, n_hidden, "jax"))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 15, MAX_BATCH])
def test_kernel_and_jax_agree_on_any_batch_with_a_short_last_one(batch_size):
    rows = rows_of(50, 40, np.uint8)
    assert_same(fit(rows, 9, "native", batch_size=batch_size), fit(rows, 9, "jax", batch_size=batch_size))


@pytest.mark.parametrize("contraction", [0.0, 0.01, 3.0])
def test_kernel_and_jax_agree_on_any_contraction(contraction):
    rows = rows_of(50, 40, np.float32)
    assert_same(fit(rows, 9, "native", contraction=contraction), fit(rows, 9, "jax", contraction=contraction))


def test_float_rows_are_taken_by_value():
    rows = rows_of(50, 40, np.float32)
    assert_same(fit(rows, 9, "native", uint8_scale=256), fit(rows, 9, "jax", uint8_scale=1))


def test_float64_rows_are_rounded_to_the_arithmetic():
    rows = rows_of(50, 40, np.float32) / 3
    in_float64 = fit(rows.astype(np.float64), 9, "native")
    jax.tree.map(np.testing.assert_array_equal, in_float64.model, fit(rows, 9, "native").model)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_slice_of_a_larger_array_is_as_good_as_a_copy(dtype):
    rows, larger = rows_of(50, 40, dtype), np.zeros((100, 47), dtype)
    larger[::2, 3:43] = rows
    for some in (larger[::2, 3:43], np.asfortranarray(rows), larger[::2, 3:43][::-1][::-1]):
        jax.tree.map(np.testing.assert_array_equal, fit(some, 9, "native").model, fit(rows, 9, "native").model)


def test_penalties_add_up():
    rows = rows_of(50, 40, np.float32)
    model = initialize(40, 9, rng=np.random.RandomState(1), loss="cross_entropy")
    twice = Objective((Contraction(0.1), Contraction(0.2)))
    both = train(model, twice, rows, SGD, engine="native", batch_size=10, max_epochs=2, seed=5)
    assert_same(both, fit(rows, 9, "jax", contraction=0.3))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_change_nothing_but_rounding(threads):
    rows, order = rows_of(60, 128, np.uint8), np.arange(60, dtype=np.uint32).reshape(6, 10)
    model = one_layer(128, 33, rng=np.random.RandomState(1))
    start = np.asarray(model.weight), np.asarray(model.hidden_bias), np.asarray(model.visible_bias)
    kernel = build_kernel(128, 10, np.dtype(np.uint8))
    assert kernel is not None

    def run(threads):
        costs = np.zeros((6, 2), np.float32)
        settings = {"contraction": 0.3, "learning_rate": 0.05, "scale": 256.0, "threads": threads}
        return [*kernel.run(start, rows, order, costs, (0, 6), **settings), costs]

    for array, same, alone in zip(run(threads), run(threads), run(1), strict=True):
        assert array.tobytes() == same.tobytes()
        np.testing.assert_allclose(array, alone, atol=1e-5 * float(np.abs(alone).max()), rtol=0)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
@pytest.mark.parametrize(("instructions", "batch_size"), [("x86-64", 3), ("x86-64-v3", 10), ("x86-64-v3", MAX_BATCH)])
def test_vectors_of_any_width_compute_the_same(instructions, batch_size, monkeypatch):
    if instructions == "x86-64-v3" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX2")
    rows = rows_of(57, 70, np.uint8)
    expected = fit(rows, 9, "jax", batch_size=batch_size)
    flags = tuple(f"-march={instructions}" if flag.startswith("-march") else flag for flag in native._FLAGS)
    monkeypatch.setattr(native, "_FLAGS", flags)
    build_kernel.cache_clear()
    try:
        assert_same(fit(rows, 9, "native", batch_size=batch_size), expected)
    finally:
        build_kernel.cache_clear()


def test_the_kernel_is_worth_choosing():
    # Vectors wider than the processor's once made it ten times slower than what it replaces.
    rows = rows_of(3000, 784, np.uint8)

    def seconds(engine):
        return min(record.seconds for record in fit(rows, 500, engine, max_epochs=4).history)

    assert seconds("native") < 2 * seconds("jax")


def test_extreme_weights_end_in_finite_costs_as_on_jax():
    rows = rows_of(40, 32, np.float32)
    model = initialize(32, 8, rng=np.random.RandomState(1), loss="cross_entropy")
    model = jax.tree.map(lambda leaf: 300 * leaf, model)
    runs = [train(model, Objective(), rows, SGD, batch_size=10, max_epochs=1, engine=e) for e in ("native", "jax")]
    np.testing.assert_allclose(runs[0].history[0][1:3], runs[1].history[0][1:3], rtol=1e-4)
    assert [run.engine for run in runs] == ["native", "jax"]


def test_nan_reaches_the_costs():
    model = initialize(32, 8, rng=np.random.RandomState(1), loss="cross_entropy")
    model = jax.tree.map(lambda leaf: leaf * np.nan, model)
    with pytest.raises(FloatingPointError, match="not finite in epoch 1"):
        train(model, Objective(), rows_of(40, 32, np.float32), SGD, batch_size=10, max_epochs=1, engine="native")


@pytest.mark.parametrize(
    ("parameters", "engine"),
    [
        ({}, "native"),
        ({"contraction": 0.0}, "native"),
        ({"batch_size": MAX_BATCH + 1}, "jax"),
        ({"optimizer": "momentum"}, "jax"),
        pytest.param({"optimizer": optax.sgd(0.01)}, "jax", id="optax"),
        ({"loss": "squared_error"}, "jax"),
        ({"activation": "tanh"}, "jax"),
        ({"tied_weights": False}, "jax"),
        ({"weight_decay": 0.1}, "jax"),
        ({"engine": "jax"}, "jax"),
    ],
    ids=str,
)
def test_the_engine_is_chosen_by_the_job(parameters, engine):
    settings = {"optimizer": "sgd", "loss": "cross_entropy", "batch_size": 10, "max_epochs": 1} | parameters
    rows = rows_of(40, 16, np.float32)
    assert ContractiveAutoencoder(5, **settings).fit(rows).engine_ == engine
    if engine == "jax" and "engine" not in parameters:
        with pytest.raises(ValueError, match="`engine` must be 'jax' or 'auto' for this job.*got 'native'"):
            ContractiveAutoencoder(5, engine="native", **settings).fit(rows)


def test_float64_arithmetic_is_left_to_jax(x64):
    model = initialize(16, 5, rng=np.random.RandomState(1), loss="cross_entropy", dtype=np.float64)
    assert native_kernel(model, Objective(), SGD, rows_of(40, 16, np.float32), 10) is None


class Twice(Contraction):
    """A user's own contraction, which the kernel knows nothing of."""

    def __call__(self, model, forward, *, key=None):
        return 2 * super().__call__(model, forward, key=key)


@pytest.mark.parametrize(
    ("objective", "done"),
    [
        (Objective(), True),
        (Objective((Contraction(0.1) + Contraction(0.2),)), True),
        (Objective((WeightDecay(0.1),)), False),
        (Objective((Contraction(0.1) + WeightDecay(0.1),)), False),
        (Objective((Contraction(0.1, "hutchinson"),)), False),
        (Objective((HigherOrder(0.1),)), False),
        (Objective((ReconstructionContraction(0.1),)), False),
        (Objective((SpectralContraction(0.1),)), False),
        (Objective((Twice(0.1),)), False),
        (Objective((Contraction(0.1),), Masking(0.3)), False),
    ],
)
def test_only_the_plain_objective_is_the_kernels(objective, done):
    model = initialize(16, 5, rng=np.random.RandomState(1), loss="cross_entropy")
    assert (native_kernel(model, objective, SGD, rows_of(40, 16, np.float32), 10) is not None) == done


@pytest.mark.parametrize(
    "options",
    [{"hidden_layer_sizes": (6,)}, {"tied_weights": False}, {"activation": "tanh"}, {"loss": "squared_error"}],
)
def test_only_the_tied_sigmoid_model_is_the_kernels(options):
    model = initialize(16, 5, rng=np.random.RandomState(1), **({"loss": "cross_entropy"} | options))
    assert native_kernel(model, Objective(), SGD, rows_of(40, 16, np.float32), 10) is None


def test_only_plain_sgd_on_dense_rows_that_count_the_same_is_the_kernels():
    rows, model = rows_of(40, 16, np.float32), one_layer(16, 5, rng=np.random.RandomState(1), loss="cross_entropy")
    other_output = AutoEncoder(model.weight, model.hidden_bias, model.visible_bias, loss="cross_entropy", output="tanh")

    def engine(model: AutoEncoder = model, transformation: Any = SGD, rows: Any = rows, **options: Any) -> str:
        return make_engine(model, Objective(), transformation, rows, batch_size=10, **options).name

    assert engine() == "native"
    assert engine(weighted=True) == "jax"
    assert engine(rows=csr_array(rows)) == "jax"
    assert engine(transformation=resolve_optimizer("sgd", lambda count: 0.1)) == "jax"
    assert engine(transformation=resolve_optimizer("adam", 0.1)) == "jax"
    assert engine(model=other_output) == "jax"
    with pytest.raises(
        ValueError, match="`engine` must be 'jax' or 'auto' for this job: .*no sample weights.*got 'native'"
    ):
        engine(weighted=True, engine="native")


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_working_compiler_jax_does_the_job(compiler, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "build_kernel", build_kernel.__wrapped__)
    monkeypatch.setattr("contractive.training._engines.build_kernel", build_kernel.__wrapped__)
    settings = {"optimizer": "sgd", "loss": "cross_entropy", "batch_size": 10, "max_epochs": 1}
    assert ContractiveAutoencoder(5, **settings).fit(rows_of(40, 16, np.float32)).engine_ == "jax"
    assert not list(tmp_path.rglob("*.so"))


def test_the_library_is_compiled_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path))
    assert build_kernel.__wrapped__(19, 3, np.dtype(np.uint8)) is not None
    (library,) = tmp_path.rglob("*.so")
    made = library.stat().st_mtime_ns
    assert build_kernel.__wrapped__(19, 3, np.dtype(np.uint8)) is not None
    assert library.stat().st_mtime_ns == made
    assert build_kernel.__wrapped__(19, 4, np.dtype(np.uint8)) is not None
    assert len(list(tmp_path.rglob("*.so"))) == 2


def test_a_processor_that_cannot_be_asked_is_known_by_its_machine(monkeypatch):
    def unreadable(path: Path) -> str:
        raise OSError(2, "none", str(path))

    monkeypatch.setattr(Path, "read_text", unreadable)
    assert native._processor.__wrapped__().splitlines()[0] == platform.machine()
