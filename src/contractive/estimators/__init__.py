"""The scikit-learn face: plain arrays in, plain arrays out."""

from ._base import BaseAutoencoder
from ._contractive import ContractiveAutoencoder
from ._denoising import DenoisingAutoencoder
from ._describe import plain_parameters
from ._loading import ESTIMATORS, load, make_estimator
from ._parameters import PENALTY_NAMES
from ._stacked import StackedAutoencoder

__all__ = [
    "ESTIMATORS",
    "PENALTY_NAMES",
    "BaseAutoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "StackedAutoencoder",
    "load",
    "make_estimator",
    "plain_parameters",
]
