"""From a preset, a file and what was typed to an estimator: what was typed counts most, then the file, the preset."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..presets import MODELS, PRESETS
from ._data import Given
from ._tables import checked_tables

__all__ = ["Settings", "build_estimator", "config_of", "option_of", "read_named", "read_settings"]

_ABOUT = frozenset({"contractive", "versions"})  # what a run's own file says besides, of no effect
_STACK = "StackedAutoencoder"
_SHARED = frozenset(  # by the layers of a stack and its joint training
    "optimizer learning_rate batch_size shuffle validation_fraction early_stopping n_iter_no_change tol".split()
)
_OF_STACK = frozenset({"joint_epochs", "random_state"})
_DEFAULTS = {"random_state": 0}
_OF_DATA = ("array", "columns", "bad_rows", "streamed")
_OPTIONS = {"n_components": "--components", "max_epochs": "--epochs", "random_state": "--seed"}  # named otherwise


class Settings(NamedTuple):
    """What a file of settings says.

    Args:
        data: a data set's name or path, or None.
        array: which array of a .npz file, or None.
        columns: names of columns with commas between them, or None.
        bad_rows: "refuse" or "skip", or None.
        streamed: whether the rows were read again each epoch, or None.
        image_shape: height and width as "HxW", or None.
        model: the member of the family, a key of `MODELS` or the name of an estimator's class, or None.
        layer_model: what each layer of a stack is, or None.
        preset: a key of `PRESETS`, or None.
        parameters: of the estimator, as JSON holds them; the layers of a stack as the file has them.
    """

    data: str | None = None
    array: str | None = None
    columns: str | None = None
    bad_rows: str | None = None
    streamed: bool | None = None
    image_shape: str | None = None
    model: str | None = None
    layer_model: str | None = None
    preset: str | None = None
    parameters: Mapping[str, Any] = {}


def read_settings(path: Path) -> Settings:
    """The settings in a TOML file, or in the `config.json` of a run.

    Parameters may stand at the top or under `parameters`; `data` may be a name or what `config.json` holds. A stack's
    layers are tables with a `model` and parameters of their own.

    Raises:
        OSError: if the file cannot be read.
        TypeError: if what must be a text or a table is none.
        ValueError: if it is neither TOML nor JSON by its ending and its content.
    """
    found = read_named(path)
    data = found.get("data")
    if isinstance(data, Mapping):
        found = {**found, "data": data.get("name"), **{name: data.get(name) for name in _OF_DATA}}
    streamed = found.pop("streamed", None)
    if not isinstance(streamed, bool | None):
        raise TypeError(f"`streamed` must be true or false; got {_shown(streamed)} in {str(path)!r}.")
    texts = {name: found.pop(name, None) for name in Settings._fields if name not in ("parameters", "streamed")}
    for name, text in texts.items():
        if not isinstance(text, str | None):
            raise TypeError(f"`{name}` must be a text; got {_shown(text)} in {str(path)!r}.")
    parameters = found.pop("parameters", {})
    if not isinstance(parameters, Mapping):
        raise TypeError(f"`parameters` must be a table; got {_shown(parameters)} in {str(path)!r}.")
    flat = {name: value for name, value in found.items() if name not in _ABOUT}
    return Settings(**texts, streamed=streamed, parameters={**parameters, **flat})


def read_named(path: Path) -> dict[str, Any]:
    """What a file of settings by name, .json or .toml, holds.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if its name ends otherwise, or it holds something else.
    """
    if path.suffix == ".json":
        import json as parser
    elif path.suffix == ".toml":
        import tomllib as parser
    else:
        remedy = " Name the config.json in it." if path.is_dir() else ""
        raise ValueError(f"`--config` must end in .toml or .json; got {str(path)!r}.{remedy}")
    try:
        found = parser.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} must be in UTF-8; it is not ({error.reason}).") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} must be {path.suffix[1:].upper()}; it is not ({error}).") from error
    if not isinstance(found, dict):
        raise ValueError(f"{str(path)!r} must hold settings by name; got {_shown(found)}.")
    return found


def build_estimator(
    model: str | None, preset: str | None, layer_model: str | None, settings: Settings, typed: Mapping[str, Any]
) -> Any:
    """The estimator that all of them together ask for.

    Args:
        model: what `--model` says, or None when it was not typed.
        preset: what `--preset` says, or None.
        layer_model: what `--layer-model` says, or None when it was not typed.
        settings: what `--config` says.
        typed: parameters that were typed.

    Raises:
        TypeError: if a parameter is of the wrong type.
        ValueError: if a parameter is not one of the model, or contradicts it.
    """
    from ..estimators import make_estimator

    model = model or settings.model or "cae"
    preset = preset or settings.preset
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(map(repr, PRESETS))}; got {_shown(preset)}.")
    layer_model = layer_model or settings.layer_model
    name, _ = _class_of(model)
    lists_layers = "layers" in settings.parameters
    if name != _STACK and (layer_model or lists_layers):
        what = "--layer-model" if layer_model else "layers"
        raise ValueError(f"`{what}` must go with --model stacked; got --model {model}.")
    if name != _STACK:
        parameters = _single(f"--model {model}", model, preset, settings, typed)
    elif lists_layers:
        parameters = _listed_stack(preset, layer_model, settings, typed)
    else:
        parameters = _even_stack(layer_model or "cae", preset, settings, typed)
    return make_estimator(name, parameters)


def _class_of(model: object) -> tuple[str, Mapping[str, Any]]:
    """The estimator's class and what it is told, of a member of the family; a class's name means itself.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(model, str) and model in MODELS:
        return MODELS[model]
    if isinstance(model, str) and model in {name for name, _ in MODELS.values()}:
        return model, {}
    raise ValueError(f"`model` must be one of {', '.join(map(repr, MODELS))}; got {_shown(model)}.")


def _single(
    where: str,
    model: str,
    preset: str | None,
    settings: Settings,
    typed: Mapping[str, Any],
    also: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The parameters of one model; `also` are known besides its own."""
    name, told = _class_of(model)
    in_file = settings.parameters
    if settings.model is not None and _class_of(settings.model)[0] != (_STACK if also else name):
        # A file for another model: what this one knows of it.
        in_file = {key: value for key, value in in_file.items() if key in {*_parameter_names(name), *also}}
    chosen = {**_DEFAULTS, **PRESETS.get(preset or "", {}), **told, **in_file, **typed}
    return _checked(where, model, chosen, typed, also)


def _even_stack(layer_model: str, preset: str | None, settings: Settings, typed: Mapping[str, Any]) -> dict[str, Any]:
    """A stack's parameters: one layer for each size, all with the same parameters."""
    chosen = _single(f"--layer-model {layer_model}", layer_model, preset, settings, typed, also=_OF_STACK)
    name, _ = _class_of(layer_model)
    if name == _STACK:
        raise ValueError("`layer_model` must be one model; got 'stacked'. List the layers in a file instead.")
    lower = chosen.pop("hidden_layer_sizes", ())
    if not isinstance(lower, list | tuple):
        raise TypeError(f"`hidden_layer_sizes` must be a list of whole numbers >= 1; got {_shown(lower)}.")
    sizes = (*lower, chosen.pop("n_components", 100))
    of_layer = {key: value for key, value in chosen.items() if key not in _OF_STACK}
    layers = [{"class": name, "parameters": {"n_components": size, **of_layer}} for size in sizes]
    return {"layers": layers} | {key: value for key, value in chosen.items() if key in _SHARED | _OF_STACK}


def _listed_stack(
    preset: str | None, layer_model: str | None, settings: Settings, typed: Mapping[str, Any]
) -> dict[str, Any]:
    """A stack's parameters where a file lists the layers, each with its own."""
    own_to_layers = [option_of(name) for name in typed if name not in _SHARED | _OF_STACK]
    wrong = ["--layer-model"] * bool(layer_model) + ["--preset"] * bool(preset) + own_to_layers
    if wrong:
        raise ValueError(f"`{wrong[0]}` must not be given with a --config that lists the layers; change it there.")
    chosen = {**_DEFAULTS, **settings.parameters, **typed}
    return _checked("--model stacked", "stacked", chosen, typed)


def _layers(tables: Any) -> list[dict[str, Any]]:
    """The layers that a file lists, as `make_estimator` takes them."""
    if not isinstance(tables, list):
        raise TypeError(f"`layers` must be a list of tables; got {_shown(tables)}.")
    layers = []
    for number, table in enumerate(tables):
        try:
            layers.append(_layer(table))
        except (TypeError, ValueError) as error:
            raise type(error)(f"`layers[{number}]`: {error}") from error
    return layers


def _layer(table: Any) -> dict[str, Any]:
    """One layer: a `model` beside its parameters, or a `class` and `parameters` as `config.json` has them."""
    if not isinstance(table, Mapping) or not isinstance(table.get("parameters", {}), Mapping):
        raise TypeError(f"a layer must be a table of a model and its parameters; got {_shown(table)}.")
    model = table.get("model", table.get("class", "cae"))
    flat = {key: value for key, value in table.items() if key not in ("model", "class", "parameters")}
    name, told = _class_of(model)
    return {
        "class": name,
        "parameters": _checked(f"model {model}", model, {**told, **table.get("parameters", {}), **flat}, {}),
    }


def _parameter_names(name: str) -> list[str]:
    from ..estimators import ESTIMATORS

    hidden = {"self", "callbacks", "encoder", "decoder"}  # code has no place in a file or on a command line
    return [
        parameter for parameter in inspect.signature(ESTIMATORS[name].__init__).parameters if parameter not in hidden
    ]


def option_of(parameter: str) -> str:
    """How a parameter is typed."""
    return _OPTIONS.get(parameter, f"--{parameter.replace('_', '-')}")


def _checked(
    where: str, model: str, parameters: Mapping[str, Any], typed: Mapping[str, Any], also: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The parameters of one model, once it has all of them and none makes another model of it."""
    name, _ = _class_of(model)
    known = _parameter_names(name)
    for parameter, value in parameters.items():
        if parameter in known or parameter in also or (parameter in ("encoder", "decoder") and value is None):
            continue
        if parameter in typed:
            owners = [key for key, (owner, _) in MODELS.items() if parameter in _parameter_names(owner)]
            option = where.partition(" ")[0]
            raise ValueError(f"`{option_of(parameter)}` must go with {option} {' or '.join(owners)}; got {where}.")
        raise ValueError(f"`{parameter}` is no parameter of {name}; known: {', '.join(known)}.")
    parameters = checked_tables(parameters)
    _check_sense(where, model, parameters)
    return parameters | ({"layers": _layers(parameters["layers"])} if "layers" in parameters else {})


def _check_sense(where: str, model: str, parameters: Mapping[str, Any]) -> None:
    """Refuse what makes another model of the one that was named."""
    penalty = parameters.get("penalty")
    kind = penalty.get("name", "sum") if isinstance(penalty, Mapping) else penalty
    if model == "ae":
        for name, other in {"contraction": "cae", "hessian_weight": "cae+h"}.items():
            if parameters.get(name):
                raise ValueError(f"`{name}` must be 0 for {where}; got {_shown(parameters[name])}. Use {other}.")
        if isinstance(penalty, Mapping):
            raise ValueError(f"`penalty` must not be a table for {where}; got {kind}. Use cae.")
    if model == "cae+h" and not parameters.get("hessian_weight"):
        raise ValueError(f"`hessian_weight` must be > 0 for {where}; got 0. Use cae.")
    if model == "rcae" and not str(kind).lower().startswith("reconstruction"):
        raise ValueError(
            f"`penalty` must be 'reconstruction' or 'reconstruction_hutchinson' for {where}; "
            f"got {_shown(kind)}. Use cae."
        )


def config_of(
    source: Any, given: Given, image_shape: str | None, estimator: Any, *, streamed: bool = False
) -> dict[str, Any]:
    """What is needed to run the same job again, and with what it ran; `read_settings` reads it."""
    from importlib.metadata import version

    from ..estimators import plain_parameters

    rows = source.rows
    return {
        "contractive": version("contractive"),
        "data": {**given._asdict(), "streamed": streamed, "shape": rows.shape, "dtype": str(rows.dtype)},
        "image_shape": image_shape,
        "model": type(estimator).__name__,
        "parameters": plain_parameters(estimator),
        "versions": {name: version(name) for name in ("jax", "equinox", "optax", "numpy", "scikit-learn")},
    }


def _shown(value: object) -> str:
    from .._validation import shown  # imports NumPy

    return shown(value)
