"""Auto-encoders on top of each other: each encodes the code of the one below."""

from .._typing import Hidden, LayerUnits, Visible
from ..activations import Activation
from ..losses import Loss
from ._base import DenseLayer, Model

__all__ = ["Stack"]


class Stack(Model):
    """The composition of auto-encoders: f = f_L o ... o f_1 and g = g_1 o ... o g_L.

    A deep auto-encoder is a stack of one-layer ones whose upper decoders end in the hidden nonlinearity; a stack
    trained layer by layer keeps the output nonlinearity that each layer was trained with.

    Args:
        layers: the auto-encoders, the one nearest to the input first; each has as many features as the one below
            has hidden units.

    Raises:
        ValueError: if there is no layer, or two that follow each other do not fit.

    Example:
        >>> import numpy as np
        >>> from contractive.models import initialize
        >>> rng = np.random.RandomState(0)
        >>> stack = Stack((initialize(6, 4, rng=rng), initialize(4, 2, rng=rng)))
        >>> stack.n_features, stack.n_hidden
        (6, 2)

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.5.
    """

    layers: tuple[Model, ...]

    def __check_init__(self) -> None:
        if not self.layers:
            raise ValueError("`layers` must hold at least one auto-encoder; got none.")
        for number, (below, above) in enumerate(zip(self.layers[:-1], self.layers[1:], strict=True), 2):
            if below.n_hidden != above.n_features:
                raise ValueError(
                    f"layer {number} must have {below.n_hidden} features, as many as the code of the layer below; "
                    f"got {above.n_features}."
                )

    @property
    def reconstruction_loss(self) -> Loss:
        """The first layer's reconstruction error."""
        return self.layers[0].reconstruction_loss

    @property
    def n_features(self) -> int:
        """Entries of x."""
        return self.layers[0].n_features

    @property
    def n_hidden(self) -> int:
        """Entries of the last layer's code."""
        return self.layers[-1].n_hidden

    @property
    def output_nonlinearity(self) -> Activation:
        """The first layer's output nonlinearity."""
        return self.layers[0].output_nonlinearity

    @property
    def encoder_layers(self) -> tuple[DenseLayer, ...] | None:
        """The layers' chains one after the other, or None where one of them is none."""
        return _joined([layer.encoder_layers for layer in self.layers])

    @property
    def decoder_layers(self) -> tuple[DenseLayer, ...] | None:
        """The layers' chains from the last layer down to the first, or None where one of them is none."""
        return _joined([layer.decoder_layers for layer in reversed(self.layers)])

    def encode_with_preactivations(self, x: Visible) -> tuple[tuple[LayerUnits, ...], Hidden]:
        """The pre-activations of all dense layers, and the last layer's code."""
        preactivations: tuple[LayerUnits, ...] = ()
        for layer in self.layers:
            more, x = layer.encode_with_preactivations(x)
            preactivations += more
        return (preactivations if self.encoder_layers is not None else ()), x

    def decode_linear(self, h: Hidden) -> Visible:
        """The decoders from the last layer down; the first one stops before its output nonlinearity."""
        for layer in reversed(self.layers[1:]):
            h = layer.decode(h)
        return self.layers[0].decode_linear(h)


def _joined(chains: list[tuple[DenseLayer, ...] | None]) -> tuple[DenseLayer, ...] | None:
    if any(chain is None for chain in chains):
        return None
    return tuple(layer for chain in chains for layer in chain or ())
