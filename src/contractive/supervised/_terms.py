"""The terms of the supervised objective at one example: error, dropout, tangent propagation, smoothness."""

from typing import Any

import jax
import jax.numpy as jnp

from .._typing import ClassScores, Float, Hidden, Int, RandomKey, Scalar, Tangents, Visible
from ..models import Classifier

__all__ = [
    "dropout",
    "logits_with_dropout",
    "smoothness",
    "softmax_cross_entropy",
    "tangent_propagation",
    "tangent_propagation_estimate",
    "worst_direction",
]

Rate = float | Float[jax.Array, ""]


def softmax_cross_entropy(logits: ClassScores, label: Int[jax.Array, ""]) -> Scalar:
    """-log o_label of one example, in nats, with o the soft-max of the logits.

    Args:
        logits: z, any finite value.
        label: the number of the class, from 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{softmax_cross_entropy(jnp.zeros(4), jnp.asarray(2)):.4f}")  # log 4
        1.3863
    """
    return jax.nn.logsumexp(logits) - logits[label]


def dropout(h: Hidden, rate: Rate, *, key: RandomKey) -> Hidden:
    """Each entry is 0 with probability `rate`, else divided by 1 - rate, so that the mean stays.

    Args:
        h: any array.
        rate: in [0, 1).
        key: what the draws depend on.

    Returns:
        An array of the same shape.

    References:
        Srivastava et al., Dropout, JMLR 2014, section 4; scaled in training instead of in use.
    """
    kept = jax.random.bernoulli(key, 1 - rate, h.shape)
    return jnp.where(kept, h / (1 - rate), jnp.zeros_like(h))


def logits_with_dropout(
    classifier: Classifier, x: Visible, *, rate: Rate, input_rate: Rate, key: RandomKey
) -> ClassScores:
    """The logits with dropout of the input and after every hidden layer.

    Of an encoder that is no chain of dense layers only the code is dropped out.

    Args:
        classifier: the encoder with its output layer.
        x: one example.
        rate: share of hidden units left out, in [0, 1).
        input_rate: share of the entries of x left out, in [0, 1).
        key: what the draws depend on.

    Returns:
        z = V h + c with the code h of what is left.
    """
    layers = classifier.autoencoder.encoder_layers
    keys = jax.random.split(key, 2 + len(layers or ()))
    h = dropout(x, input_rate, key=keys[0])
    if layers is None:
        h = dropout(classifier.autoencoder.encode(h), rate, key=keys[1])
    else:
        for layer, own in zip(layers, keys[1:], strict=False):
            h = dropout(layer.activation.function(layer.preactivation(h)), rate, key=own)
    return classifier.weight @ h + classifier.bias


def tangent_propagation(classifier: Classifier, x: Visible, tangents: Tangents) -> Scalar:
    """sum_u ||(do/dx) u||^2 over the tangents u at x: how much the class probabilities change along the manifold.

    Args:
        classifier: o = softmax(V f(x) + c).
        x: one example.
        tangents: its tangent plane, one direction a row; zero rows count nothing.

    Returns:
        The sum over tangents and classes of the squared directional derivatives.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> autoencoder = AutoEncoder(jnp.eye(2), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> classifier = Classifier(autoencoder, jnp.eye(2), jnp.zeros(2))  # o = softmax(x)
        >>> print(tangent_propagation(classifier, jnp.zeros(2), jnp.array([[1.0, 0.0]])))  # 2 * (1/4)^2
        0.125

    References:
        Rifai et al., The Manifold Tangent Classifier, NIPS 2011, equation (6). Simard et al., Tangent prop, NIPS 1992.
    """
    _, push = jax.linearize(classifier.probabilities, x)
    return jnp.sum(jax.vmap(push)(tangents) ** 2)


def tangent_propagation_estimate(
    classifier: Classifier, x: Visible, tangents: Tangents, *, n_probes: int, key: RandomKey
) -> Scalar:
    """An unbiased estimate of `tangent_propagation`, at the price of `n_probes` directions instead of all.

    With independent random signs s_u, E ||(do/dx) sum_u s_u u||^2 = sum_u ||(do/dx) u||^2.

    Args:
        classifier: as for `tangent_propagation`.
        x: one example.
        tangents: its tangent plane.
        n_probes: combinations of the tangents, >= 1.
        key: what the signs depend on.

    Returns:
        The mean over probes of the sum over classes of the squared directional derivatives.

    References:
        Hutchinson, A stochastic estimator of the trace of the influence matrix, 1989, section 2.
    """
    signs = jax.random.rademacher(key, (n_probes, len(tangents)), tangents.dtype)
    return tangent_propagation(classifier, x, signs @ tangents) / n_probes


def worst_direction(
    classifier: Classifier, x: Visible, *, n_iterations: int, key: RandomKey, tangents: Tangents | None = None
) -> Visible:
    """The unit direction d in which the class probabilities change most: the leading eigenvector of F.

    F = J^T (diag(o) - o o^T) J with J = dz/dx is the Fisher information of x, and KL(o(x) || o(x + d)) is
    d^T F d / 2 up to third order. By power iteration with exact products from a random start, whose sign stays.

    Args:
        classifier: o = softmax(z).
        x: one example.
        n_iterations: steps of the power iteration, >= 1.
        key: what the start depends on.
        tangents: orthonormal directions, one a row, whose combinations alone are looked at; zero rows count nothing.
            None for all directions.

    Returns:
        A direction of length 1; where the derivative is 0, the random start.

    References:
        Miyato et al., Distributional Smoothing with Virtual Adversarial Training, ICLR 2016, section 3.1, where the
        products are finite differences. Yu et al., Tangent-Normal Adversarial Regularization, CVPR 2019, for tangents.
    """
    logits, push = jax.linearize(classifier.logits, x)
    pull = jax.linear_transpose(push, x)
    o = jax.nn.softmax(logits)

    def step(_: Any, d: Visible) -> Visible:
        moved = push(d)
        (image,) = pull(o * (moved - o @ moved))
        return _unit(within(image), otherwise=d)

    def within(d: Visible) -> Visible:
        return d if tangents is None else (tangents @ d) @ tangents

    start = within(jax.random.normal(key, x.shape, x.dtype))
    return jax.lax.fori_loop(0, n_iterations, step, _unit(start, otherwise=start))


def _unit(d: Visible, *, otherwise: Visible) -> Visible:
    """The vector scaled to length 1; where it is too short to say where it points, `otherwise`."""
    largest = jnp.max(jnp.abs(d))
    # Scaled by its largest entry first: at confident examples d is so small that its square is 0 in float32.
    scaled = d / jnp.where(largest > 0, largest, 1)
    length = jnp.linalg.norm(scaled)
    return jnp.where(largest > 0, scaled / jnp.where(length > 0, length, 1), otherwise)


def smoothness(
    classifier: Classifier,
    x: Visible,
    *,
    radius: Rate,
    n_iterations: int,
    key: RandomKey,
    tangents: Tangents | None = None,
) -> Scalar:
    """KL(o(x) || o(x + radius d)) in nats, with d the worst direction at x; o(x) and d are held fixed.

    Args:
        classifier: whose output is to hold still.
        x: one example, with a label or without.
        radius: length of the step, > 0, in units of x.
        n_iterations: steps of the power iteration for d, >= 1.
        key: what its start depends on.
        tangents: the plane that d lies in, as for `worst_direction`; None for all directions.

    Returns:
        The divergence, >= 0, a sum over classes.

    References:
        Miyato et al., Distributional Smoothing with Virtual Adversarial Training, ICLR 2016, equations (1) to (3).
        Yu et al., Tangent-Normal Adversarial Regularization, CVPR 2019, for tangents, which there are a VAE's.
    """
    held = jax.lax.stop_gradient(classifier)
    moved = x + radius * worst_direction(held, x, n_iterations=n_iterations, key=key, tangents=tangents)
    here = jax.nn.log_softmax(held.logits(x))
    there = jax.nn.log_softmax(classifier.logits(moved))
    return jnp.sum(jnp.exp(here) * (here - there))
