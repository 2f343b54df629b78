"""Trainings that were stopped: all that it takes to go on to the same bits, as arrays and what JSON holds, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

from ..models import Model, Stack
from ..training import EpochRecord, Position
from ._describe import dense_model, model_arrays, model_outline, plain_parameters

__all__ = [
    "LayerPlace",
    "Ongoing",
    "OngoingStack",
    "Resumed",
    "Snapshot",
    "held_by",
    "restore_facts",
    "restored",
    "snapshot",
]

_MODEL, _OPTIMIZER, _BEST, _COSTS, _LAYER, _BELOW = "model.", "optimizer.", "best.", "costs", "layer.", "below."


class Snapshot(NamedTuple):
    """A training in the middle.

    Args:
        arrays: by name.
        description: all else, as JSON holds it.
    """

    arrays: dict[str, np.ndarray]
    description: dict[str, Any]


class Ongoing:
    """What an estimator holds while one model of it trains, for `snapshot`.

    Args:
        n_rows: rows of the data.
        epochs_before: epochs in the history that are no part of this training.
    """

    def __init__(self, n_rows: int, epochs_before: int):
        self.n_rows, self.epochs_before = n_rows, epochs_before
        self.take: Any = None
        self.best: tuple[float, int, Model | None] = (np.inf, 0, None)
        self.mark, self.waited = np.inf, 0

    def offer(self, take: Any) -> None:
        """Remember how to copy where the training stands."""
        self.take = take


class Resumed(NamedTuple):
    """What an estimator holds whose next `fit` goes on with a training.

    Args:
        position: where the training stands; of the optimiser's state its leaves.
        ongoing: what it had found out.
    """

    position: Position
    ongoing: Ongoing


class LayerPlace(NamedTuple):
    """Which layer of a stack trains.

    Args:
        number: its place; that after the last for all together.
        records: of the stack's history that are there before.
        own_records: of its own.
    """

    number: int
    records: int
    own_records: int


class OngoingStack(NamedTuple):
    """What a stack holds while a layer trains, and one whose next `fit` goes on.

    Args:
        layers: all of them: trained, in training, and still to be.
        place: where training stands.
    """

    layers: list[Any]
    place: LayerPlace


def snapshot(estimator: Any) -> Snapshot:
    """Where an estimator's training stands; to be called from its callbacks.

    Args:
        estimator: as the callback is given it.

    Raises:
        RuntimeError: if it is not being trained.
        TypeError: if a parameter is an object that JSON cannot hold, such as an optax transformation or an encoder of
            the user's own.
    """
    stack: OngoingStack | None = vars(estimator).get("_ongoing_stack")
    ongoing: Ongoing | None = vars(estimator).get("_ongoing")
    if stack is None and ongoing is None:
        raise RuntimeError("a snapshot can be taken while `fit` calls the estimator's callbacks, not before or after.")
    description = {**estimator._facts(), "parameters": plain_parameters(estimator)}
    if stack is None:
        arrays, own = _of_one(ongoing)
        return Snapshot(arrays, description | own)
    below = stack.layers[: stack.place.number]
    description |= {
        "layers": [{"class": type(layer).__name__, "parameters": plain_parameters(layer)} for layer in stack.layers],
        "below": [layer._description() | {"model": model_outline(layer.model_)} for layer in below],
        "place": stack.place,
    }
    arrays = {
        name: array
        for place, layer in enumerate(below)
        for name, array in model_arrays(layer.model_, f"{_BELOW}{place}.").items()
    }
    if ongoing is not None:
        of_all, own = _of_one(ongoing)
        return Snapshot(arrays | of_all, description | own)
    inner = snapshot(stack.layers[stack.place.number])
    arrays |= {_LAYER + name: array for name, array in inner.arrays.items()}
    return Snapshot(arrays, description | {"layer": inner.description})


def _of_one(ongoing: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The part of a snapshot that is of the model in training."""
    position: Position = ongoing.take()
    error, epoch, best = ongoing.best
    leaves = jax.tree.leaves(position.optimizer_state)
    arrays = model_arrays(position.model, _MODEL) | {_COSTS: position.costs}
    arrays |= {f"{_OPTIMIZER}{number}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
    if best is not None:
        arrays |= model_arrays(best, _BEST)
    return arrays, {
        "model": model_outline(position.model),
        "n_rows": ongoing.n_rows,
        "epochs_before": ongoing.epochs_before,
        "epochs_done": position.epochs_done,
        "minibatches_done": position.minibatches_done,
        "seconds": position.seconds,
        "best_error": None if math.isinf(error) else error,
        "best_epoch": epoch,
        "mark": None if math.isinf(ongoing.mark) else ongoing.mark,
        "waited": ongoing.waited,
    }


def restored(found: Snapshot, make: Any, fitted: Any) -> Any:
    """The estimator of a snapshot, whose next `fit` goes on with the training.

    Args:
        found: as `snapshot` gave it.
        make: makes an estimator of a class's name and its plain parameters.
        fitted: gives an estimator its fitted attributes, from it, a description and a model.

    Raises:
        KeyError, TypeError, ValueError: if it is none.
    """
    arrays, description = found
    estimator = make(description["class"], description["parameters"])
    restore_facts(estimator, description)
    if "layers" in description:
        layers, place = _layers(found, make, fitted), LayerPlace(*description["place"])
        estimator._resumed_stack = OngoingStack(layers, place)
        estimator.layers_ = layers[: place.number]
        if estimator.layers_:
            estimator.model_ = Stack(tuple(layer.model_ for layer in estimator.layers_))
    if "model" in description:
        estimator._resumed = _resumed(arrays, description)
        estimator.model_ = estimator._resumed.position.model
    return estimator


def restore_facts(estimator: Any, description: Mapping[str, Any]) -> None:
    """Give an estimator what `BaseAutoencoder._facts` said."""
    estimator.history_ = [EpochRecord(*record) for record in description["history"]]
    estimator._seed, estimator.n_features_in_ = description["seed"], description["n_features"]
    estimator._optimizer_state = None
    if description["engine"] is not None:
        estimator.engine_ = description["engine"]
    if description["feature_names"]:
        estimator.feature_names_in_ = np.array(description["feature_names"], dtype=object)


@contextmanager
def held_by(estimator: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of an estimator for as long as something trains, so that snapshots can be taken meanwhile."""
    setattr(estimator, name, value)
    try:
        yield
    finally:
        delattr(estimator, name)


def _layers(found: Snapshot, make: Any, fitted: Any) -> list[Any]:
    """The layers of a stack in training: fitted ones, then that which goes on, then those that are still to be."""
    arrays, description = found
    layers = [make(layer["class"], layer["parameters"]) for layer in description["layers"]]
    for place, (layer, own) in enumerate(zip(layers, description["below"], strict=False)):
        fitted(layer, own, dense_model(own["model"], arrays, f"{_BELOW}{place}."))
    if "layer" in description:
        inner = {name.removeprefix(_LAYER): array for name, array in arrays.items() if name.startswith(_LAYER)}
        layers[description["place"][0]] = restored(Snapshot(inner, description["layer"]), make, fitted)
    return layers


def _resumed(arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> Resumed:
    ongoing = Ongoing(description["n_rows"], description["epochs_before"])
    if description["best_error"] is not None:
        best = dense_model(description["model"], arrays, _BEST)
        ongoing.best = description["best_error"], description["best_epoch"], best
    ongoing.mark = np.inf if description["mark"] is None else description["mark"]
    ongoing.waited = description["waited"]
    n_leaves = sum(name.startswith(_OPTIMIZER) for name in arrays)
    position = Position(
        description["epochs_done"],
        description["minibatches_done"],
        description["seconds"],
        arrays[_COSTS],
        dense_model(description["model"], arrays, _MODEL),
        [arrays[f"{_OPTIMIZER}{number}"] for number in range(n_leaves)],
    )
    return Resumed(position, ongoing)
