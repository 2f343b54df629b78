"""What the package knows of each data set, by the name that the command line takes."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ._digits import load_digits
from ._mnist import load_mnist

Split: TypeAlias = tuple[np.ndarray, np.ndarray]
Splits: TypeAlias = tuple[Split, Split, Split]


@dataclass(frozen=True)
class DatasetInfo:
    """One data set: how it is called, what it holds, how it is loaded.

    Args:
        name: the name that `contractive train` takes.
        summary: one line for a person.
        image_shape: height and width of one picture in pixels.
        load: () -> three (rows, labels) pairs, the rows as they are stored.
    """

    name: str
    summary: str
    image_shape: tuple[int, int]
    load: Callable[[], Splits]


DATASETS = MappingProxyType(
    {
        info.name: info
        for info in (
            DatasetInfo("mnist", "70,000 handwritten digits, 28 x 28 grey: 50,000/10,000/10,000", (28, 28), load_mnist),
            DatasetInfo("digits", "1,797 handwritten digits, 8 x 8 grey: 1,297/250/250", (8, 8), load_digits),
        )
    }
)
"""Every data set by name."""
