"""Data sets by name, each split into training, validation and test rows."""

from ._amat import load_amat
from ._cifar import load_cifar_bw
from ._convex import load_convex
from ._covertype import load_covertype
from ._digits import load_digits
from ._fashion import load_fashion_mnist
from ._mnist import load_mnist
from ._rectangles import load_rectangles
from ._registry import DATASETS, DatasetInfo
from ._splits import Split, Splits
from ._variations import load_mnist_variation

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "Split",
    "Splits",
    "load_amat",
    "load_cifar_bw",
    "load_convex",
    "load_covertype",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_mnist_variation",
    "load_rectangles",
]
