"""Corruption of one example before it is encoded: masking, Gaussian noise, salt and pepper."""

import abc
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp

from ._typing import Array, Float, RandomKey, Visible

__all__ = ["CORRUPTIONS", "Corruption", "Gaussian", "Masking", "SaltAndPepper"]

Level = float | Float[Array, ""]


class Corruption(eqx.Module):
    """A random change of an example; `corruption(x, key=key)` is the changed one, the same for the same key."""

    @abc.abstractmethod
    def __call__(self, x: Visible, *, key: RandomKey) -> Visible:
        """The corrupted example."""


class Masking(Corruption):
    """Sets each entry to zero with probability `level`, independently.

    Args:
        level: in [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(Masking(1.0)(jnp.ones(3), key=jax.random.key(0)))
        [0. 0. 0.]

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.3 (masking noise).
    """

    level: Level

    def __call__(self, x: Visible, *, key: RandomKey) -> Visible:
        """x_j where a draw says so, else 0."""
        return jnp.where(jax.random.bernoulli(key, self.level, x.shape), jnp.zeros_like(x), x)


class Gaussian(Corruption):
    """Adds independent N(0, std^2) to each entry.

    Args:
        std: standard deviation >= 0, in units of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(Gaussian(0.0)(jnp.ones(3), key=jax.random.key(0)))
        [1. 1. 1.]

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.3 (additive isotropic Gaussian noise).
    """

    std: Level

    def __call__(self, x: Visible, *, key: RandomKey) -> Visible:
        """X + std * noise."""
        return x + self.std * jax.random.normal(key, x.shape, x.dtype)


class SaltAndPepper(Corruption):
    """Sets each entry with probability `level` to `low` or to `high`, each half of the times.

    Args:
        level: in [0, 1].
        low: the least value of the data, in units of x.
        high: the greatest value of the data, in units of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = SaltAndPepper(1.0)(jnp.full(100, 0.5), key=jax.random.key(0))
        >>> sorted(set(x.tolist()))
        [0.0, 1.0]

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.3 (salt-and-pepper noise).
    """

    level: Level
    low: Level = 0.0
    high: Level = 1.0

    def __call__(self, x: Visible, *, key: RandomKey) -> Visible:
        """x_j where a draw says so, else an extreme by a fair coin; one uniform draw decides both."""
        draw = jax.random.uniform(key, x.shape, x.dtype)
        extreme = jnp.where(draw < self.level / 2, self.low, self.high).astype(x.dtype)
        return jnp.where(draw < self.level, extreme, x)


CORRUPTIONS = MappingProxyType({"masking": Masking, "gaussian": Gaussian, "salt_and_pepper": SaltAndPepper})
"""Every corruption by name."""
