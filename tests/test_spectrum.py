"""The leading singular values of large layers against NumPy's decomposition, and the memory that they take."""

import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array

from contractive.geometry import _leading as leading
from contractive.geometry import _mapped as mapped
from contractive.geometry import map_spectra, spectrum_summary
from contractive.geometry._leading import suits
from contractive.models import AutoEncoder, initialize
from routes import sigmoid

pytestmark = pytest.mark.usefixtures("quickly_compiled")

RNG = np.random.RandomState
FEATURES, HIDDEN, N_VALUES = 100, 120, 2


def layer(
    values: np.ndarray, *, activation: str = "sigmoid", dtype: Any = np.float32, bias: float = 1.0
) -> AutoEncoder:
    """One layer whose weight has these singular values."""
    rng = RNG(0)
    left, right = (np.linalg.qr(rng.normal(size=(size, FEATURES)))[0] for size in (HIDDEN, FEATURES))
    parts = (left * values) @ right.T, bias * rng.normal(size=HIDDEN), np.zeros(FEATURES)
    return AutoEncoder(*(jnp.asarray(part.astype(dtype)) for part in parts), activation=activation)


def rows(n_rows: int = 6, dtype: Any = np.float32) -> np.ndarray:
    return RNG(1).uniform(size=(n_rows, FEATURES)).astype(dtype)


def exact(model: AutoEncoder, x: np.ndarray) -> np.ndarray:
    """By NumPy in float64, with the derivative written out."""
    weight = np.asarray(model.weight, float)
    a = x.astype(float) @ weight.T + np.asarray(model.hidden_bias, float)
    ways = {"sigmoid": lambda: sigmoid(a) * (1 - sigmoid(a)), "linear": lambda: a**0, "relu": lambda: (a > 0) * 1.0}
    jacobians = ways[str(model.activation)]()[:, :, None] * weight
    return np.linalg.svd(jacobians, compute_uv=False)[:, :N_VALUES]


RANKS = np.arange(FEATURES)
SPECTRA = {
    "all equal": np.ones(FEATURES),
    "flat": 3 * 0.995**RANKS,
    "falling": 8 * 0.9**RANKS,
    "steep": 30 * 0.5**RANKS,
    "too steep for squares": 30 * 0.01**RANKS,
    "one above all": np.r_[100.0, 0.9 ** RANKS[1:]],
    "eight times the largest": np.r_[np.full(8, 4.0), 2 * 0.98 ** RANKS[8:]],
    "tiny": 1e-22 * 0.9**RANKS,
    "huge": 1e22 * 0.9**RANKS,
}


@pytest.mark.parametrize(
    ("name", "activation"),
    [(name, "sigmoid") for name in SPECTRA] + [("all equal", "linear"), ("eight times the largest", "linear")],
)
def test_each_value_is_found_to_a_thousandth(name: str, activation: str):
    scale = np.linalg.norm(SPECTRA[name]) if name == "huge" and activation == "sigmoid" else 1.0
    model, x = layer(SPECTRA[name], activation=activation), rows() / scale
    assert suits(model, N_VALUES)
    found, expected = map_spectra(model, x.astype(np.float32), N_VALUES), exact(model, x.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=3e-3 if name == "all equal" else 1e-3)
    assert (found <= expected * (1 + 1e-4)).all(), "they are found from below"
    assert (np.diff(found) <= 1e-4 * found[:, :-1]).all()


def test_random_weights_are_the_flattest():
    model = initialize(FEATURES, HIDDEN, rng=RNG(3))
    assert isinstance(model, AutoEncoder)
    np.testing.assert_allclose(map_spectra(model, rows(), N_VALUES), exact(model, rows()), rtol=1e-3)


@pytest.mark.parametrize("seed", range(4))  # whatever rounding errors are left of exhausted directions
@pytest.mark.parametrize("times", [7, 170])
def test_more_equal_values_than_a_block_has_directions(times: int, seed: int):
    size = 170
    left, right = (np.linalg.qr(RNG(2 * seed + side).normal(size=(size, size)))[0] for side in (0, 1))
    weight = (left * np.r_[np.full(times, 4.0), 2 * 0.9 ** np.arange(size - times)]) @ right
    model = AutoEncoder(jnp.asarray(weight.astype(np.float32)), jnp.zeros(size), jnp.zeros(size), activation="linear")
    assert suits(model, 7)
    np.testing.assert_allclose(map_spectra(model, np.ones((1, size), np.float32), 7), 4, rtol=1e-5)


def test_doubles_are_computed_in_doubles(x64):
    model, x = layer(8 * 0.8**RANKS, dtype=np.float64), rows(dtype=np.float64)
    found = map_spectra(model, x, N_VALUES)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(model, x), rtol=1e-6)


def test_where_nothing_changes_all_values_are_zero():
    dead = layer(SPECTRA["falling"], activation="relu", bias=0.0)
    dead = AutoEncoder(dead.weight, dead.hidden_bias - 1e3, dead.visible_bias, activation="relu")
    assert (map_spectra(dead, rows(), N_VALUES) == 0).all()
    few = AutoEncoder(dead.weight, dead.hidden_bias.at[:1].add(2e3), dead.visible_bias, activation="relu")  # of rank 1
    np.testing.assert_allclose(map_spectra(few, rows(), N_VALUES), exact(few, rows()), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("where", "number"), [("weight", np.nan), ("weight", np.inf), ("hidden_bias", np.nan)])
def test_of_what_is_no_number_nothing_is_known(where: str, number: float):
    model = layer(SPECTRA["falling"])
    parts = {name: getattr(model, name) for name in ("weight", "hidden_bias", "visible_bias")}
    parts[where] = parts[where].at[3].set(number)
    assert np.isnan(map_spectra(AutoEncoder(**parts), rows(2), N_VALUES)).all()


def test_the_same_bits_however_many_threads(monkeypatch: pytest.MonkeyPatch):
    model = layer(SPECTRA["falling"])
    monkeypatch.setattr(leading, "_MAX_FLOATS", 2 * 30 * HIDDEN)  # two rows for each thread
    found = []
    for n_threads in (1, 3):
        monkeypatch.setattr(mapped, "n_processors", lambda n_threads=n_threads: n_threads)
        found.append(map_spectra(model, rows(9), N_VALUES))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], exact(model, rows(9)), rtol=1e-3)


@pytest.mark.parametrize("kind", [csr_array, np.asarray])
def test_rows_of_every_kind_in_parts_of_any_size(kind: Any, monkeypatch: pytest.MonkeyPatch):
    model, pixels = layer(SPECTRA["flat"]), (RNG(6).uniform(size=(9, FEATURES)) * 255).astype(np.uint8)
    whole = map_spectra(model, pixels / np.float32(256), N_VALUES)
    monkeypatch.setattr(mapped, "_COPIED_ROWS", 4)
    np.testing.assert_allclose(map_spectra(model, kind(pixels), N_VALUES, uint8_scale=256), whole, rtol=1e-4)


def test_only_rows_that_have_not_settled_are_gone_through_again(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def spy(function: Any, model: Any, part: np.ndarray, **options: Any) -> np.ndarray:
        asked.append(len(part))
        return original(function, model, part, **options)

    original = mapped.map_rows
    monkeypatch.setattr(mapped, "map_rows", spy)
    map_spectra(layer(SPECTRA["falling"]), rows(), N_VALUES)
    assert asked == [6]
    map_spectra(layer(SPECTRA["flat"]), rows(), N_VALUES)
    assert asked[1] == 6
    assert 1 <= asked[2] <= 6
    map_spectra(layer(SPECTRA["too steep for squares"]), rows(), N_VALUES)
    assert asked[-1] == 6


def test_a_summary_is_the_mean_and_the_quantiles_of_each_rank():
    values = RNG(2).lognormal(size=(40, 3)).astype(np.float32)
    summary = spectrum_summary(values, quantiles=(0.25, 0.5))
    np.testing.assert_allclose(summary.mean, [np.sum(column.astype(float)) / 40 for column in values.T])
    for number, share in enumerate((0.25, 0.5)):
        below = (values <= summary.quantiles[number]).mean(axis=0)
        np.testing.assert_allclose(below, share, atol=1 / 40)
    assert summary.quantiles.shape == (2, 3)
    with pytest.raises(ValueError, match=r"`values` must be of shape \(n_rows, rank\), not empty; got \(0, 3\)"):
        spectrum_summary(values[:0])
    with pytest.raises(ValueError, match="`quantiles` must be >= 0 and <= 1; got 1.5"):
        spectrum_summary(values, quantiles=(1.5,))


MEMORY = """
import resource, sys
import numpy as np
from contractive import batched, geometry
from contractive.geometry import _neighbors
from contractive.models import initialize
batched.MAX_BLOCK_FLOATS = _neighbors.MAX_BLOCK_FLOATS = 1 << 19
rng = np.random.RandomState(0)
model = initialize(100, 120, rng=rng)
left, _, right = np.linalg.svd(np.asarray(model.weight), full_matrices=False)
falling = (left * 8 * 0.9 ** np.arange(100)) @ right
model = type(model)(falling.astype("float32"), model.hidden_bias, model.visible_bias)
def measure(n):
    x = rng.randint(256, size=(n, 100)).astype(np.uint8)
    if sys.argv[1] == "spectra":
        geometry.map_spectra(model, x, 2, uint8_scale=256)
    else:
        geometry.neighbor_contraction(model, x, seed=0, n_bins=3, uint8_scale=256)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(measure(4096), measure(8 * 4096))
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["spectra", "neighbors"])
def test_memory_does_not_grow_with_the_rows(what: str):
    process = subprocess.run([sys.executable, "-c", MEMORY, what], capture_output=True, text=True, check=True)
    some, eightfold = (int(number) / 1024 for number in process.stdout.split())
    data = 8 * 4096 * (8 * 100 + 3 * 8) / 2**20  # the rows as they are drawn, and what is returned of them
    assert eightfold - some < data + 10, "MiB; the Krylov spaces of all rows would be 400, all distances 192"
