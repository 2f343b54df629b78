"""The auto-encoder: an affine map and a nonlinearity in, an affine map out. All functions take one example."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ._typing import Array, Float, Hidden, Visible
from .activations import ACTIVATIONS, Activation
from .losses import LOSSES, Loss

__all__ = ["AutoEncoder", "Forward", "initialize"]


class Forward(NamedTuple):
    """One example on its way through the model, computed once for all terms of the objective.

    Sharing it is what keeps a training step at five matrix products: the terms' derivatives with respect to the
    pre-activation add up before they meet the weight.

    Args:
        x: the example.
        preactivation: a = W x + b.
        hidden: h = s(a).
        output: z = V h + b', before the output nonlinearity.
    """

    x: Visible
    preactivation: Hidden
    hidden: Hidden
    output: Visible


class AutoEncoder(eqx.Module):
    """One-layer auto-encoder h = s(W x + b), r = o(V h + b'), with V = W^T when the weights are tied.

    Args:
        weight: W. Its rows are the filters.
        hidden_bias: b.
        visible_bias: b'.
        decoder_weight: V, or None when tied to W^T.
        activation: name of the hidden nonlinearity s, a key of `ACTIVATIONS`.
        loss: name of the reconstruction error, a key of `LOSSES`; it fixes the output nonlinearity o
            (sigmoid for the cross-entropy, identity for the squared error).

    Raises:
        KeyError: if `activation` or `loss` names nothing known.

    Example:
        >>> import jax.numpy as jnp
        >>> model = AutoEncoder(jnp.ones((2, 3)), jnp.zeros(2), jnp.zeros(3), activation="linear")
        >>> print(model.encode(jnp.ones(3)), model.reconstruct(jnp.ones(3)))
        [3. 3.] [6. 6. 6.]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 2; equations (1) and (3) of `docs/notation.md`.
    """

    weight: Float[Array, "hidden features"]
    hidden_bias: Float[Array, " hidden"]
    visible_bias: Float[Array, " features"]
    decoder_weight: Float[Array, "features hidden"] | None = None
    activation: str = eqx.field(static=True, default="sigmoid")
    loss: str = eqx.field(static=True, default="squared_error")

    def __check_init__(self):
        _ = self.nonlinearity, self.reconstruction_loss

    @property
    def nonlinearity(self) -> Activation:
        """The hidden nonlinearity s with its derivative."""
        return ACTIVATIONS[self.activation]

    @property
    def reconstruction_loss(self) -> Loss:
        """The reconstruction error with its output nonlinearity o."""
        return LOSSES[self.loss]

    @property
    def tied_weights(self) -> bool:
        """Whether the decoder uses the transposed encoder weight."""
        return self.decoder_weight is None

    def preactivation(self, x: Visible) -> Hidden:
        """The affine map a = W x + b."""
        return self.weight @ x + self.hidden_bias

    def encode(self, x: Visible) -> Hidden:
        """The code h = s(W x + b), equation (1)."""
        return self.nonlinearity.function(self.preactivation(x))

    def decode_linear(self, h: Hidden) -> Visible:
        """The affine map z = V h + b', the decoder before its output nonlinearity (logits for the cross-entropy)."""
        if self.decoder_weight is None:
            return h @ self.weight + self.visible_bias
        return self.decoder_weight @ h + self.visible_bias

    def decode(self, h: Hidden) -> Visible:
        """The reconstruction r = o(V h + b'), equation (3)."""
        return self.reconstruction_loss.output(self.decode_linear(h))

    def forward(self, x: Visible) -> Forward:
        """All that the terms of the objective need to know of one example."""
        preactivation = self.preactivation(x)
        hidden = self.nonlinearity.function(preactivation)
        return Forward(x, preactivation, hidden, self.decode_linear(hidden))

    def reconstruct(self, x: Visible) -> Visible:
        """The reconstruction r = g(f(x)) of an example."""
        return self.decode(self.encode(x))


def initialize(
    n_features: int,
    n_hidden: int,
    *,
    rng: np.random.RandomState,
    activation: str = "sigmoid",
    loss: str = "squared_error",
    tied_weights: bool = True,
    dtype: np.typing.DTypeLike = np.float32,
) -> AutoEncoder:
    """Draw an auto-encoder the way the classic tutorial does.

    W^T ~ U(-r, r) of shape (n_features, n_hidden), drawn in float64, with r = 4 sqrt(6 / (n_features + n_hidden))
    for the sigmoid and a quarter of it for every other nonlinearity; biases zero. An untied decoder
    weight is the next draw of the same shape.

    Args:
        n_features: features of the input, >= 1.
        n_hidden: units of the code, >= 1.
        rng: where the draws come from; `RandomState(123)` starts where the tutorial starts.
        activation: a key of `ACTIVATIONS`.
        loss: a key of `LOSSES`.
        tied_weights: whether the decoder uses the transposed encoder weight.
        dtype: float dtype of the parameters.

    Returns:
        The model, its arrays on JAX's default device.

    Raises:
        KeyError: if `activation` or `loss` names nothing known.

    Example:
        >>> import numpy as np
        >>> initialize(784, 500, rng=np.random.RandomState(123)).weight.shape
        (500, 784)

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
        AISTATS 2010, equation (16), and its factor 4 for the sigmoid.
    """
    radius = (4 if activation == "sigmoid" else 1) * np.sqrt(6 / (n_features + n_hidden))

    def draw() -> np.ndarray:
        return rng.uniform(-radius, radius, (n_features, n_hidden)).astype(dtype)

    weight = jnp.asarray(draw().T)
    decoder_weight = None if tied_weights else jnp.asarray(draw())
    return AutoEncoder(
        weight,
        jnp.zeros(n_hidden, weight.dtype),
        jnp.zeros(n_features, weight.dtype),
        decoder_weight,
        activation=activation,
        loss=loss,
    )
