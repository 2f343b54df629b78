"""MLflow's `python_function`: a model file that it loads through this package, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._validation import check_choice
from ..estimators import BaseClassifier, load

__all__ = ["MODEL", "LoadedModel", "default_method"]

MODEL = "model.safetensors"
"""What the model file is called in MLflow's folder."""

_OF_AUTOENCODERS = ("transform", "reconstruct", "score_samples", "inverse_transform", "contraction_norm")
_OF_CLASSIFIERS = ("predict", "predict_proba", "predict_log_proba")


class LoadedModel:
    """What MLflow calls: `predict` is one of the methods of an estimator.

    Args:
        estimator: the fitted estimator.
        method: its method.

    Raises:
        ValueError: if it has no such method.
    """

    def __init__(self, estimator: Any, method: str):
        known = _OF_CLASSIFIERS if isinstance(estimator, BaseClassifier) else _OF_AUTOENCODERS
        self._predict = getattr(estimator, check_choice("method", method, known))

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> Any:
        """What the method makes of rows: an array or a data frame of shape (n_samples, n_features).

        Args:
            rows: the data.
            params: nothing is asked of them.
        """
        return self._predict(rows)


def default_method(estimator: Any) -> str:
    """What `predict` means unless something else is said: codes, or a classifier's classes."""
    return "predict" if isinstance(estimator, BaseClassifier) else "transform"


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> LoadedModel:
    """What MLflow loads a model by.

    Args:
        path: the model file.
        model_config: `method` is what `predict` means, "score_samples" say.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds no model, or none with that method.
    """
    estimator = load(Path(path))
    return LoadedModel(estimator, (model_config or {}).get("method", default_method(estimator)))
