"""What a report says in words: of the model, the data and the settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..estimators import BaseAutoencoder, plain_parameters
from ..models import dense_layers
from ._measure import Measured, Sample

__all__ = [
    "About",
    "describe_training",
    "facts_of",
    "feature_names",
    "headline_of",
    "lede_of",
    "number",
    "settings_of",
    "strongest_inputs",
]

_N_STRONGEST = 5

_KINDS = {
    "ContractiveAutoencoder": "contractive auto-encoder",
    "DenoisingAutoencoder": "denoising auto-encoder",
    "StackedAutoencoder": "stack of auto-encoders",
}


class About(NamedTuple):
    """What a report says that the model and the rows do not know.

    Args:
        title: what the page is called, such as the name of the run.
        data: the name or path of the data.
        config: what `config.json` of the run holds; empty where there is none.
    """

    title: str = "A contractive auto-encoder"
    data: str = "the data"
    config: Mapping[str, Any] = {}


def number(value: float) -> str:
    """A number as a person reads it: about four digits, or none after the point from a thousand on.

    Example:
        >>> number(0.123456), number(1234567.8), number(3e-7), number(5)
        ('0.1235', '1,234,568', '3e-07', '5')
    """
    if isinstance(value, int | np.integer) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.3e}"
    return f"{value:.4g}"


def sizes_of(estimator: BaseAutoencoder) -> str:
    """The units from the input to the code.

    Example:
        >>> import numpy as np
        >>> from contractive import ContractiveAutoencoder
        >>> sizes_of(ContractiveAutoencoder(2, max_epochs=1).fit(np.eye(3)))
        '3 → 2'
    """
    layers = dense_layers(estimator.model_)
    return " → ".join(f"{size:,}" for size in (layers[0].n_features, *(layer.n_hidden for layer in layers)))


def feature_names(estimator: BaseAutoencoder) -> list[str]:
    """What the features are called: as in the data, or by their numbers from 1 on."""
    names = vars(estimator).get("feature_names_in_")
    return (
        [f"feature {place + 1}" for place in range(estimator.n_features_in_)] if names is None else [*map(str, names)]
    )


def strongest_inputs(weight: np.ndarray, names: list[str]) -> str:
    """The features with the largest weights of a unit.

    Example:
        >>> import numpy as np
        >>> strongest_inputs(np.array([0.5, -2.0, 0.0]), ["ash", "alcohol", "hue"])
        'alcohol -2, ash 0.5'
    """
    order = np.argsort(-np.abs(weight), kind="stable")[:_N_STRONGEST]
    return ", ".join(f"{names[feature]} {number(float(weight[feature]))}" for feature in order if weight[feature])


def lede_of(estimator: BaseAutoencoder, sample: Sample, about: About) -> str:
    """The page in a sentence."""
    rows = _trained_rows(about, sample)
    seconds = sum(record.seconds for record in estimator.history_)
    epochs = estimator.n_epochs_
    kind = _kind(estimator)
    article = "An" if kind[0] in "aeiou" else "A"
    return (
        f"{article} {kind} with a code of {estimator.model_.n_hidden:,} unit{'s' * (estimator.model_.n_hidden != 1)} "
        f"learned from {rows:,} row{'s' * (rows != 1)} of {_trained_data(about)} in {epochs:,} "
        f"epoch{'s' * (epochs != 1)} and {_duration(seconds)}. This page shows what it keeps of its input, "
        "what it ignores, and lets you try it."
    )


def headline_of(estimator: BaseAutoencoder, measured: Measured) -> list[tuple[str, str]]:
    """The numbers that a reader wants first."""
    last = estimator.history_[-1]
    return [
        ("units", sizes_of(estimator)),
        ("reconstruction error, last epoch", number(last.reconstruction_error)),
        ("‖J‖, last epoch", number(last.jacobian_norm)),
        ("directions followed, median", number(float(np.median(measured.dimensions)))),
    ]


def facts_of(estimator: BaseAutoencoder, sample: Sample, about: About) -> list[tuple[str, str]]:
    """What was trained on what, how long, and by which versions."""
    records = estimator.history_
    n_weights = sum(leaf.size for layer in dense_layers(estimator.model_) for leaf in _arrays(layer))
    facts = [
        ("Model", f"{_kind(estimator)} ({type(estimator).__name__})"),
        ("Units", sizes_of(estimator)),
        ("Trained numbers", f"{n_weights:,}"),
        ("Data", _trained_data(about)),
        ("Rows trained on", f"{_trained_rows(about, sample):,} of {estimator.n_features_in_:,} features"),
        ("Epochs", _epochs(estimator)),
        ("Time", f"{_duration(sum(record.seconds for record in records))}, by the engine “{estimator.engine_}”"),
        ("Rows a second", number(float(np.median([record.rows_per_second for record in records])))),
    ]
    if _trained_data(about) != about.data:
        facts.append(("Rows shown here", f"of {about.data}, which has {sample.n_all:,}"))
    versions = _mapping(about.config.get("versions"))
    own = about.config.get("contractive")
    shown = {**({"contractive": own} if own else {}), **versions}
    if shown:
        facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in shown.items())))
    return facts


def settings_of(estimator: BaseAutoencoder) -> list[tuple[str, list[tuple[str, str]]]]:
    """All parameters by the place where they count: of the model, and of each layer of a stack."""
    parameters = plain_parameters(estimator, callables=True)
    layers = parameters.pop("layers", None) or []
    fitted = vars(estimator).get("layers_", ())
    title = "All settings" if not layers and not fitted else "Settings of the joint training"
    places = [(title, _shown(parameters))]
    for place, layer in enumerate(fitted, 1):
        places += [
            (f"Layer {place}: {name[0].lower() + name[1:]}" if name != "All settings" else f"Layer {place}", rows)
            for name, rows in settings_of(layer)
        ]
    return places


def describe_training(estimator: BaseAutoencoder) -> list[tuple[str, list[Any]]]:
    """The records of training by what was trained: one part, or one a layer of a stack and the joint epochs."""
    layers = vars(estimator).get("layers_", ())
    if len(layers) < 2:
        return [("", list(estimator.history_))]
    parts, start = [], 0
    for place, layer in enumerate(layers, 1):
        parts.append((f"layer {place}", estimator.history_[start : start + layer.n_epochs_]))
        start += layer.n_epochs_
    parts.append(("together", estimator.history_[start:]))
    return [(name, list(records)) for name, records in parts if records]


def _shown(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, "none" if value is None else str(value)) for name, value in parameters.items()]


def _kind(estimator: BaseAutoencoder) -> str:
    kind = _KINDS.get(type(estimator).__name__, "auto-encoder")
    if kind == "contractive auto-encoder" and getattr(estimator, "hessian_weight", 0):
        return "higher-order contractive auto-encoder"
    if kind == "contractive auto-encoder" and getattr(estimator, "contraction", 1) == 0:
        return "plain auto-encoder"
    return kind


def _arrays(layer: Any) -> list[np.ndarray]:
    found = (layer.weight, layer.hidden_bias, layer.visible_bias, layer.decoder_weight)
    return [np.asarray(array) for array in found if array is not None]


def _trained_rows(about: About, sample: Sample) -> int:
    """Rows that the configuration of the run speaks of, or those at hand."""
    shape = _mapping(about.config.get("data")).get("shape")
    n_rows = shape[0] if isinstance(shape, list | tuple) and shape else None
    return n_rows if type(n_rows) is int and n_rows > 0 else sample.n_all


def _trained_data(about: About) -> str:
    """What the configuration of the run calls the data, or what those at hand are called."""
    name = _mapping(about.config.get("data")).get("name")
    return name if isinstance(name, str) and name else about.data


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _epochs(estimator: BaseAutoencoder) -> str:
    best = vars(estimator).get("best_epoch_")
    return f"{estimator.n_epochs_:,}" + (f", weights of epoch {best:,}" if best is not None else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"
