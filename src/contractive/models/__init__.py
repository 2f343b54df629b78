"""Auto-encoders of one example: dense, one layer or several, a stack of any, or a user's own functions."""

from ._base import DenseLayer, Forward, Model
from ._callable import CallableAutoEncoder, wrap_callables
from ._classifier import Classifier
from ._dense import AutoEncoder, initialize
from ._stack import Stack

__all__ = [
    "AutoEncoder",
    "CallableAutoEncoder",
    "Classifier",
    "DenseLayer",
    "Forward",
    "Model",
    "Stack",
    "initialize",
    "wrap_callables",
]
