"""The model as the browser runs it: a description for JSON and the weights as base64."""

import base64
from typing import Any

import numpy as np

from ..models import Model, dense_layers

__all__ = ["MAX_WEIGHTS", "describe_model"]

MAX_WEIGHTS = 1 << 22
"""The most weights that a page carries: 16 MiB, of which base64 makes 22."""


def describe_model(model: Model) -> tuple[dict[str, Any], str]:
    """A dense model as JSON holds it, and its arrays one after the other, little-endian float32 in base64.

    The decoder of a tied layer names the encoder's weight, transposed, so that it is there once.

    Args:
        model: an auto-encoder of dense layers with nonlinearities of this package.

    Returns:
        The description: `encoder` and `decoder`, each a list of layers with `weight`, `transposed`, `bias` (places
        in the array, in floats), `n_in`, `n_out` and `activation`; and `loss`. And the arrays.

    Raises:
        TypeError: if the model does not consist of dense layers, or a nonlinearity is a user's own function.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> description, _ = describe_model(AutoEncoder(jnp.ones((2, 3)), jnp.zeros(2), jnp.zeros(3)))
        >>> description["decoder"][0]["transposed"], description["n_floats"]
        (True, 11)
    """
    parts: list[np.ndarray] = []
    encoder: list[dict[str, Any]] = []
    decoder: list[dict[str, Any]] = []
    n_floats = 0

    def store(array: Any) -> int:
        nonlocal n_floats
        parts.append(np.ascontiguousarray(array, "<f4").reshape(-1))
        n_floats += parts[-1].size
        return n_floats - parts[-1].size

    for layer in dense_layers(model):
        if callable(layer.activation) or callable(layer.output):
            raise TypeError("`activation` must be a name for the browser to know it; got a function.")
        hidden, features = layer.weight.shape
        weight = store(layer.weight)
        up = {"weight": weight, "transposed": False, "bias": store(layer.hidden_bias)}
        encoder.append(up | {"n_in": features, "n_out": hidden, "activation": layer.activation})
        own = None if layer.decoder_weight is None else store(layer.decoder_weight)
        down = {"weight": weight if own is None else own, "transposed": own is None, "bias": store(layer.visible_bias)}
        output = layer.output_nonlinearity.name
        decoder.insert(0, down | {"n_in": hidden, "n_out": features, "activation": output})
    description = {
        "encoder": encoder,
        "decoder": decoder,
        "loss": model.reconstruction_loss.name,
        "n_floats": n_floats,
    }
    return description, base64.b64encode(np.concatenate(parts).tobytes()).decode()
