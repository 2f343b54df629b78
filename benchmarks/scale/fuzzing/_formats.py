"""All formats by name, and the inputs that a seed makes of them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ._arrays import IDX, IDX_GZ, NPY, NPZ
from ._damage import choose, damaged
from ._format import Format
from ._models import CHECKPOINT, MODEL
from ._pictures import PNG
from ._tables import ARROW, CSV, PARQUET

__all__ = ["FORMATS", "Input", "content_of", "valid_files"]

FORMATS: dict[str, Format] = {
    "idx": IDX,
    "idx.gz": IDX_GZ,
    "npy": NPY,
    "npz": NPZ,
    "model": MODEL,
    "checkpoint": CHECKPOINT,
    "csv": CSV,
    "parquet": PARQUET,
    "arrow": ARROW,
    "png": PNG,
}
_N_VALID = 64
_WHOLE, _TWISTED, _BOTH = (
    0.04,
    0.6,
    0.1,
)  # shares of inputs that are left as they are, get false headers, and damage too


class Input(NamedTuple):
    """What a reader is given.

    Args:
        content: of the file.
        is_whole: whether it is valid, and must be read.
    """

    content: bytes
    is_whole: bool


@cache
def valid_files(name: str, seed: int) -> tuple[bytes, ...]:
    """Some valid files of a format."""
    rng = np.random.default_rng([seed, *name.encode()])
    return tuple(FORMATS[name].valid(rng) for _ in range(_N_VALID))


def content_of(name: str, seed: int, rng: np.random.Generator) -> Input:
    """One input of a format.

    Args:
        name: of the format.
        seed: of the valid files that it is made of.
        rng: says which of them, and what is done to it.
    """
    files = valid_files(name, seed)
    content, act = choose(rng, files), rng.random()
    if act < _WHOLE:
        return Input(content, True)
    if act < _WHOLE + _TWISTED:
        content = FORMATS[name].twisted(content, rng)
    if act >= _WHOLE + _TWISTED - _BOTH:
        content = damaged(content, rng, choose(rng, files))
    return Input(content, False)
