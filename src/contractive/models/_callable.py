"""A user's own encoder and decoder as an auto-encoder: Equinox modules or plain functions of one example."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._typing import Array, Float, Hidden, LayerUnits, Visible
from ..activations import Activation
from ..losses import LOSSES, Loss
from ._base import DenseLayer, Model, first_float_dtype
from ._dense import draw_weight

__all__ = ["CallableAutoEncoder", "wrap_callables"]

Map = Callable[[Float[Array, " in"]], Float[Array, " out"]]


class _Code(NamedTuple):
    """What is left of a callable without its arrays: hashable, so that compiled steps are kept by it."""

    leaves: tuple[Any, ...]
    structure: Any

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled as the callable, as Equinox's structures hold an object that is known by its identity.
        return _code_of, (jax.tree.unflatten(self.structure, self.leaves),)


class CallableAutoEncoder(Model):
    """A user's encoder x -> h with a user's decoder h -> z, or an affine one; made by `wrap_callables`.

    Every floating-point array inside is a parameter and is trained; other leaves stay as they are.

    Args:
        encoder_arrays: the arrays of the encoder.
        encoder_code: the encoder without them.
        decoder_arrays: the arrays of the decoder; its weight and bias where it is affine.
        decoder_code: the decoder without them, or None where it is affine.
        sizes: entries of x and of the code.
        loss: a key of `LOSSES`.

    Raises:
        KeyError: if `loss` names nothing known.
    """

    encoder_arrays: Any
    encoder_code: _Code = eqx.field(static=True)
    decoder_arrays: Any
    decoder_code: _Code | None = eqx.field(static=True)
    sizes: tuple[int, int] = eqx.field(static=True)
    loss: str = eqx.field(static=True, default="squared_error")

    def __check_init__(self) -> None:
        _ = self.reconstruction_loss

    @property
    def n_features(self) -> int:
        """Entries of x."""
        return self.sizes[0]

    @property
    def n_hidden(self) -> int:
        """Entries of the code."""
        return self.sizes[1]

    @property
    def reconstruction_loss(self) -> Loss:
        """The reconstruction error with its output nonlinearity."""
        return LOSSES[self.loss]

    @property
    def output_nonlinearity(self) -> Activation:
        """The output nonlinearity that belongs to the loss."""
        return self.reconstruction_loss.output

    @property
    def encoder_layers(self) -> None:
        """None: nothing is known of what is inside."""

    @property
    def decoder_layers(self) -> tuple[DenseLayer, ...] | None:
        """The affine decoder, or None for a user's own."""
        if self.decoder_code is not None:
            return None
        weight, bias = self.decoder_arrays
        return (DenseLayer(weight, bias, self.output_nonlinearity),)

    @property
    def encoder(self) -> Map:
        """The encoder with its arrays as they are now."""
        return _assemble(self.encoder_arrays, self.encoder_code)

    @property
    def decoder(self) -> Map | None:
        """The user's decoder with its arrays as they are now, or None where it is affine."""
        return None if self.decoder_code is None else _assemble(self.decoder_arrays, self.decoder_code)

    def encode_with_preactivations(self, x: Visible) -> tuple[tuple[LayerUnits, ...], Hidden]:
        """No pre-activations, and the code h = encoder(x)."""
        return (), self.encoder(x)

    def decode_linear(self, h: Hidden) -> Visible:
        """Z = decoder(h), or V h + b'."""
        if self.decoder is not None:
            return self.decoder(h)
        weight, bias = self.decoder_arrays
        return weight @ h + bias


def wrap_callables(
    encoder: Map,
    decoder: Map | None = None,
    *,
    n_features: int,
    rng: np.random.RandomState,
    loss: str = "squared_error",
    dtype: np.typing.DTypeLike = np.float32,
) -> CallableAutoEncoder:
    """Make an auto-encoder of a user's own functions, once they have been tried on shapes.

    Args:
        encoder: an Equinox module or a function in `jax.numpy` from one example, of shape (n_features,), to its code,
            of shape (n_hidden,).
        decoder: likewise from a code to z, of shape (n_features,), before the loss's output nonlinearity (logits for
            the cross-entropy); None for an affine one, drawn as `initialize` draws a weight.
        n_features: features of the input, >= 1.
        rng: where an affine decoder's weight comes from.
        loss: a key of `LOSSES`.
        dtype: float dtype of the arithmetic where the callables hold no floating-point array.

    Returns:
        The model. Its dtype is that of the callables' first floating-point array.

    Raises:
        TypeError: if a callable is none, keeps a state from call to call (batch normalisation), or does not return
            an array of floats.
        ValueError: if it fails on an example, or returns an array of another shape.
        KeyError: if `loss` names nothing known.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> model = wrap_callables(lambda x: jnp.sin(x[:2]), n_features=3, rng=np.random.RandomState(0))
        >>> model.n_hidden, model.reconstruct(jnp.zeros(3)).shape
        (2, (3,))
    """
    for name, function in {"encoder": encoder, "decoder": decoder}.items():
        _refuse_what_cannot_be_wrapped(name, function)
    dtype = first_float_dtype((encoder, decoder)) or np.dtype(dtype)
    hidden = _try("encoder", encoder, "x", n_features, dtype)
    if decoder is None:
        weight = draw_weight(n_features, hidden, rng=rng, activation="linear", dtype=dtype)
        decoder_arrays, decoder_code = (jnp.asarray(weight), jnp.asarray(np.zeros(n_features, dtype))), None
    else:
        got = _try("decoder", decoder, "h", hidden, dtype)
        if got != n_features:
            raise ValueError(f"`decoder` must give back the input's shape, ({n_features},); got ({got},).")
        decoder_arrays, decoder_code = _take_apart(decoder)
    encoder_arrays, encoder_code = _take_apart(encoder)
    sizes = n_features, hidden
    return CallableAutoEncoder(encoder_arrays, encoder_code, decoder_arrays, decoder_code, sizes, loss)


def _refuse_what_cannot_be_wrapped(name: str, function: object) -> None:
    if function is None and name == "decoder":
        return
    if not callable(function):
        raise TypeError(f"`{name}` must be an Equinox module or a function of one example; got {function!r}.")
    if any(isinstance(part, eqx.nn.StateIndex) for part in jax.tree.leaves(function, is_leaf=_is_state)):
        raise TypeError(
            f"`{name}` must treat each example alone; got {type(function).__name__} with a state that changes from "
            "call to call, as batch normalization has. Use equinox.nn.LayerNorm or GroupNorm instead."
        )


def _is_state(part: object) -> bool:
    return isinstance(part, eqx.nn.StateIndex)


def _try(name: str, function: Map, argument: str, size: int, dtype: np.dtype) -> int:
    """How many entries the function returns for an array of shape (size,), found without running it.

    Raises:
        TypeError: if it does not return one array of floats.
        ValueError: if it fails, or returns an array that is not 1-d.
    """
    try:
        result = eqx.filter_eval_shape(function, jax.ShapeDtypeStruct((size,), dtype))
    except Exception as error:  # whatever a user's function may raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"`{name}` must take one example {argument} of shape ({size},), in jax.numpy; "
            f"it failed with {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(result, jax.ShapeDtypeStruct):
        raise TypeError(f"`{name}` must return a JAX array; got {type(result).__name__}.")
    if result.ndim != 1 or result.size == 0:
        raise ValueError(
            f"`{name}` must return a 1-d array for one example {argument} of shape ({size},); "
            f"got shape {result.shape}. Flatten what it returns."
        )
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise TypeError(f"`{name}` must return floats; got {result.dtype}.")
    return result.size


def _has_shape(leaf: object) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _take_apart(function: Map) -> tuple[Any, _Code]:
    """The arrays of a callable, NumPy's among them, and the rest."""
    arrays, rest = eqx.partition(function, _has_shape)
    return jax.tree.map(jnp.asarray, arrays), _code_of(rest)


def _code_of(rest: Any) -> _Code:
    leaves, structure = jax.tree.flatten(rest)
    return _Code(tuple(leaves), structure)


def _assemble(arrays: Any, code: _Code) -> Map:
    return eqx.combine(arrays, jax.tree.unflatten(code.structure, code.leaves))
