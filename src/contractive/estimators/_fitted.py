"""What a fitted estimator leaves for other programs to run: its model, and how bytes are read."""

from typing import Any, NamedTuple

from sklearn.utils.validation import check_is_fitted

from .._validation import shown
from ..models import Classifier, Model
from ._base import BaseAutoencoder
from ._base_classifier import BaseClassifier

__all__ = ["Fitted", "fitted"]


class Fitted(NamedTuple):
    """A trained model, and what a uint8 value is divided by before it goes in."""

    model: Model | Classifier
    uint8_scale: float


def fitted(estimator: Any) -> Fitted:
    """The model of a fitted auto-encoder or classifier.

    Args:
        estimator: an auto-encoder of this package, or a classifier with an output layer.

    Raises:
        NotFittedError: if `fit` was not called.
        TypeError: if it is another thing.

    Example:
        >>> import numpy as np
        >>> from contractive import ContractiveAutoencoder
        >>> fitted(ContractiveAutoencoder(2, max_epochs=1).fit(np.eye(4))).model.n_hidden
        2
    """
    if isinstance(estimator, BaseAutoencoder):
        check_is_fitted(estimator, "model_")
        return Fitted(estimator.model_, float(estimator._uint8_scale))
    if isinstance(estimator, BaseClassifier):
        check_is_fitted(estimator, "classifier_")
        return Fitted(estimator.classifier_, estimator._uint8_scale)
    raise TypeError(
        "`estimator` must be an auto-encoder or a classifier with an output layer of this package; "
        f"got {shown(estimator)}."
    )
