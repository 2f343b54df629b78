"""The corruptions: how often they change what, and to what. See also `test_properties.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.corruption import CORRUPTIONS, Gaussian, Masking, SaltAndPepper
from routes import times_compiled

SIZE = 100_000
ROW = jnp.asarray(np.random.RandomState(0).uniform(0.2, 0.8, SIZE).astype(np.float32))


def assert_fraction(hits: np.ndarray, level: float) -> None:
    """A count is within four standard deviations of what is expected."""
    assert abs(hits.mean() - level) <= 4 * np.sqrt(level * (1 - level) / hits.size)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_masking_sets_the_stated_fraction_to_zero_and_nothing_else(level):
    seen = np.asarray(Masking(level)(ROW, key=jax.random.key(1)))
    assert_fraction(seen == 0, level)
    np.testing.assert_array_equal(seen[seen != 0], np.asarray(ROW)[seen != 0])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_salt_and_pepper_sets_half_of_the_stated_fraction_each(level, low, high):
    seen = np.asarray(SaltAndPepper(level, low=low, high=high)(ROW, key=jax.random.key(2)))
    changed = seen != np.asarray(ROW)
    assert_fraction(changed, level)
    assert_fraction(seen == low, level / 2)
    assert_fraction(seen == high, level / 2)
    assert set(seen[changed].tolist()) == {low, high}


@pytest.mark.parametrize("std", [0.1, 2.0])
def test_gaussian_noise_has_mean_zero_and_the_stated_deviation(std):
    noise = np.asarray(Gaussian(std)(ROW, key=jax.random.key(3)) - ROW)
    assert abs(noise.mean()) < 4 * std / np.sqrt(SIZE)
    assert abs(noise.std() / std - 1) < 4 / np.sqrt(2 * SIZE)
    assert_fraction(np.abs(noise) < std, 0.6827)


@pytest.mark.parametrize("change", [kind(0.0) for kind in CORRUPTIONS.values()], ids=[*CORRUPTIONS])
def test_level_zero_changes_nothing(change):
    np.testing.assert_array_equal(change(ROW, key=jax.random.key(4)), ROW)


def test_level_one_leaves_nothing():
    assert not Masking(1.0)(ROW, key=jax.random.key(5)).any()
    assert set(np.unique(SaltAndPepper(1.0)(ROW, key=jax.random.key(6))).tolist()) == {0.0, 1.0}


def test_entries_are_changed_independently_of_each_other():
    seen = np.asarray(
        jax.vmap(lambda key: Masking(0.5)(jnp.ones(8), key=key))(jax.random.split(jax.random.key(7), 4000))
    )
    correlation = np.corrcoef(seen.T) - np.eye(8)
    assert np.abs(correlation).max() < 4 / np.sqrt(len(seen))


def test_another_level_is_no_other_program():
    corrupt = jax.jit(lambda change, key: change(ROW, key=key))
    for kind in CORRUPTIONS.values():
        before = times_compiled(corrupt)
        for level in (0.1, 0.2):
            change, key = kind(level), jax.random.key(8)
            np.testing.assert_allclose(corrupt(change, key), change(ROW, key=key), rtol=1e-3, atol=1e-6)
        assert times_compiled(corrupt) == before + 1
