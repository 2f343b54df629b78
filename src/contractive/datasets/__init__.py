"""Data sets by name, each split into training, validation and test rows."""

from ._digits import load_digits
from ._mnist import load_mnist
from ._registry import DATASETS, DatasetInfo, Split, Splits

__all__ = ["DATASETS", "DatasetInfo", "Split", "Splits", "load_digits", "load_mnist"]
