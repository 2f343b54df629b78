"""Samples: a walk along the tangents of the code, and how likely its samples make other rows (Parzen windows)."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._typing import Array, Float, Hidden, RandomKey, Scalar, Visible
from ._validation import check_count, check_interval
from .jacobian import encoder_differential
from .models import Model

__all__ = [
    "LogLikelihood",
    "choose_parzen_std",
    "parzen_log_likelihood",
    "sample_walk",
    "through_tangents",
    "walk_step",
]

_BLOCK_ENTRIES = 1 << 23  # of distances: 64 MiB


def through_tangents(model: Model, x: Visible, alpha: Hidden) -> tuple[Hidden, Hidden]:
    """The code h = f(x), and J J^T alpha with J = dh/dx at x: alpha as far as it lies along the manifold.

    For one layer J J^T = (W W^T) * (s s^T) with s = s'(W x + b). Here and for every other encoder it is two products,
    J (J^T alpha), and no matrix is formed.

    Args:
        model: the auto-encoder.
        x: one example.
        alpha: a direction among the codes.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(2 * jnp.eye(2), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> print(through_tangents(model, jnp.ones(2), jnp.array([1.0, 0.0]))[1])
        [4. 0.]

    References:
        Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012, section 3.
    """
    forward = model.forward(x)
    differential = encoder_differential(model, forward)
    return forward.hidden, differential.push(differential.pull(alpha))


def walk_step(model: Model, x: Visible, *, std: Scalar, key: RandomKey) -> Visible:
    """One step of the walk: x' = g(h + J J^T alpha), alpha ~ N(0, std^2 I).

    Args:
        model: the auto-encoder.
        x: where the walk is.
        std: >= 0, in units of the code over those of J J^T.
        key: what alpha depends on.

    References:
        Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012, algorithm 1.
    """
    alpha = std * jax.random.normal(key, (model.n_hidden,), x.dtype)
    h, moved = through_tangents(model, x, alpha)
    return model.decode(h + moved)


def sample_walk(
    model: Model,
    starts: np.ndarray | Float[Array, "chains features"],
    *,
    n_steps: int,
    std: float,
    seed: int,
    burn_in: int = 0,
    thinning: int = 1,
) -> np.ndarray:
    """Walks along the tangents of the code, one from each start.

    Args:
        model: the auto-encoder.
        starts: where the walks begin, of shape (n_chains, n_features); floats in units of the training data.
        n_steps: steps of each walk after the burn-in, >= `thinning`.
        std: standard deviation of alpha, >= 0; see `walk_step`.
        seed: what all steps depend on; a chain depends on it, its place and its start alone.
        burn_in: steps before those, >= 0.
        thinning: of how many steps the last one is kept, >= 1.

    Returns:
        Array of shape (n_chains, n_steps // thinning, n_features), of the model's dtype: states after steps
        burn_in + thinning, burn_in + 2 thinning, ...

    Raises:
        TypeError: if a count is no whole number, or `std` is no number.
        ValueError: if one is out of range.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> model = initialize(4, 3, rng=np.random.RandomState(0), loss="cross_entropy")
        >>> sample_walk(model, np.eye(4, dtype="float32"), n_steps=6, std=0.1, seed=0, thinning=2).shape
        (4, 3, 4)

    References:
        Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012, algorithm 1.
    """
    check_count("burn_in", burn_in, low=0)
    check_count("thinning", thinning)
    check_count("n_steps", n_steps, low=thinning)
    check_interval("std", std, low=0)
    model = jax.tree.map(jnp.asarray, model)
    x = jnp.asarray(np.asarray(starts, model.dtype))
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), np.arange(len(x)))
    deviation = jnp.asarray(np.asarray(std, model.dtype))
    return np.asarray(_walks(model, x, keys, deviation, jnp.int32(burn_in), jnp.int32(thinning), n_steps // thinning))


@partial(jax.jit, static_argnames="n_kept")
def _walks(model, x, keys, std, burn_in, thinning, n_kept: int) -> Float[Array, "chains kept features"]:
    def walk(x: Visible, key: RandomKey) -> Float[Array, "kept features"]:
        # A step's key is a function of its number, whatever is kept.
        def step(number, x: Visible) -> Visible:
            return walk_step(model, x, std=std, key=jax.random.fold_in(key, number))

        def to_the_next(x: Visible, kept) -> tuple[Visible, Visible]:
            first = burn_in + kept * thinning
            x = jax.lax.fori_loop(first, first + thinning, step, x)
            return x, x

        return jax.lax.scan(to_the_next, jax.lax.fori_loop(0, burn_in, step, x), jnp.arange(n_kept))[1]

    return jax.vmap(walk)(x, keys)


class LogLikelihood(NamedTuple):
    """A log-likelihood in nats a row.

    Args:
        mean: over the rows.
        standard_error: of that mean: the rows' standard deviation over the square root of their number.
        rows: of each row.
    """

    mean: float
    standard_error: float
    rows: np.ndarray


def parzen_log_likelihood(samples: np.ndarray, rows: np.ndarray, std: float) -> LogLikelihood:
    """The log density of rows under a Gaussian window around each sample: p(x) = mean_s N(x; s, std^2 I).

    The number is a property of the samples, of their count and of `std`, and in many dimensions a rough one.

    Args:
        samples: of shape (n_samples, n_features), n_samples >= 1.
        rows: of shape (n_rows, n_features), n_rows >= 1.
        std: > 0, in units of the data; `choose_parzen_std` finds one on other rows.

    Returns:
        Mean, standard error (0 for one row) and each row's value, in nats; computed in float64.

    Raises:
        TypeError: if `std` is no number.
        ValueError: if it is not > 0, or the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> print(f"{parzen_log_likelihood(np.zeros((3, 2)), np.zeros((1, 2)), 1.0).mean:.4f}")  # -log 2 pi
        -1.8379

    References:
        Bengio et al., Better Mixing via Deep Representations, ICML 2013, section 6.1. Theis et al., A note on the
        evaluation of generative models, ICLR 2016, section 3.2, on what it does not say.
    """
    values = np.concatenate([*_log_densities(samples, rows, [std])], axis=1)[0]
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return LogLikelihood(float(values.mean()), error, values)


def choose_parzen_std(samples: np.ndarray, validation_rows: np.ndarray, stds: Sequence[float]) -> float:
    """The width of the windows under which validation rows are the most likely.

    Args:
        samples: as for `parzen_log_likelihood`.
        validation_rows: rows that are used for nothing else, of shape (n_rows, n_features).
        stds: the widths to try, each > 0.

    Returns:
        The best of them, the first where some are as good.

    Raises:
        TypeError: if one is no number.
        ValueError: if there are none, one is not > 0, or the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> choose_parzen_std(np.zeros((1, 1)), np.array([[1.0], [-1.0]]), [0.1, 1.0, 10.0])
        1.0
    """
    if not len(stds):
        raise ValueError("`stds` must hold at least one width; got none.")
    totals = sum(part.sum(axis=1) for part in _log_densities(samples, validation_rows, stds))
    return float(stds[int(np.argmax(totals))])


def _log_densities(samples: np.ndarray, rows: np.ndarray, stds: Sequence[float]) -> Iterator[np.ndarray]:
    """The log density of block after block of rows, of shape (stds, rows of the block)."""
    widths = np.array([check_interval("std", std, low=0, strict=True) for std in stds])
    samples, rows = np.asarray(samples, np.float64), np.asarray(rows, np.float64)
    if samples.ndim != 2 or rows.ndim != 2 or samples.shape[1] != rows.shape[1] or not (len(samples) and len(rows)):
        raise ValueError(
            "`samples` and `rows` must be 2-d with as many columns and at least one row; "
            f"got shapes {samples.shape} and {rows.shape}."
        )
    # Distances do not change with the origin, and cancel less near it.
    center = samples.mean(axis=0)
    samples = samples - center
    squares = np.sum(samples**2, axis=1)
    constant = np.log(len(samples)) + samples.shape[1] * (np.log(widths) + np.log(2 * np.pi) / 2)
    block = max(1, _BLOCK_ENTRIES // len(samples))
    for start in range(0, len(rows), block):
        part = rows[start : start + block] - center
        distances = np.maximum(np.sum(part**2, axis=1)[:, None] + squares - 2 * part @ samples.T, 0)
        nearest = distances.min(axis=1)
        distances -= nearest[:, None]  # so that one term of each sum is 1
        sums = np.stack([np.log(np.exp(distances / (-2 * width**2)).sum(axis=1)) for width in widths])
        yield sums - nearest / (2 * widths[:, None] ** 2) - constant[:, None]
