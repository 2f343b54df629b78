"""Named settings and the names of models, for the estimators and the command line; imports nothing heavy."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["CLASSIFIERS", "MODELS", "PRESETS"]

PRESETS = MappingProxyType(
    {
        "tutorial": MappingProxyType(
            {
                "n_components": 500,
                "contraction": 0.1,
                "activation": "sigmoid",
                "loss": "cross_entropy",
                "tied_weights": True,
                "optimizer": "sgd",
                "learning_rate": 0.01,
                "batch_size": 10,
                "max_epochs": 20,
                "shuffle": False,
            }
        )
    }
)
"""Named settings of `ContractiveAutoencoder`; "tutorial" is the job of the classic Theano tutorial."""

MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "cae": ("ContractiveAutoencoder", MappingProxyType({})),
        "cae+h": ("ContractiveAutoencoder", MappingProxyType({"hessian_weight": 0.1})),
        "dae": ("DenoisingAutoencoder", MappingProxyType({})),
        "rcae": ("ContractiveAutoencoder", MappingProxyType({"penalty": "reconstruction"})),
        "ae": ("ContractiveAutoencoder", MappingProxyType({"contraction": 0.0})),
        "stacked": ("StackedAutoencoder", MappingProxyType({})),
    }
)
"""The members of the family by the name that the command line knows: an estimator and what it is told."""

CLASSIFIERS = MappingProxyType(
    {
        "classifier": ("ContractiveClassifier", "cae"),
        "mtc": ("ManifoldTangentClassifier", "cae+h"),
    }
)
"""Classifiers by the name that the command line knows: an estimator, and which of `MODELS` the layers below it are."""
