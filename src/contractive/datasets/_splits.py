"""The three parts of a data set, and rows cut into them."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

__all__ = ["Split", "Splits", "cut"]

Split: TypeAlias = tuple[np.ndarray, np.ndarray]
Splits: TypeAlias = tuple[Split, Split, Split]


def cut(x: np.ndarray, y: np.ndarray, sizes: Sequence[int]) -> Splits:
    """The first rows, the next and the last, as training, validation and test rows; views, nothing is copied.

    Args:
        x: the rows, of shape (n, features).
        y: their labels, of shape (n,).
        sizes: how many rows each of the three parts has; their sum is n.

    Returns:
        Three (rows, labels) pairs.

    Example:
        >>> cut(np.arange(4)[:, None], np.arange(4), (2, 1, 1))[1]
        (array([[2]]), array([2]))
    """
    n_train, n_valid, n_test = sizes
    assert n_train + n_valid + n_test == len(x) == len(y)
    valid_end = n_train + n_valid
    return (x[:n_train], y[:n_train]), (x[n_train:valid_end], y[n_train:valid_end]), (x[valid_end:], y[valid_end:])
