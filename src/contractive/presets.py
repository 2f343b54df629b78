"""Named settings, for the estimator and the command line; imports nothing heavy."""

from types import MappingProxyType

__all__ = ["PRESETS"]

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
