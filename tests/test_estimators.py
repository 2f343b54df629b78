"""One auto-encoder behind the scikit-learn face: its numbers against NumPy and automatic differentiation."""

import time
import warnings
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.exceptions import NotFittedError

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder, batched
from contractive.estimators import ESTIMATORS
from contractive.penalties import WeightDecay
from contractive.presets import CLASSIFIERS, MODELS, PRESETS
from contractive.training import run_chunk
from toys import X, small


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def fitted(request):
    return small(tied_weights=request.param).fit(X)


def codes_by_hand(estimator: ContractiveAutoencoder, rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(rows @ estimator.components_.T + estimator.intercept_)))


def test_transform_is_the_code(fitted):
    np.testing.assert_allclose(fitted.transform(X), codes_by_hand(fitted, X), rtol=1e-5)


def test_inverse_transform_and_reconstruct_agree_with_numpy(fitted):
    codes = codes_by_hand(fitted, X)
    decoder = fitted.components_.T if fitted.decoder_components_ is None else fitted.decoder_components_
    expected = 1 / (1 + np.exp(-(codes @ decoder.T + fitted.visible_intercept_)))
    np.testing.assert_allclose(fitted.inverse_transform(codes), expected, rtol=1e-4)
    np.testing.assert_allclose(fitted.reconstruct(X), expected, rtol=1e-4)


def test_score_samples_is_minus_the_cross_entropy_in_nats(fitted):
    r = fitted.reconstruct(X).astype(np.float64)
    expected = np.sum(X * np.log(r) + (1 - X) * np.log(1 - r), axis=1)
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-4)
    assert fitted.score(X) == pytest.approx(expected.mean(), rel=1e-4)


def test_score_samples_is_minus_the_squared_error():
    estimator = small(loss="squared_error").fit(X)
    expected = -np.sum((X - estimator.reconstruct(X)) ** 2, axis=1)
    np.testing.assert_allclose(estimator.score_samples(X), expected, rtol=1e-4)


def test_odd_rows_score_lower():
    estimator = small(n_components=32, max_epochs=30, optimizer="adam", learning_rate=0.01, loss="squared_error").fit(X)
    rng = np.random.default_rng(0)
    noise, scrambled = rng.uniform(size=X.shape), rng.permuted(X, axis=1)
    for odd in (noise, scrambled):  # no digits, or the digits' own pixels out of place
        pairs = estimator.score_samples(X)[:, None] > estimator.score_samples(odd)
        assert pairs.mean() > 0.99


def test_jacobian_and_its_norm_equal_automatic_differentiation(fitted):
    def encode(x):
        return jax.nn.sigmoid(fitted.components_ @ x + fitted.intercept_)

    expected = np.asarray(jax.vmap(jax.jacfwd(encode))(jnp.asarray(X)))
    np.testing.assert_allclose(fitted.jacobian(X), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(fitted.contraction_norm(X), np.linalg.norm(expected, axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 200])
def test_rows_do_not_depend_on_their_company(fitted, n_rows):
    np.testing.assert_allclose(fitted.transform(X[:n_rows]), fitted.transform(X)[:n_rows], rtol=1e-6)


def test_many_rows_go_through_in_blocks(fitted, monkeypatch):
    whole = fitted.jacobian(X)
    monkeypatch.setattr("contractive.batched.MAX_BLOCK_FLOATS", 40 * whole[0].size)
    with patch.object(batched, "_apply", wraps=batched._apply) as apply:
        np.testing.assert_allclose(fitted.jacobian(X), whole, rtol=1e-6)
    assert apply.call_count > 5


def test_first_weight_is_drawn_first_from_the_random_state():
    estimator = small(random_state=123, optimizer="sgd", learning_rate=1e-30).fit(X)
    radius = 4 * np.sqrt(6 / (64 + 7))
    expected = np.random.RandomState(123).uniform(-radius, radius, (64, 7)).T
    np.testing.assert_allclose(estimator.components_, expected, rtol=1e-6)


def test_contraction_shrinks_the_jacobian():
    plain, contracted = (small(contraction=c, max_epochs=20, learning_rate=0.01).fit(X) for c in (0.0, 1.0))
    assert contracted.contraction_norm(X).mean() < 0.7 * plain.contraction_norm(X).mean()


def test_weight_decay_shrinks_the_weight():
    plain, decayed = (
        small(contraction=0, weight_decay=w, max_epochs=20, learning_rate=0.01).fit(X) for w in (0.0, 0.1)
    )
    assert np.linalg.norm(decayed.components_) < 0.7 * np.linalg.norm(plain.components_)


@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "softplus", "gelu", "linear"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_every_activation_learns_with_every_optimizer(activation, optimizer):
    estimator = small(
        activation=activation,
        optimizer=optimizer,
        learning_rate=1e-3,
        loss="squared_error",
        max_epochs=15,
        contraction=0.01,
    ).fit(X)
    assert estimator.loss_curve_[-1] < 0.97 * estimator.loss_curve_[0]


def test_an_optax_transformation_brings_its_own_learning_rate():
    of_optax, by_name = small(optimizer=optax.sgd(0.01), learning_rate=9.0), small(optimizer="sgd", learning_rate=0.01)
    np.testing.assert_array_equal(of_optax.fit(X).components_, by_name.fit(X).components_)


def test_same_seed_same_bits_and_other_seed_others():
    first, again, other = (small(random_state=seed).fit(X) for seed in (1, 1, 2))
    assert first.components_.tobytes() == again.components_.tobytes()
    assert first.components_.tobytes() != other.components_.tobytes()


def test_a_slice_of_a_larger_array_is_the_array_it_looks_like():
    wide = np.random.RandomState(0).uniform(size=(400, 128)).astype(np.float32)
    wide[::2, ::2] = X
    np.testing.assert_array_equal(small().fit(wide[::2, ::2]).components_, small().fit(X).components_)


@pytest.mark.parametrize("convert", [np.asfortranarray, lambda x: x[::-1].copy()[::-1], lambda x: x.astype(">f4")])
def test_layout_of_the_data_does_not_matter(convert):
    np.testing.assert_array_equal(small().fit(convert(X)).components_, small().fit(X).components_)


def test_bytes_are_pixels_over_256_and_booleans_are_zero_and_one():
    pixels = (X * 255).astype(np.uint8)
    as_bytes, as_floats = small().fit(pixels), small().fit(pixels.astype(np.float32) / 256)
    np.testing.assert_array_equal(as_bytes.components_, as_floats.components_)
    np.testing.assert_array_equal(as_bytes.transform(pixels), as_floats.transform(pixels.astype(np.float32) / 256))
    bits = X > 0.5
    np.testing.assert_array_equal(small().fit(bits).components_, small().fit(bits.astype(np.float32)).components_)


def test_bytes_that_are_only_zero_and_one_are_doubted():
    bits = (X > 0.5).astype(np.uint8)
    with pytest.warns(UserWarning, match="read as 0 and 1/256; pass uint8_scale=1"):
        small().fit(bits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_value = small(uint8_scale=1).fit(bits)
    np.testing.assert_array_equal(by_value.components_, small().fit(bits.astype(np.float32)).components_)


def test_verbose_prints_a_line_an_epoch(capsys):
    small(verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "reconstruction_error=" in lines[0]


@pytest.mark.parametrize(
    "method", ["transform", "reconstruct", "score_samples", "score", "jacobian", "contraction_norm"]
)
def test_unfitted_estimators_say_so(method):
    with pytest.raises(NotFittedError):
        getattr(small(), method)(X)
    with pytest.raises(NotFittedError):
        small().inverse_transform(X)
    with pytest.raises(NotFittedError):
        small().save("nowhere")


def test_presets_are_parameters():
    for preset in PRESETS.values():
        assert set(preset) <= set(ContractiveAutoencoder().get_params())


def test_models_are_estimators_with_parameters():
    for name, parameters in MODELS.values():
        assert set(parameters) <= set(ESTIMATORS[name]().get_params())
    kinds = {kind.__name__ for kind in (ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder)}
    assert {name for name, _ in MODELS.values()} == kinds
    assert kinds | {name for name, _ in CLASSIFIERS.values()} == set(ESTIMATORS)


def test_a_second_estimator_of_the_same_shape_compiles_nothing():
    changes: list[dict[str, Any]] = [
        {"random_state": 5},
        {"contraction": 0.7},
        {"max_epochs": 3, "shuffle": False},
        {"learning_rate": 0.5},
        {"callbacks": [print]},
        {"early_stopping": True, "validation_fraction": 0.5},
    ]
    steps: Any = run_chunk
    small().fit(X[:100])
    for change in changes:
        n_rows = 200 if "early_stopping" in change else 100
        before = steps._cache_size()
        small(**change).fit(X[:n_rows])
        assert steps._cache_size() == before, change
    before = steps._cache_size()
    small(weight_decay=0.1).fit(X[:100])
    assert steps._cache_size() == before + 1  # the count means something
    small(weight_decay=0.2).fit(X[:100])
    small(penalty=WeightDecay(0.2), weight_decay=0.0).fit(X[:100])
    assert steps._cache_size() == before + 2


@pytest.mark.parametrize("kind", [ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder])
def test_a_fit_on_20_rows_is_quick_once_it_is_compiled(kind):
    kind().fit(X[:20])
    seconds = []
    for _ in range(7):
        start = time.process_time()  # not of the clock: other processes may be at work
        kind().fit(X[:20])
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.25  # to compile takes a second
