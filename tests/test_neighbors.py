"""The contraction between real rows against every pair written out with scikit-learn's neighbours."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from contractive.geometry import _neighbors as neighbors
from contractive.geometry import neighbor_contraction
from contractive.models import AutoEncoder, initialize

pytestmark = pytest.mark.usefixtures("quickly_compiled")

RNG = np.random.RandomState
MODEL = initialize(12, 7, rng=RNG(0))
X = RNG(1).normal(size=(60, 12)).astype(np.float32)


def codes(x: np.ndarray) -> np.ndarray:
    layer: Any = MODEL
    return 1 / (
        1 + np.exp(-(x.astype(float) @ np.asarray(layer.weight, float).T + np.asarray(layer.hidden_bias, float)))
    )


def test_pairs_are_the_nearest_rows_and_random_ones():
    found = neighbor_contraction(MODEL, X, seed=3, n_rows=60, n_neighbors=4, n_bins=1)
    distances, places = NearestNeighbors(n_neighbors=5).fit(X).kneighbors(X)
    ends = np.concatenate([places[:, 1:], partners_drawn(3)], axis=1)
    starts = np.repeat(np.arange(60), 8).reshape(60, 8)
    apart = np.linalg.norm(X[starts].astype(float) - X[ends], axis=-1)
    moved = np.linalg.norm(codes(X)[starts] - codes(X)[ends], axis=-1)
    kept = apart > 0
    ratios = moved[kept] / apart[kept]
    np.testing.assert_allclose(found.nearest, distances[:, 1], rtol=1e-6)
    assert found.counts.tolist() == [kept.sum()]
    np.testing.assert_allclose(found.distances, [apart[kept].mean()], rtol=1e-6)
    np.testing.assert_allclose(found.means, [ratios.mean()], rtol=1e-5)
    np.testing.assert_allclose(found.quantiles[:, 0], np.quantile(ratios, [0.1, 0.5, 0.9]), rtol=1e-5)


def partners_drawn(seed: int) -> np.ndarray:
    rng = RNG(seed)
    rng.choice(60, size=60, replace=False)
    return rng.randint(60, size=(60, 4))


def test_bins_share_the_pairs_among_them():
    whole = neighbor_contraction(MODEL, X, seed=0, n_rows=20, n_bins=1)
    found = neighbor_contraction(MODEL, X, seed=0, n_rows=20, n_bins=6)
    assert found.counts.sum() == whole.counts[0]
    assert (np.diff(found.distances) > 0).all()
    np.testing.assert_allclose(found.means @ found.counts / found.counts.sum(), whole.means[0])
    assert (found.quantiles[0] <= found.quantiles[1]).all()
    assert (found.quantiles[1] <= found.quantiles[2]).all()


@pytest.mark.parametrize("kind", [csr_array, np.asarray])
def test_rows_of_every_kind_in_blocks_of_any_size(kind: Any, monkeypatch: pytest.MonkeyPatch):
    pixels = (RNG(6).uniform(size=(40, 12)) * 255).astype(np.uint8)
    whole = neighbor_contraction(MODEL, pixels / np.float64(256), seed=1, n_rows=8)
    monkeypatch.setattr(neighbors, "MAX_BLOCK_FLOATS", 300)
    found = neighbor_contraction(MODEL, kind(pixels), seed=1, n_rows=8, uint8_scale=256)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_a_linear_isometry_contracts_nothing():
    model = AutoEncoder(jnp.eye(5), jnp.zeros(5), jnp.zeros(5), activation="linear")
    found = neighbor_contraction(model, X[:, :5], seed=0)
    np.testing.assert_allclose(found.quantiles, 1, rtol=1e-5)


def test_equal_rows_are_no_neighbors():
    found = neighbor_contraction(MODEL, np.repeat(X[:10], 3, axis=0), seed=0, n_neighbors=4)
    gaps = np.linalg.norm(X[:10, None].astype(float) - X[:10], axis=-1) + np.diag(np.full(10, np.inf))
    assert found.distances.min() >= gaps.min() * (1 - 1e-6)
    for same in (X[:1], np.repeat(X[:1], 4, axis=0)):
        with pytest.raises(ValueError, match=f"`rows` must hold at least 2 different rows; got {len(same)} that are"):
            neighbor_contraction(MODEL, same, seed=0)


@pytest.mark.parametrize("name", ["n_rows", "n_neighbors", "n_bins"])
def test_counts_are_whole_numbers(name: str):
    options: Any = {name: 0}
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number >= 1; got 0."):
        neighbor_contraction(MODEL, X, seed=0, **options)
