"""A classifier on top of an encoder: class probabilities by the soft-max of an affine map of the code."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._typing import ClassScores, Float, Visible
from ._base import Model

__all__ = ["Classifier"]


class Classifier(eqx.Module):
    """Class probabilities o = softmax(V h + c) of the code h = f(x) of an auto-encoder.

    Args:
        autoencoder: whose encoder is used; its decoder is kept, so that what was learned stays whole.
        weight: V, one row a class.
        bias: c.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> autoencoder = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(Classifier(autoencoder, jnp.zeros((4, 1)), jnp.zeros(4)).probabilities(jnp.ones(2)))
        [0.25 0.25 0.25 0.25]
    """

    autoencoder: Model
    weight: Float[jax.Array, "classes hidden"]
    bias: Float[jax.Array, " classes"]

    @property
    def n_features(self) -> int:
        """Entries of x."""
        return self.autoencoder.n_features

    @property
    def n_classes(self) -> int:
        """Entries of o."""
        return self.weight.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """The float dtype of the parameters, and so of the arithmetic."""
        return self.autoencoder.dtype

    @property
    def weights(self) -> tuple[Any, ...]:  # arrays, or what `eqx.tree_at` puts in their place
        """The weight of every dense layer from x to o, (units, incoming); of an encoder of another kind only V."""
        layers = self.autoencoder.encoder_layers or ()
        return (*(layer.weight for layer in layers), self.weight)

    def logits(self, x: Visible) -> ClassScores:
        """The affine map z = V f(x) + c, before the soft-max."""
        return self.weight @ self.autoencoder.encode(x) + self.bias

    def probabilities(self, x: Visible) -> ClassScores:
        """The soft-max o of the logits, which sums to 1."""
        return jax.nn.softmax(self.logits(x))
