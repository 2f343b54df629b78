"""Reading model files: the estimator that wrote one, ready to transform, without running code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import shortened, shown
from ..models import wrap_callables
from ..serialization import read_checkpoint, read_model
from ..supervised import FineTuningRecord
from ._base import BaseAutoencoder, precision
from ._base_classifier import BaseClassifier
from ._contractive import ContractiveAutoencoder
from ._contractive_classifier import ContractiveClassifier
from ._denoising import DenoisingAutoencoder
from ._describe import OWN, dense_classifier, dense_model, own_model, restored_parameters
from ._manifold_tangent import ManifoldTangentClassifier
from ._snapshots import Snapshot, restore_facts, restored
from ._stacked import StackedAutoencoder

__all__ = ["ESTIMATORS", "load", "load_checkpoint", "make_estimator"]

ESTIMATORS = {
    kind.__name__: kind
    for kind in (
        ContractiveAutoencoder,
        DenoisingAutoencoder,
        StackedAutoencoder,
        ContractiveClassifier,
        ManifoldTangentClassifier,
    )
}
"""Every estimator that can be written to a file, by the name of its class."""


def make_estimator(name: str, parameters: Mapping[str, Any]) -> Any:
    """An unfitted estimator of its class's name and its parameters as JSON holds them.

    Raises:
        TypeError: if it has no such parameter.
        ValueError: if there is no such class.
    """
    if name not in ESTIMATORS:
        raise ValueError(f"the model must be one of {', '.join(sorted(ESTIMATORS))}; got {name!r}.")
    return ESTIMATORS[name](**restored_parameters(parameters, make_estimator))


def load(
    path: str | Path,
    *,
    encoder: Callable[[Any], Any] | None = None,
    decoder: Callable[[Any], Any] | None = None,
) -> Any:
    """Read an estimator that `save` wrote, ready to transform.

    Args:
        path: the model file.
        encoder: the encoder of your own that was trained, with any values in its arrays; for such models only.
        decoder: likewise.

    Returns:
        The fitted estimator, of the class that was saved.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is truncated, altered, foreign, or of a class that this version does not know; if it needs
            an encoder or decoder that is not given, or the one given holds arrays of other shapes.

    Example:
        >>> import numpy as np, tempfile
        >>> cae = ContractiveAutoencoder(n_components=2, max_epochs=1).fit(np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cae.save(f"{folder}/model.safetensors")
        ...     same = load(f"{folder}/model.safetensors")
        >>> bool((same.transform(np.eye(4)) == cae.transform(np.eye(4))).all())
        True
    """
    arrays, description = read_model(path)
    name = description.get("class")
    if not isinstance(name, str) or name not in ESTIMATORS:
        raise ValueError(f"{str(path)!r} must hold one of {', '.join(ESTIMATORS)}; got {shown(name)}.")
    try:
        if issubclass(ESTIMATORS[name], BaseClassifier):
            if encoder is not None or decoder is not None:
                raise ValueError("`encoder` and `decoder` must be None for a classifier, which is of dense layers")
            return _fitted_classifier(description, arrays)
        return _fitted(description, arrays, {"encoder": encoder, "decoder": decoder})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{str(path)!r} does not describe a model of this version ({shortened(error, 200).rstrip('.')})."
        ) from error


def load_checkpoint(path: str | Path) -> Any:
    """Read a training in the middle, as `snapshot` took it; the next `fit`, with the same data, goes on to its end.

    What comes out has the bits of a training that was never stopped.

    Args:
        path: the file.

    Returns:
        An auto-encoder whose parameters may be changed before `fit`, `max_epochs` say.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is truncated, altered or foreign.

    Example:
        >>> import numpy as np, tempfile
        >>> from contractive.estimators import snapshot
        >>> from contractive.serialization import write_checkpoint
        >>> from contractive.training import EpochRecord
        >>> X = np.random.RandomState(0).rand(20, 4)
        >>> cae = ContractiveAutoencoder(n_components=2, max_epochs=4, random_state=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     def keep(estimator, event):
        ...         if isinstance(event, EpochRecord) and event.epoch == 2:
        ...             write_checkpoint(f"{folder}/middle.safetensors", *snapshot(estimator))
        ...     whole = cae.set_params(callbacks=[keep]).fit(X)
        ...     same = load_checkpoint(f"{folder}/middle.safetensors").fit(X)
        >>> bool((same.components_ == whole.components_).all()), same.n_epochs_
        (True, 4)
    """
    found = Snapshot(*read_checkpoint(path))
    try:
        return restored(found, make_estimator, _restore)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{str(path)!r} does not describe a training of this version ({shortened(error, 200).rstrip('.')})."
        ) from error


def _fitted(description: dict[str, Any], arrays: dict[str, np.ndarray], own: dict[str, Any]) -> BaseAutoencoder:
    """The estimator that a model file describes."""
    parameters = dict(description["parameters"])
    for name, function in own.items():
        if (parameters.get(name) == OWN) != (function is not None):
            need = "be given, as the model has one of the user's own" if function is None else "be None for this model"
            raise ValueError(f"`{name}` must {need}")
        if function is not None:
            parameters[name] = function
    estimator = make_estimator(description["class"], parameters)
    outline = description["model"]
    if "own" in outline:
        dtype = next(iter(arrays.values())).dtype
        with precision(dtype):
            fresh = wrap_callables(
                estimator.encoder,
                estimator.decoder,
                n_features=description["n_features"],
                rng=np.random.RandomState(0),
                loss=estimator.loss,
                dtype=dtype,
            )
        model = own_model(fresh, arrays)
    else:
        model = dense_model(outline, arrays)
    if model.n_features != description["n_features"]:
        raise ValueError(f"the model must have {description['n_features']} features; got {model.n_features}")
    _restore(estimator, description, model)
    return estimator


def _fitted_classifier(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> BaseClassifier:
    """The classifier that a model file describes, without the representation that it started from."""
    estimator = make_estimator(description["class"], description["parameters"])
    classifier = dense_classifier(description["model"], arrays)
    classes = np.array(description["classes"]["values"], dtype=description["classes"]["dtype"])
    if (classifier.n_features, classifier.n_classes) != (description["n_features"], len(classes)):
        raise ValueError(
            f"the model must have {description['n_features']} features and {len(classes)} classes; "
            f"got {classifier.n_features} and {classifier.n_classes}"
        )
    estimator.classifier_, estimator.classes_ = classifier, classes
    estimator.history_ = [FineTuningRecord(*record) for record in description["history"]]
    estimator.n_features_in_ = description["n_features"]
    estimator._seed, estimator._uint8_scale = description["seed"], description["uint8_scale"]
    if description["feature_names"]:
        estimator.feature_names_in_ = np.array(description["feature_names"], dtype=object)
    if description["best_epoch"] is not None:
        estimator.best_epoch_ = description["best_epoch"]
    return estimator


def _restore(estimator: Any, description: dict[str, Any], model: Any) -> None:
    """Give an estimator its fitted attributes, and those of its layers."""
    estimator.model_ = model
    restore_facts(estimator, description)
    if description["best_epoch"] is not None:
        estimator.best_epoch_ = description["best_epoch"]
    if description["layers"]:
        layers = [make_estimator(layer["class"], layer["parameters"]) for layer in description["layers"]]
        for layer, own, part in zip(layers, description["layers"], model.layers, strict=True):
            _restore(layer, own, part)
        estimator.layers_ = layers
