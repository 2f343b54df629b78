"""Dense auto-encoders: an affine map and a nonlinearity in, an affine map out; one layer, or several as a stack."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Hidden, LayerUnits, Visible
from ..activations import Activation, resolve_activation
from ..losses import LOSSES, Loss
from ._base import DenseLayer, Model
from ._stack import Stack

__all__ = ["AutoEncoder", "dense_layers", "initialize"]

ActivationChoice = str | Callable[[Array], Array]


class AutoEncoder(Model):
    """One-layer auto-encoder h = s(W x + b), r = o(V h + b'), with V = W^T when the weights are tied.

    Args:
        weight: W. Its rows are the filters.
        hidden_bias: b.
        visible_bias: b'.
        decoder_weight: V, or None when tied to W^T.
        activation: the hidden nonlinearity s: a key of `ACTIVATIONS`, or an elementwise function.
        loss: name of the reconstruction error, a key of `LOSSES`; it fixes the output nonlinearity o
            (sigmoid for the cross-entropy, identity for the squared error).
        output: another output nonlinearity than the loss's, as the upper layers of a deep model have; None for that.

    Raises:
        KeyError: if `activation`, `loss` or `output` names nothing known.

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
    activation: ActivationChoice = eqx.field(static=True, default="sigmoid")
    loss: str = eqx.field(static=True, default="squared_error")
    output: ActivationChoice | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        _ = self.nonlinearity, self.reconstruction_loss, self.output_nonlinearity

    @property
    def n_features(self) -> int:
        """Entries of x."""
        return self.weight.shape[1]

    @property
    def n_hidden(self) -> int:
        """Units of the code."""
        return self.weight.shape[0]

    @property
    def nonlinearity(self) -> Activation:
        """The hidden nonlinearity s with its derivative."""
        return resolve_activation(self.activation)

    @property
    def reconstruction_loss(self) -> Loss:
        """The reconstruction error, its name and the output nonlinearity that belongs to it."""
        return LOSSES[self.loss]

    @property
    def output_nonlinearity(self) -> Activation:
        """The output nonlinearity o with its derivative."""
        return self.reconstruction_loss.output if self.output is None else resolve_activation(self.output)

    @property
    def tied_weights(self) -> bool:
        """Whether the decoder uses the transposed encoder weight."""
        return self.decoder_weight is None

    @property
    def encoder_layers(self) -> tuple[DenseLayer, ...]:
        """The one layer."""
        return (DenseLayer(self.weight, self.hidden_bias, self.nonlinearity),)

    @property
    def decoder_layers(self) -> tuple[DenseLayer, ...]:
        """The one layer, its weight V = W^T when tied."""
        weight = self.weight.T if self.decoder_weight is None else self.decoder_weight
        return (DenseLayer(weight, self.visible_bias, self.output_nonlinearity),)

    def preactivation(self, x: Visible) -> Hidden:
        """The affine map a = W x + b."""
        return self.weight @ x + self.hidden_bias

    def encode_with_preactivations(self, x: Visible) -> tuple[tuple[LayerUnits, ...], Hidden]:
        """A, alone in a tuple, and the code h = s(a)."""
        preactivation = self.preactivation(x)
        return (preactivation,), self.nonlinearity.function(preactivation)

    def decode_linear(self, h: Hidden) -> Visible:
        """The affine map z = V h + b'."""
        if self.decoder_weight is None:
            return h @ self.weight + self.visible_bias
        return self.decoder_weight @ h + self.visible_bias


def initialize(
    n_features: int,
    n_hidden: int,
    *,
    rng: np.random.RandomState,
    hidden_layer_sizes: Sequence[int] = (),
    activation: ActivationChoice = "sigmoid",
    loss: str = "squared_error",
    tied_weights: bool = True,
    dtype: np.typing.DTypeLike = np.float32,
) -> AutoEncoder | Stack:
    """Draw a dense auto-encoder the way the classic tutorial does.

    Layer by layer, W^T ~ U(-r, r) of shape (units in, units out), drawn in float64, with
    r = 4 sqrt(6 / (units in + units out)) for the sigmoid and a quarter of it for every other nonlinearity; biases
    zero. A layer's untied decoder weight is the next draw of the same shape.

    Args:
        n_features: features of the input, >= 1.
        n_hidden: units of the code, >= 1.
        rng: where the draws come from; `RandomState(123)` starts where the tutorial starts.
        hidden_layer_sizes: units of the layers between input and code, first to last. The decoder mirrors them,
            with the same nonlinearity between its layers.
        activation: a key of `ACTIVATIONS`, or an elementwise function; the same for all layers.
        loss: a key of `LOSSES`.
        tied_weights: whether the decoder uses the transposed encoder weights.
        dtype: float dtype of the parameters.

    Returns:
        An `AutoEncoder` for one layer, else a `Stack` of them; its arrays on JAX's default device.

    Raises:
        KeyError: if `activation` or `loss` names nothing known.

    Example:
        >>> import numpy as np
        >>> initialize(784, 500, rng=np.random.RandomState(123)).weight.shape
        (500, 784)
        >>> deep = initialize(784, 100, rng=np.random.RandomState(123), hidden_layer_sizes=(1000, 500))
        >>> [layer.weight.shape for layer in deep.layers]
        [(1000, 784), (500, 1000), (100, 500)]

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
        AISTATS 2010, equation (16), and its factor 4 for the sigmoid.
    """
    sizes = (n_features, *hidden_layer_sizes, n_hidden)
    layers = []
    for units_in, units_out in zip(sizes[:-1], sizes[1:], strict=True):
        weights = [
            draw_weight(units_in, units_out, rng=rng, activation=activation, dtype=dtype)
            for _ in range(2 - tied_weights)
        ]
        layers.append(
            AutoEncoder(
                jnp.asarray(weights[0].T),
                jnp.asarray(np.zeros(units_out, dtype)),
                jnp.asarray(np.zeros(units_in, dtype)),
                None if tied_weights else jnp.asarray(weights[1]),
                activation=activation,
                loss="squared_error" if layers else loss,
                output=activation if layers else None,
            )
        )
    return layers[0] if len(layers) == 1 else Stack(tuple(layers))


def dense_layers(model: Model) -> list[AutoEncoder]:
    """The one-layer auto-encoders that a dense model consists of, the one next to the input first.

    Raises:
        TypeError: if a part is something else.
    """
    if isinstance(model, Stack):
        return [layer for part in model.layers for layer in dense_layers(part)]
    if not isinstance(model, AutoEncoder):
        raise TypeError(f"the model must consist of dense layers; got {type(model).__name__}.")
    return [model]


def draw_weight(
    units_in: int,
    units_out: int,
    *,
    rng: np.random.RandomState,
    activation: ActivationChoice,
    dtype: np.typing.DTypeLike,
) -> np.ndarray:
    """U(-r, r) of shape (units_in, units_out), as `initialize` says."""
    radius = (4 if activation == "sigmoid" else 1) * np.sqrt(6 / (units_in + units_out))
    return rng.uniform(-radius, radius, (units_in, units_out)).astype(dtype)
