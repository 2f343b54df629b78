"""Auto-encoders of one example: dense, one layer or several, a stack of any, or a user's own functions."""

from ._base import DenseLayer, Forward, Model
from ._callable import CallableAutoEncoder, wrap_callables
from ._classifier import Classifier
from ._dense import AutoEncoder, dense_layers, initialize
from ._stack import Stack

__all__ = [
    "AutoEncoder",
    "CallableAutoEncoder",
    "Classifier",
    "DenseLayer",
    "Forward",
    "Model",
    "Stack",
    "dense_layers",
    "initialize",
    "wrap_callables",
]
