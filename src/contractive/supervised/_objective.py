"""The supervised objective of a minibatch: error on labelled rows plus weighted terms on all. It averages over rows."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._typing import Array, Float, Int, RandomKey, Rows, RowWeights, Scalar
from ..models import Classifier
from ..objectives import Objective, draw_key, row_key
from ._terms import (
    logits_with_dropout,
    smoothness,
    softmax_cross_entropy,
    tangent_propagation,
    tangent_propagation_estimate,
)

__all__ = ["Batch", "SupervisedObjective", "SupervisedParts"]

# What tells apart the uses of an example's key, beyond those of `Objective`.
_DROPOUT, _TANGENTS, _SMOOTHNESS = range(100, 103)


class Batch(NamedTuple):
    """Rows of a minibatch with what is known of each.

    Args:
        x: the rows.
        row_weights: what each counts, summing to 1 for a mean; 0 leaves a row out.
        labels: the number of each row's class; None where they are not used.
        tangents: the tangent plane at each row; None where they are not used.
    """

    x: Rows
    row_weights: RowWeights
    labels: Int[Array, " batch"] | None = None
    tangents: Float[Array, "batch tangents features"] | None = None


class SupervisedParts(NamedTuple):
    """Weighted means over the labelled rows of a minibatch, as trained on: with dropout where there is any.

    Args:
        log_loss: mean cross-entropy in nats.
        error_rate: share of rows whose most probable class is another one.
    """

    log_loss: Scalar
    error_rate: Scalar


class SupervisedObjective(eqx.Module):
    """Mean cross-entropy over labelled rows, plus the mean over all rows of what needs no label.

    Args:
        dropout: share of hidden units left out for the cross-entropy, in [0, 1); None for no dropout at all.
        input_dropout: likewise of the entries of x.
        penalties: the penalties of the encoder, such as its contraction, as an `Objective` without reconstruction; None
            for none.
        weight_decay: coefficient >= 0 of the sum of the squares of `Classifier.weights`; None for 0.
        tangent_weight: coefficient >= 0 of the term of the tangents; None for 0.
        tangent_radius: None for `tangent_propagation`; r > 0, in units of x, for `smoothness` along the tangents.
        n_tangent_probes: random combinations of the tangents instead of all of them, >= 1; 0 for all, exactly.
        smoothness_weight: coefficient >= 0 of `smoothness`; None for 0.
        smoothness_radius: its step > 0, in units of x.
        n_power_iterations: of the search for the direction of either step, >= 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> autoencoder = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> classifier = Classifier(autoencoder, jnp.zeros((4, 1)), jnp.zeros(4))
        >>> batch = Batch(jnp.zeros((2, 2)), jnp.full(2, 1 / 2), jnp.zeros(2, int))
        >>> cost, parts = SupervisedObjective()(classifier, batch, batch)
        >>> print(f"{cost:.4f} {parts.log_loss:.4f}")
        1.3863 1.3863

    References:
        Rifai et al., The Manifold Tangent Classifier, NIPS 2011, equation (7).
    """

    dropout: float | Float[Array, ""] | None = None
    input_dropout: float | Float[Array, ""] = 0.0
    penalties: Objective | None = None
    weight_decay: float | Float[Array, ""] | None = None
    tangent_weight: float | Float[Array, ""] | None = None
    tangent_radius: float | Float[Array, ""] | None = None
    n_tangent_probes: int = eqx.field(static=True, default=0)
    smoothness_weight: float | Float[Array, ""] | None = None
    smoothness_radius: float | Float[Array, ""] = 1.0
    n_power_iterations: int = eqx.field(static=True, default=1)

    @property
    def uses_unlabeled(self) -> bool:
        """Whether there is a term that rows without a label take part in."""
        return not (self.penalties is None and self.tangent_weight is None and self.smoothness_weight is None)

    def __call__(
        self, classifier: Classifier, labeled: Batch, everything: Batch, key: RandomKey | None = None
    ) -> tuple[Scalar, SupervisedParts]:
        """The cost of a minibatch and its named parts.

        Args:
            classifier: what is trained.
            labeled: the rows with labels.
            everything: the rows for the terms that need no label; may be the same.
            key: what dropout and random terms depend on; another one for every update. None draws always the same.
        """
        assert labeled.labels is not None
        key = jax.random.key(0) if key is None else key
        logits = jax.vmap(partial(self._logits, classifier))(labeled.x, self._keys(labeled, key))
        losses = jax.vmap(softmax_cross_entropy)(logits, labeled.labels)
        wrong = (jnp.argmax(logits, axis=1) != labeled.labels).astype(losses.dtype)
        parts = SupervisedParts(labeled.row_weights @ losses, labeled.row_weights @ wrong)
        cost = parts.log_loss
        if self.weight_decay is not None:
            cost = cost + self.weight_decay * sum(jnp.sum(weight**2) for weight in classifier.weights)
        if self.uses_unlabeled:
            cost = cost + self._unsupervised(classifier, everything, key)
        return cost, parts

    def _keys(self, batch: Batch, key: RandomKey) -> Array:
        return jax.vmap(partial(row_key, key))(batch.x)

    def _logits(self, classifier: Classifier, x: Array, key: RandomKey) -> Array:
        if self.dropout is None:
            return classifier.logits(x)
        return logits_with_dropout(
            classifier, x, rate=self.dropout, input_rate=self.input_dropout, key=draw_key(key, _DROPOUT)
        )

    def _unsupervised(self, classifier: Classifier, batch: Batch, key: RandomKey) -> Scalar:
        """The mean of the terms that need no label."""
        cost = jnp.zeros((), batch.x.dtype)
        keys = self._keys(batch, key)
        if self.penalties is not None:
            cost = cost + self.penalties(classifier.autoencoder, batch.x, batch.row_weights, key)[0]
        if self.tangent_weight is not None:
            assert batch.tangents is not None
            terms = jax.vmap(partial(self._tangent_term, classifier))(batch.x, batch.tangents, keys)
            cost = cost + self.tangent_weight * (batch.row_weights @ terms)
        if self.smoothness_weight is not None:
            terms = jax.vmap(partial(self._smoothness_term, classifier))(batch.x, keys)
            cost = cost + self.smoothness_weight * (batch.row_weights @ terms)
        return cost

    def _tangent_term(self, classifier: Classifier, x: Array, tangents: Array, key: RandomKey) -> Scalar:
        own = draw_key(key, _TANGENTS)
        if self.tangent_radius is not None:
            n_iterations = self.n_power_iterations
            return smoothness(
                classifier, x, radius=self.tangent_radius, n_iterations=n_iterations, key=own, tangents=tangents
            )
        if self.n_tangent_probes == 0:
            return tangent_propagation(classifier, x, tangents)
        return tangent_propagation_estimate(classifier, x, tangents, n_probes=self.n_tangent_probes, key=own)

    def _smoothness_term(self, classifier: Classifier, x: Array, key: RandomKey) -> Scalar:
        return smoothness(
            classifier,
            x,
            radius=self.smoothness_radius,
            n_iterations=self.n_power_iterations,
            key=draw_key(key, _SMOOTHNESS),
        )
