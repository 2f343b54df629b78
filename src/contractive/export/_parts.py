"""What is exported of a model, and what is refused, whatever the format."""

from typing import Any

from .._validation import check_choice
from ..estimators import Fitted, fitted
from ..models import Classifier, Model

__all__ = ["PARTS", "autoencoder_of", "checked_part"]

PARTS = {
    "all": "x -> code, reconstruction and score; of a classifier, code and probabilities",
    "encoder": "x -> code",
    "decoder": "code -> reconstruction",
}
"""What a file may compute."""


def checked_part(estimator: Any, part: str) -> Fitted:
    """The model of a fitted estimator, once it has the part.

    Args:
        estimator: a fitted auto-encoder or classifier.
        part: a key of `PARTS`.

    Raises:
        NotFittedError: if `fit` was not called.
        TypeError: if it is no such estimator.
        ValueError: if there is no such part.
    """
    check_choice("part", part, PARTS)
    found = fitted(estimator)
    if part == "decoder" and isinstance(found.model, Classifier):
        raise ValueError("`part` must be 'all' or 'encoder' for a classifier; got 'decoder'. Export its auto-encoder.")
    return found


def autoencoder_of(model: Model | Classifier) -> Model:
    """What makes the codes: the model, or what a classifier stands on."""
    return model.autoencoder if isinstance(model, Classifier) else model
