"""What every auto-encoder can do: encode, decode, and say of which dense layers it consists."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Hidden, LayerUnits, Visible
from ..activations import Activation
from ..losses import Loss

__all__ = ["DenseLayer", "Forward", "Model", "first_float_dtype"]


class DenseLayer(NamedTuple):
    """One affine map and its nonlinearity, s(W x + b): a link of the chain that a dense encoder is.

    Args:
        weight: W, of shape (units out, units in).
        bias: b, of shape (units out,).
        activation: s with its derivative.
    """

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]
    activation: Activation

    def preactivation(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The affine map a = W x + b."""
        return self.weight @ x + self.bias


class Forward(NamedTuple):
    """One example on its way through the model, computed once for all terms of the objective.

    Sharing it is what keeps a training step of one layer at five matrix products: the terms' derivatives with
    respect to the pre-activation add up before they meet the weight.

    Args:
        x: the example that was encoded.
        preactivations: a = W x + b of each dense layer of the encoder; () where the encoder is not a chain of them.
        hidden: h, the code.
        output: z, the decoder before its output nonlinearity.
    """

    x: Visible
    preactivations: tuple[LayerUnits, ...]
    hidden: Hidden
    output: Visible


class Model(eqx.Module):
    """An auto-encoder of one example: an encoder h = f(x), a decoder r = g(h) = o(z), and the loss that fixes o."""

    @property
    @abc.abstractmethod
    def reconstruction_loss(self) -> Loss:
        """The reconstruction error L(x, z), its name and the output nonlinearity that belongs to it."""

    @property
    @abc.abstractmethod
    def n_features(self) -> int:
        """Entries of x."""

    @property
    @abc.abstractmethod
    def n_hidden(self) -> int:
        """Entries of the code."""

    @property
    @abc.abstractmethod
    def encoder_layers(self) -> tuple[DenseLayer, ...] | None:
        """The chain of dense layers that the encoder is, first to last, or None where it is something else."""

    @property
    @abc.abstractmethod
    def decoder_layers(self) -> tuple[DenseLayer, ...] | None:
        """The chain of dense layers that the decoder is, output nonlinearity included, or None."""

    @abc.abstractmethod
    def encode_with_preactivations(self, x: Visible) -> tuple[tuple[LayerUnits, ...], Hidden]:
        """The encoder's pre-activations, () where it is no chain of dense layers, and the code."""

    @abc.abstractmethod
    def decode_linear(self, h: Hidden) -> Visible:
        """The decoder before its output nonlinearity (logits for the cross-entropy)."""

    @property
    @abc.abstractmethod
    def output_nonlinearity(self) -> Activation:
        """The output nonlinearity o with its derivative."""

    @property
    def dtype(self) -> np.dtype:
        """The float dtype of the parameters, and so of the arithmetic."""
        return first_float_dtype(self) or jax.dtypes.canonicalize_dtype(np.float64)

    def encode(self, x: Visible) -> Hidden:
        """The code h = f(x), equation (1)."""
        return self.encode_with_preactivations(x)[1]

    def decode(self, h: Hidden) -> Visible:
        """The reconstruction r = o(z), equation (3)."""
        return self.output_nonlinearity.function(self.decode_linear(h))

    def forward(self, x: Visible) -> Forward:
        """All that the terms of the objective need to know of one example."""
        preactivations, hidden = self.encode_with_preactivations(x)
        return Forward(x, preactivations, hidden, self.decode_linear(hidden))

    def reconstruct(self, x: Visible) -> Visible:
        """The reconstruction r = g(f(x)) of an example."""
        return self.decode(self.encode(x))


def first_float_dtype(tree: object) -> np.dtype | None:
    """The dtype of the first floating-point array, JAX's or NumPy's, of a pytree."""
    arrays = (leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array | np.ndarray))
    return next((array.dtype for array in arrays if jnp.issubdtype(array.dtype, jnp.floating)), None)
