"""How rows with a classifier are fitted, and what is measured of them.

Test rows are given to `measure` alone, by the final run, after `fit` has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier

from contractive import (
    ContractiveClassifier,
    ManifoldTangentClassifier,
    StackedAutoencoder,
    TangentNeighborsClassifier,
)
from contractive.geometry import contraction_curve, saturation

from .data import BYTE_SCALE, Split
from .trial import UNLABELED, Trial, few_labels

__all__ = ["classify", "contract", "find_neighbors", "geometry_of", "measured_geometry"]

_CLASSIFIERS = {"mlp": ContractiveClassifier, "mtc": ManifoldTangentClassifier}
_DEEP_ROWS = 500


class Classified:
    """A fitted classifier of scikit-learn's kind."""

    def __init__(self, classifier: Any, facts: Mapping[str, Any]):
        self._classifier, self.facts = classifier, dict(facts)

    def measure(self, rows: Split) -> dict[str, float]:
        """Error rate and accuracy in per cent, and the cross-entropy in nats where there are probabilities."""
        if hasattr(self._classifier, "predict_log_proba"):
            scores = self._classifier.predict_log_proba(rows.X)
            own = np.searchsorted(self._classifier.classes_, rows.y)
            error = 100 * float(np.mean(self._classifier.classes_[scores.argmax(axis=1)] != rows.y))
            return {"error": error, "log_loss": float(-np.mean(scores[np.arange(len(own)), own]))}
        accuracy = 100 * float(np.mean(self._classifier.predict(rows.X) == rows.y))
        return {"error": 100 - accuracy, "accuracy": accuracy}


def classify(trial: Trial) -> Classified:
    """Pretrain on all rows, fine-tune on the labelled ones; the validation rows choose the best epoch."""
    representation = trial.representation()
    facts = measured_geometry(trial, representation)
    parameters = dict(trial.settings["classifier"])
    kind = _CLASSIFIERS[parameters.pop("kind")]
    X, y = trial.train.X, few_labels(trial.train, trial.settings.get("n_labels"), trial.seed)
    if not trial.settings.get("with_unlabeled", False):
        X, y = X[y != UNLABELED], y[y != UNLABELED]
    if kind is ManifoldTangentClassifier and len(y) == len(trial.train.y):
        parameters["tangent_cache"] = trial.cache  # ten minutes, the same for every draw of labels and every weight
    classifier = kind(
        FrozenEstimator(representation),
        unlabeled=UNLABELED,
        random_state=trial.seed,
        callbacks=trial.callbacks,
        **parameters,
    )
    with trial.clock("fine_tuning"):
        classifier.fit(X, y, validation_data=trial.validation_data)
    facts |= {"epochs": classifier.n_epochs_, "best_epoch": vars(classifier).get("best_epoch_", classifier.n_epochs_)}
    return Classified(classifier, facts)


def find_neighbors(trial: Trial) -> Classified:
    """The nearest of a few labelled rows: by pixels, by codes, or by the distance between tangent planes."""
    y = few_labels(trial.train, trial.settings["n_labels"], trial.seed)
    X, y = trial.train.X[y != UNLABELED], y[y != UNLABELED]
    neighbors, facts = trial.settings["neighbors"], {}
    kind, n_neighbors = neighbors["distance"], neighbors["n_neighbors"]
    if kind == "pixels":
        return Classified(Pictured(KNeighborsClassifier(n_neighbors)).fit(X, y), facts)
    representation = trial.representation()
    facts = measured_geometry(trial, representation)
    if kind == "codes":
        return Classified(Pictured(KNeighborsClassifier(n_neighbors), representation).fit(X, y), facts)
    frozen, n_tangents = FrozenEstimator(representation), neighbors["n_tangents"]
    classifier = TangentNeighborsClassifier(frozen, n_neighbors=n_neighbors, n_tangents=n_tangents)
    with trial.clock("fine_tuning"):
        return Classified(classifier.fit(X, y), facts)


def contract(trial: Trial) -> Encoded:
    """Pretrain, and measure the contraction ratio around validation rows at the settings' `radii`."""
    representation = trial.representation()
    rows: Any = trial.valid.X[: trial.settings["n_curve_rows"]]
    radii = trial.settings["radii"]
    facts = measured_geometry(trial, representation)
    with trial.clock("measuring"):
        ratios = contraction_curve(representation.model_, rows, radii, seed=trial.seed, uint8_scale=BYTE_SCALE)
    return Encoded(facts | {"ratio": [float(ratio) for ratio in ratios]})


class Encoded:
    """A fitted representation of which only the facts count."""

    def __init__(self, facts: Mapping[str, Any]):
        self.facts = dict(facts)

    def measure(self, rows: Split) -> dict[str, float]:
        """Nothing."""
        return {}


class Pictured:
    """A k-NN classifier of rows as floats, or of their codes; it gives no probabilities."""

    def __init__(self, classifier: Any, representation: Any = None):
        self._classifier, self._representation = classifier, representation

    def fit(self, X: np.ndarray, y: np.ndarray) -> Pictured:
        """Remember the rows."""
        self._classifier.fit(self._features(X), y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the nearest."""
        return self._classifier.predict(self._features(X))

    def _features(self, X: np.ndarray) -> np.ndarray:
        return X.astype(np.float32) if self._representation is None else self._representation.transform(X)


def measured_geometry(trial: Trial, representation: Any) -> dict[str, float]:
    """The geometry of a trial's representation on its validation rows, measured once for all trials that share it."""
    with trial.clock("measuring"):
        return trial.facts("geometry", lambda: geometry_of(representation, trial.valid.X))


def geometry_of(representation: Any, X: np.ndarray) -> dict[str, float]:
    """The mean squared entry of the Jacobian and the share of saturated units in per cent, as in ICML 2011, table 1.

    A stack's Jacobian is a product of matrices, a thousand times as dear as one layer's: there on `_DEEP_ROWS` rows.
    """
    if isinstance(representation, StackedAutoencoder):
        X = X[:_DEEP_ROWS]
    codes = representation.transform(X)
    entries = representation.n_features_in_ * codes.shape[1]
    norms = representation.contraction_norm(X).astype(np.float64)
    return {
        "jacobian_mean_squared_entry": float(np.mean(norms**2) / entries),
        "saturation": 100 * float(saturation(jnp.asarray(codes.reshape(-1)))),
    }
