"""What a spectrum says of an example, and how far apart two codes can be at most."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Int, Scalar, Visible
from .._validation import check_interval
from ..jacobian import encoder_differential, matrix
from ..models import Model
from ._tangents import scaled

__all__ = [
    "SpectrumSummary",
    "effective_dimension",
    "lipschitz_bound",
    "n_directions",
    "participation_ratio",
    "spectrum_summary",
]

SingularValues = Float[Array, " rank"]


def participation_ratio(values: SingularValues) -> Scalar:
    """(sum sigma^2)^2 / sum sigma^4: in how many directions the code changes, each counted by its share.

    k equal singular values beside zeros give k; the ratio is at least 1, and 0 where all are zero.

    Args:
        values: the singular values of J at one example, in any order.

    Example:
        >>> import jax.numpy as jnp
        >>> print(participation_ratio(jnp.array([2.0, 2.0, 0.0])))
        2.0

    References:
        Gao et al., A theory of multineuronal dimensionality, dynamics and measurement, 2017, equation (1), where the
        eigenvalues are the squares here.
    """
    squares = scaled(values) ** 2
    return _ratio(jnp.sum(squares), jnp.sum(squares**2))


def effective_dimension(model: Model, x: Visible) -> Scalar:
    """The participation ratio of the spectrum at x without the spectrum: ||J||_F^4 / ||J J^T||_F^2.

    For one dense layer with slopes s it is (sum_i s_i^2 G_ii)^2 / sum_ij s_i^2 G_ij^2 s_j^2 with G = W W^T, which many
    examples share; else it takes J.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        From 1 to the rank of J; 0 where J is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.eye(3), jnp.zeros(3), jnp.zeros(3))
        >>> print(effective_dimension(model, jnp.zeros(3)))
        3.0
    """
    differential = encoder_differential(model, model.forward(x))
    if differential.weights is not None and len(differential.weights) == 1:
        (weight,), (slope,) = differential.weights, differential.slopes
        gram, squares = weight @ weight.T, scaled(slope) ** 2
        trace, square = squares @ jnp.diagonal(gram), squares @ gram**2 @ squares
    else:
        J = scaled(matrix(differential))
        gram = J @ J.T if J.shape[0] < J.shape[1] else J.T @ J
        trace, square = jnp.trace(gram), jnp.sum(gram**2)
    return _ratio(trace, square)


def _ratio(squares: Scalar, fourths: Scalar) -> Scalar:
    """(sum sigma^2)^2 / sum sigma^4 from both sums; 0 where they are."""
    return jnp.where(fourths > 0, squares**2 / jnp.where(fourths > 0, fourths, 1), 0)


def n_directions(values: SingularValues, share: float | Float[Array, ""] = 0.1) -> Int[Array, ""]:
    """How many singular values exceed `share` of the largest.

    Args:
        values: the singular values of J at one example, in any order.
        share: in [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> print(n_directions(jnp.array([2.0, 1.0, 0.1]), 0.4))
        2
    """
    return jnp.sum(values > share * jnp.max(values))


def lipschitz_bound(model: Model) -> float:
    """An upper bound of ||f(x) - f(y)|| / ||x - y|| over all x and y: prod_l ||W_l||_2 max_a |s_l'(a)|.

    It holds everywhere and may be far above what is found at data; see `singular_values` for that.

    Args:
        model: the auto-encoder, whose encoder is bounded.

    Returns:
        The bound; infinity for an encoder or a nonlinearity of the user's own, of which nothing is known.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> lipschitz_bound(AutoEncoder(3 * jnp.eye(2), jnp.zeros(2), jnp.zeros(2)))  # a sigmoid's slope is at most 1/4
        0.75

    References:
        Szegedy et al., Intriguing properties of neural networks, ICLR 2014, section 4.3.
    """
    if model.encoder_layers is None:
        return math.inf
    factors = (
        float(np.linalg.norm(np.asarray(layer.weight, np.float64), 2)) * layer.activation.steepest
        for layer in model.encoder_layers
    )
    return math.prod(factors)


class SpectrumSummary(NamedTuple):
    """What spectra of many rows have in common.

    Args:
        mean: of each rank.
        quantiles: of each rank, a row a share.
    """

    mean: np.ndarray
    quantiles: np.ndarray


def spectrum_summary(values: np.ndarray, *, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> SpectrumSummary:
    """The mean over rows and quantiles of each singular value, the largest first.

    Args:
        values: of shape (n_rows, rank), of each row the largest first, as `spectrum` returns them.
        quantiles: shares of the rows, in [0, 1].

    Returns:
        The mean, of shape (rank,), and the quantiles, of shape (n_quantiles, rank), both float64.

    Raises:
        ValueError: if `values` is not 2-d, or empty, or a share is out of range.

    Example:
        >>> import numpy as np
        >>> mean, (median,) = spectrum_summary(np.array([[4.0, 1.0], [2.0, 0.5], [9.0, 0.3]]), quantiles=[0.5])
        >>> print(mean, median)
        [5.  0.6] [4.  0.5]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, figure 2.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"`values` must be of shape (n_rows, rank), not empty; got {values.shape}.")
    shares = [check_interval("quantiles", share, low=0, high=1) for share in quantiles]
    return SpectrumSummary(np.mean(values, axis=0, dtype=float), np.quantile(np.asarray(values, float), shares, axis=0))
