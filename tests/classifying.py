"""Classifiers of few epochs on a representation that the tests of classifiers share."""

from typing import Any

import jax
import numpy as np
from sklearn.frozen import FrozenEstimator

from contractive import (
    ContractiveClassifier,
    ManifoldTangentClassifier,
    TangentNeighborsClassifier,
)
from contractive.datasets import load_digits
from toys import small

(X, Y), (X_VALID, Y_VALID), _ = load_digits()
X, Y = X[:200], Y[:200]
FEW = np.where(np.arange(200) < 60, Y, -1)
CAE = small(n_components=20).fit(X)
KINDS: dict[str, Any] = {"classifier": ContractiveClassifier, "mtc": ManifoldTangentClassifier}


def make(kind: Any = ContractiveClassifier, **parameters: Any) -> Any:
    """A classifier of few epochs on a representation that all tests share, unless said otherwise."""
    options: dict[str, Any] = {"representation": FrozenEstimator(CAE), "random_state": 0}
    if kind is not ContractiveClassifier:
        options["n_tangents"] = 3
    if kind is not TangentNeighborsClassifier:
        options |= {"max_epochs": 15, "learning_rate": 0.01}
    return kind(**options | parameters)


def weights_of(classifier: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(classifier.classifier_)]
