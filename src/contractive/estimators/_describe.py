"""Parameters and models as what JSON and arrays hold, and back."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.frozen import FrozenEstimator

from ..corruption import CORRUPTIONS
from ..models import AutoEncoder, CallableAutoEncoder, Classifier, Model, Stack
from ..penalties import PENALTIES, PenaltySum
from ._labels import is_missing

__all__ = [
    "dense_classifier",
    "dense_model",
    "model_arrays",
    "model_outline",
    "own_model",
    "plain_parameters",
    "restored_parameters",
]

_ARRAYS = ("weight", "hidden_bias", "visible_bias", "decoder_weight")
OWN = "the user's own"


def plain_parameters(estimator: Any, *, callables: bool = False) -> dict[str, Any]:
    """An estimator's parameters as JSON holds them; callbacks and the state of a `RandomState` are left out.

    Args:
        estimator: whose parameters.
        callables: whether a user's own encoder and decoder are allowed; they become a note that there was one.

    Raises:
        TypeError: if a parameter is an object that JSON cannot hold, such as an optax transformation.
    """
    parameters = estimator.get_params(deep=False)
    del parameters["callbacks"]
    if isinstance(estimator.random_state, np.random.RandomState):
        parameters["random_state"] = None
    if callables:
        owned = {name: OWN for name in ("encoder", "decoder") if parameters.get(name) is not None}
        parameters |= owned
    return {name: _plain(name, value) for name, value in parameters.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, PenaltySum):
        return {"sum": [_plain(name, term) for term in value.terms]}
    for kinds in (PENALTIES, CORRUPTIONS):
        if type(value) in kinds.values():
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {"name": type(value).__name__} | {key: _number(field) for key, field in fields.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}  # which JSON has no word for
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "unlabeled" and value is not None and is_missing(value):  # pandas' own, which stands for NaN
        return {"float": "nan"}
    if isinstance(value, FrozenEstimator):
        value = value.estimator  # what it was made by; that it was made elsewhere is not written down
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"class": type(value).__name__, "parameters": plain_parameters(value)}
    if not isinstance(value, str | int | float | None):
        raise TypeError(f"`{name}` must be a name or a number to be written down; got {type(value).__name__}.")
    return value


def _number(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else np.asarray(value).item()


def restored_parameters(plain: Mapping[str, Any], make: Callable[[str, dict[str, Any]], Any]) -> dict[str, Any]:
    """What `plain_parameters` was given.

    Args:
        plain: the parameters as JSON holds them.
        make: makes an estimator of a class's name and its plain parameters, for the layers of a stack.

    Raises:
        ValueError: if a penalty or a corruption is not known.
    """
    parameters = dict(plain)
    for name, kinds in {"penalty": PENALTIES, "corruption": CORRUPTIONS}.items():
        if isinstance(parameters.get(name), Mapping):
            parameters[name] = _restored(name, parameters[name], {kind.__name__: kind for kind in kinds.values()})
    if isinstance(parameters.get("hidden_layer_sizes"), list):
        parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value.keys() == {"float"}:
            parameters[name] = float(value["float"])
    if isinstance(parameters.get("representation"), Mapping):
        own = parameters["representation"]
        parameters["representation"] = make(own["class"], own["parameters"])
    if isinstance(parameters.get("layers"), list):
        parameters["layers"] = [make(layer["class"], layer["parameters"]) for layer in parameters["layers"]]
    return parameters


def _restored(name: str, plain: Mapping[str, Any], kinds: dict[str, type[Any]]) -> Any:
    if "sum" in plain:
        terms = tuple(_restored(name, term, kinds) for term in plain["sum"])
        return PenaltySum(terms=terms)  # type: ignore[call-arg]
    fields = dict(plain)
    kind = fields.pop("name", None)
    if kind not in kinds:
        raise ValueError(f"`{name}` must name one of {', '.join(sorted(kinds))}; got {kind!r}.")
    return kinds[kind](**fields)


def model_outline(model: Model | Classifier) -> dict[str, Any]:
    """A model without its arrays, as JSON holds it.

    Raises:
        TypeError: if a nonlinearity, or a layer of a stack, is a user's own function.
    """
    if isinstance(model, Classifier):
        return {"autoencoder": model_outline(model.autoencoder)}
    if isinstance(model, Stack):
        if any(isinstance(layer, CallableAutoEncoder) for layer in model.layers):
            raise TypeError("`layers` must be dense to be written down; got a layer with an encoder of the user's own.")
        return {"layers": [model_outline(layer) for layer in model.layers]}
    if isinstance(model, CallableAutoEncoder):
        return {"own": True}
    assert isinstance(model, AutoEncoder)
    if callable(model.activation):
        raise TypeError("`activation` must be a name to be written down; got a function.")
    return {"activation": model.activation, "loss": model.loss, "output": model.output}


def model_arrays(model: Model | Classifier, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a model by name.

    Those of a stack's layers begin with "0.", "1.", ...; of a classifier's two parts with "autoencoder." and "output.".
    """
    if isinstance(model, Classifier):
        output = {"output.weight": np.asarray(model.weight), "output.bias": np.asarray(model.bias)}
        return model_arrays(model.autoencoder, "autoencoder.") | output
    if isinstance(model, Stack):
        return {
            name: array
            for number, layer in enumerate(model.layers)
            for name, array in model_arrays(layer, f"{prefix}{number}.").items()
        }
    if isinstance(model, AutoEncoder):
        found = {name: getattr(model, name) for name in _ARRAYS}
        return {prefix + name: np.asarray(array) for name, array in found.items() if array is not None}
    return {f"{prefix}leaf{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(model))}


def dense_model(outline: Mapping[str, Any], arrays: Mapping[str, np.ndarray], prefix: str = "") -> AutoEncoder | Stack:
    """The dense model that `model_outline` and `model_arrays` were given.

    Args:
        outline: the model without its arrays.
        arrays: by name, as `model_arrays` names them.
        prefix: what their names begin with.

    Raises:
        KeyError: if an array is missing.
        ValueError: if an array is of another shape than the others ask for.
    """
    if "layers" in outline:
        layers = (dense_model(layer, arrays, f"{prefix}{number}.") for number, layer in enumerate(outline["layers"]))
        return Stack(tuple(layers))
    n_hidden, n_features = arrays[f"{prefix}weight"].shape
    shapes = ((n_hidden, n_features), (n_hidden,), (n_features,), (n_features, n_hidden))
    found = []
    for name, shape in zip(_ARRAYS, shapes, strict=True):
        if name == "decoder_weight" and prefix + name not in arrays:
            continue  # tied
        found.append(arrays[prefix + name])
        if found[-1].shape != shape:
            raise ValueError(f"{prefix}{name} must be of shape {shape}; got {found[-1].shape}")
    # NumPy's arrays in the place of small ones: they keep their 64 bits whatever JAX is set up for.
    small = AutoEncoder(*[jnp.zeros((1,) * array.ndim) for array in found], **outline)  # type: ignore[arg-type]
    return jax.tree.unflatten(jax.tree.structure(small), found)


def dense_classifier(outline: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Classifier:
    """The classifier on a dense model that `model_outline` and `model_arrays` were given; errors as `dense_model`."""
    autoencoder = dense_model(outline["autoencoder"], arrays, "autoencoder.")
    weight, bias = arrays["output.weight"], arrays["output.bias"]
    if weight.shape != (*bias.shape, autoencoder.n_hidden):
        raise ValueError(f"output.weight must be of shape {(*bias.shape, autoencoder.n_hidden)}; got {weight.shape}")
    # NumPy's arrays in the place of small ones, as in `dense_model`.
    small = Classifier(autoencoder, jnp.zeros((1, 1)), jnp.zeros(1))
    structure = jax.tree.structure(small)
    return jax.tree.unflatten(structure, [*jax.tree.leaves(autoencoder), weight, bias])


def own_model(fresh: CallableAutoEncoder, arrays: Mapping[str, np.ndarray]) -> CallableAutoEncoder:
    """A model of the user's own functions with the arrays that `model_arrays` was given.

    Args:
        fresh: the model with any values.
        arrays: by name, as `model_arrays` names them.

    Raises:
        ValueError: if the functions hold other arrays than those.
    """
    leaves, structure = jax.tree.flatten(fresh)
    names = [f"leaf{number}" for number in range(len(leaves))]
    shapes = {name: np.shape(leaf) for name, leaf in zip(names, leaves, strict=True)}
    written = {name: array.shape for name, array in arrays.items()}
    if shapes != written:
        raise ValueError(
            f"`encoder` and `decoder` must hold arrays of the shapes {[*written.values()]}; got {[*shapes.values()]}."
        )
    return jax.tree.unflatten(structure, [arrays[name] for name in names])
