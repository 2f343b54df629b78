"""The scikit-learn face: plain arrays in, plain arrays out."""

from sklearn.frozen import FrozenEstimator

from ._base import BaseAutoencoder
from ._base_classifier import BaseClassifier
from ._contractive import ContractiveAutoencoder
from ._contractive_classifier import ContractiveClassifier
from ._denoising import DenoisingAutoencoder
from ._describe import model_arrays, plain_parameters
from ._fitted import Fitted, fitted
from ._labels import draw_evenly, is_unlabeled, known_labels
from ._loading import ESTIMATORS, load, load_checkpoint, make_estimator
from ._manifold_tangent import ManifoldTangentClassifier
from ._parameters import PENALTY_NAMES, SMOOTHNESS_NAMES
from ._snapshots import Snapshot, snapshot
from ._stacked import StackedAutoencoder
from ._tangent_neighbors import TangentNeighborsClassifier
from ._tangent_planes import TangentProgress

__all__ = [
    "ESTIMATORS",
    "PENALTY_NAMES",
    "SMOOTHNESS_NAMES",
    "BaseAutoencoder",
    "BaseClassifier",
    "ContractiveAutoencoder",
    "ContractiveClassifier",
    "DenoisingAutoencoder",
    "Fitted",
    "FrozenEstimator",
    "ManifoldTangentClassifier",
    "Snapshot",
    "StackedAutoencoder",
    "TangentNeighborsClassifier",
    "TangentProgress",
    "draw_evenly",
    "fitted",
    "is_unlabeled",
    "known_labels",
    "load",
    "load_checkpoint",
    "make_estimator",
    "model_arrays",
    "plain_parameters",
    "snapshot",
]
