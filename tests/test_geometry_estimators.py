"""Tangents, spectra and samples of fitted estimators."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError

from contractive import ContractiveAutoencoder, StackedAutoencoder
from contractive.models import Model
from toys import X, small

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.fixture(scope="module")
def cae() -> Any:
    return small().fit(X)


def test_tangents_and_spectrum_are_those_of_the_jacobians(cae):
    rows = X[:5]
    tangents, spectrum, jacobians = cae.tangents(rows, n_tangents=3), cae.spectrum(rows), cae.jacobian(rows)
    assert tangents.shape == (5, 3, 64)
    assert spectrum.shape == (5, 7)
    np.testing.assert_allclose(spectrum, np.linalg.svd(jacobians, compute_uv=False), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(cae.spectrum(rows, 3), spectrum[:, :3], rtol=1e-4, atol=1e-6)
    ratio = (spectrum**2).sum(axis=1) ** 2 / (spectrum**4).sum(axis=1)
    np.testing.assert_allclose(cae.effective_dimension(rows), ratio, rtol=1e-4)
    through = np.linalg.norm(jacobians @ np.swapaxes(tangents, 1, 2), axis=1)
    np.testing.assert_allclose(through, spectrum[:, :3], rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.sum(spectrum**2, axis=1)), cae.contraction_norm(rows), rtol=1e-5)


def test_rows_of_every_kind_have_the_same_geometry():
    pixels = (X * 255).astype(np.uint8)
    fitted = small(uint8_scale=256, max_epochs=1).fit(pixels)
    floats = pixels[:4] / np.float32(256)
    for kind in (pixels[:4], csr_array(floats), floats.tolist()):
        np.testing.assert_allclose(fitted.tangents(kind, 2), fitted.tangents(floats, 2), atol=1e-4)
        np.testing.assert_allclose(fitted.spectrum(kind), fitted.spectrum(floats), rtol=1e-4, atol=1e-6)
    same: Any = {"std": 0.3, "random_state": 1}
    samples = [fitted.sample(6, X=kind, **same) for kind in (pixels[:4], csr_array(floats), floats)]
    for other in samples[1:]:
        np.testing.assert_allclose(other, samples[0], atol=1e-5)


def test_float64_is_computed_in_float64():
    fitted = small(max_epochs=1).fit(X[:50].astype(np.float64))
    rows = X[:2].astype(np.float64)
    assert fitted.tangents(rows, 7).dtype == fitted.spectrum(rows).dtype == fitted.sample(2).dtype == np.float64
    tangents = fitted.tangents(rows, 7)
    np.testing.assert_allclose(tangents @ np.swapaxes(tangents, 1, 2), np.stack([np.eye(7)] * 2), atol=1e-12)


def test_samples_depend_on_the_seed_and_begin_where_they_are_told(cae):
    one, same, other = (cae.sample(4, random_state=seed) for seed in (0, 0, 1))
    assert one.shape == (4, 64)
    assert ((one > 0) & (one < 1)).all()
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4
    # Without noise a walk is the reconstruction of the reconstruction of ...
    expected = cae.reconstruct(cae.reconstruct(X[7:8]))
    np.testing.assert_allclose(cae.sample(2, n_steps=2, std=0.0, X=X[7:8]), np.repeat(expected, 2, 0), atol=1e-5)
    assert isinstance(cae.model_, Model)


def test_a_stack_has_the_geometry_of_all_its_layers():
    stack = StackedAutoencoder([small(max_epochs=1), small(n_components=4, max_epochs=1)]).fit(X)
    assert stack.tangents(X[:2], 4).shape == (2, 4, 64)
    np.testing.assert_allclose(
        stack.spectrum(X[:2]), np.linalg.svd(stack.jacobian(X[:2]), compute_uv=False), rtol=1e-3, atol=1e-6
    )
    assert stack.sample(3, random_state=0).shape == (3, 64)


@pytest.mark.parametrize("call", ["tangents", "spectrum"])
def test_what_is_not_fitted_says_so(call):
    with pytest.raises(NotFittedError):
        getattr(ContractiveAutoencoder(), call)(X)
    with pytest.raises(NotFittedError):
        ContractiveAutoencoder().sample()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda cae: cae.tangents(X, 0), ValueError, "`n_tangents` must be a whole number >= 1; got 0."),
        (lambda cae: cae.tangents(X), ValueError, "`n_tangents` must be <= 7, the rank of the Jacobian of 64-7 units"),
        (lambda cae: cae.tangents(X, 2.0), TypeError, "`n_tangents` must be a whole number >= 1; got 2.0."),
        (lambda cae: cae.tangents(X[:, :5], 2), ValueError, "X has 5 features"),
        (lambda cae: cae.spectrum(np.full((1, 64), np.nan)), ValueError, "`X` must be finite; got NaN"),
        (lambda cae: cae.spectrum(X[:1], 8), ValueError, "`n_values` must be <= 7"),
        (lambda cae: cae.sample(0), ValueError, "`n_samples` must be a whole number >= 1; got 0."),
        (lambda cae: cae.sample(n_steps=0), ValueError, "`n_steps` must be a whole number >= 1; got 0."),
        (lambda cae: cae.sample(std=-1), ValueError, "`std` must be >= 0; got -1."),
        (lambda cae: cae.sample(X=X[:, :5]), ValueError, "X has 5 features"),
        (lambda cae: cae.sample(random_state="a"), TypeError, "`random_state` must be None, a RandomState"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(cae, call, error, words, unchecked):
    with pytest.raises(error, match=".") as caught:
        call(cae)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
