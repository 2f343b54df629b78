"""The walk along the tangents and Parzen windows against closed forms, scikit-learn and a known entropy."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KernelDensity

from contractive import sampling
from contractive.models import AutoEncoder
from contractive.sampling import choose_parzen_std, parzen_log_likelihood, sample_walk, through_tangents, walk_step
from registry import MODELS
from routes import jacobians, jit_for_once, random_model, sigmoid

RNG = np.random.RandomState


@pytest.fixture
def quick_walks(monkeypatch):
    """Walks that are compiled in a fifth of the time."""
    monkeypatch.setattr(sampling, "_walks", jit_for_once(inspect.unwrap(sampling._walks), static_argnames="n_kept"))


@pytest.mark.parametrize("name", MODELS)
def test_the_noise_goes_through_the_jacobian_and_back(name, x64):
    model, rng = MODELS[name](), RNG(0)
    x, alpha = jnp.asarray(rng.uniform(size=model.n_features)), jnp.asarray(rng.normal(size=model.n_hidden))
    h, moved = jit_for_once(lambda x, alpha: through_tangents(model, x, alpha))(x, alpha)
    J = jacobians(model, x[None])[0]
    np.testing.assert_allclose(moved, J @ J.T @ np.asarray(alpha), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(h, model.encode(x), rtol=1e-12)


def test_for_one_layer_it_is_the_closed_form_of_the_paper(x64):
    model = random_model(RNG(1), tied=True, activation="sigmoid", loss="cross_entropy")
    x, alpha = RNG(2).uniform(size=5), RNG(3).normal(size=3)
    W, h = np.asarray(model.weight), sigmoid(np.asarray(model.weight) @ x + np.asarray(model.hidden_bias))
    s = h * (1 - h)
    expected = (W @ W.T) * np.outer(s, s) @ alpha
    np.testing.assert_allclose(through_tangents(model, jnp.asarray(x), jnp.asarray(alpha))[1], expected, rtol=1e-12)


def linear(rng: Any, scale: float = 0.3) -> AutoEncoder:
    shapes = (3, 5), (3,), (5,), (5, 3)
    return AutoEncoder(*(jnp.asarray(scale * rng.normal(size=shape)) for shape in shapes), activation="linear")


def test_mean_and_covariance_of_a_step_and_of_the_stationary_walk_are_the_closed_form(x64):
    model, std, n = linear(RNG(4)), 0.7, 10_000
    W, b, c, V = (np.asarray(part) for part in jax.tree.leaves(model))
    x = RNG(5).normal(size=5)
    keys = jax.random.split(jax.random.key(0), n)
    step = jax.jit(jax.vmap(lambda key: walk_step(model, jnp.asarray(x), std=jnp.asarray(std), key=key)))
    noise = std * V @ W @ W.T  # x' = V (W x + b + W W^T alpha) + c

    def assert_moments(states: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        np.testing.assert_array_less(np.abs(states.mean(axis=0) - mean), 4.5 * np.sqrt(np.diag(covariance) / n))
        np.testing.assert_array_less(np.abs(np.cov(states.T) - covariance), 4.5 * scale * np.sqrt(2 / n))

    assert_moments(np.asarray(step(keys)), V @ (W @ x + b) + c, noise @ noise.T)
    A = V @ W
    assert np.abs(np.linalg.eigvals(A)).max() < 0.9
    mean, covariance = np.linalg.solve(np.eye(5) - A, V @ b + c), np.zeros((5, 5))
    for _ in range(400):  # C = A C A^T + noise noise^T
        covariance = A @ covariance @ A.T + noise @ noise.T
    chains = sample_walk(model, np.tile(x, (n, 1)), n_steps=1, burn_in=59, std=std, seed=1)
    assert_moments(chains[:, 0], mean, covariance)


def test_thinning_and_burn_in_choose_among_the_same_states(quick_walks):
    model, starts = MODELS["deep tied"](), RNG(6).uniform(size=(3, 6))
    options: Any = {"std": 0.5, "seed": 3}
    whole = sample_walk(model, starts, n_steps=12, **options)
    assert whole.shape == (3, 12, 6)
    np.testing.assert_array_equal(sample_walk(model, starts, n_steps=12, thinning=4, **options), whole[:, 3::4])
    np.testing.assert_array_equal(sample_walk(model, starts, n_steps=11, thinning=4, **options), whole[:, 3:8:4])
    np.testing.assert_array_equal(
        sample_walk(model, starts, n_steps=7, burn_in=5, thinning=3, **options), whole[:, [7, 10]]
    )


def test_a_walk_is_a_function_of_its_seed_and_chains_differ(quick_walks):
    model, starts = MODELS["sigmoid tied cross-entropy"](), np.full((2, 6), 0.5)
    one, same, other = (sample_walk(model, starts, n_steps=3, std=1.0, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one[0] - one[1]).max() > 1e-3
    still = sample_walk(model, starts, n_steps=1, std=0.0, seed=0)[:, 0]
    np.testing.assert_allclose(still[0], model.reconstruct(jnp.asarray(starts[0], model.dtype)), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_steps": 0}, "`n_steps` must be a whole number >= 1; got 0."),
        ({"n_steps": 2, "thinning": 3}, "`n_steps` must be a whole number >= 3; got 2."),
        ({"thinning": 0}, "`thinning` must be a whole number >= 1; got 0."),
        ({"burn_in": -1}, "`burn_in` must be a whole number >= 0; got -1."),
        ({"std": -0.5}, "`std` must be >= 0; got -0.5."),
    ],
)
def test_wrong_arguments_of_a_walk_are_refused(options, words):
    with pytest.raises(ValueError, match=".") as caught:
        sample_walk(linear(RNG(0)), np.ones((1, 5)), **({"n_steps": 3, "std": 1.0, "seed": 0} | options))
    assert str(caught.value) == words


@pytest.mark.parametrize("std", [0.05, 0.4, 3.0])
def test_parzen_windows_equal_scikit_learns(std, monkeypatch):
    rng = RNG(7)
    samples, rows = 5 + rng.normal(size=(40, 6)), 5 + rng.normal(size=(23, 6))
    expected = KernelDensity(kernel="gaussian", bandwidth=std).fit(samples).score_samples(rows)
    whole = parzen_log_likelihood(samples, rows, std)
    np.testing.assert_allclose(whole.rows, expected, rtol=1e-9)
    np.testing.assert_allclose(whole.mean, expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(whole.standard_error, expected.std(ddof=1) / np.sqrt(23), rtol=1e-9)
    monkeypatch.setattr(sampling, "_BLOCK_ENTRIES", 3 * 40)
    np.testing.assert_allclose(parzen_log_likelihood(samples, rows, std).rows, whole.rows, rtol=1e-12)


def test_the_likelihood_of_a_gaussians_rows_is_minus_its_entropy():
    rng = RNG(8)
    samples, rows = rng.normal(size=(6000, 2)), rng.normal(size=(2000, 2))
    found = parzen_log_likelihood(samples, rows, 0.2)
    entropy = np.log(2 * np.pi * np.e)  # of 2 independent standard normal numbers, in nats
    assert abs(found.mean + entropy) < 3 * found.standard_error + 0.04
    np.testing.assert_allclose(found.standard_error, 1 / np.sqrt(2000), rtol=0.1)  # log p varies by 2 * 1/2


def test_the_width_is_chosen_by_the_likelihood_of_validation_rows():
    rng, stds = RNG(9), [0.01, 0.1, 0.3, 1.0, 3.0]
    samples, rows = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    means = [parzen_log_likelihood(samples, rows, std).mean for std in stds]
    assert choose_parzen_std(samples, rows, stds) == stds[int(np.argmax(means))] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((2, 3)), np.ones((2, 4)), 1.0), "got shapes (2, 3) and (2, 4)."),
        ((np.ones((0, 3)), np.ones((2, 3)), 1.0), "got shapes (0, 3) and (2, 3)."),
        ((np.ones((2, 3)), np.ones((2, 3)), 0.0), "`std` must be > 0; got 0.0."),
    ],
)
def test_wrong_arguments_of_parzen_windows_are_refused(arguments, words):
    with pytest.raises(ValueError, match=".") as caught:
        parzen_log_likelihood(*arguments)
    assert str(caught.value).endswith(words)
    with pytest.raises(ValueError, match="`stds` must hold at least one width; got none"):
        choose_parzen_std(np.ones((2, 3)), np.ones((2, 3)), [])
