"""Forest cover type: a table of 54 measurements of 581,012 patches of forest."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from ._downloads import Download, fetch, opened
from ._splits import Splits, cut
from ._tables import read_numbers

__all__ = ["load_covertype"]

_SIZES, _N_FEATURES = (11_340, 3_780, 565_892), 54
_MOST_BYTES = 128 << 20  # the standard file has 75 MB
_FILE = Download(
    "https://ndownloader.figshare.com/files/5976039",
    "614360d0257557dd1792834a85a1cdebfadc3c4f30b011d56afee7ffb5b15771",
    11_240_707,
    "covtype.data.gz",
)


def load_covertype(path: str | Path | None = None) -> Splits:
    """Forest cover type: 54 cartographic measurements of 581,012 cells of forest, in the file's order.

    The parts are those of the set's own description: the first 11,340 rows, in which the seven classes are
    balanced, then 3,780, then the rest. Rifai et al. (NIPS 2011) do not say which rows they trained on.

    Args:
        path: the file covtype.data.gz, or covtype.data out of it. None: it is fetched over HTTPS into
            `cache_folder()`, once (11 MB; `$CONTRACTIVE_MIRROR` may name another server), and checked by its SHA-256.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 11,340, 3,780 and 565,892 rows:
        x of shape (n, 54), float32, the values as they are in the file (metres, degrees, 0/1; scale them before
        training); y of shape (n,), uint8, the class, 1 to 7.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything but so many rows of 54 numbers and a class.
        OSError: if it cannot be read or fetched.

    Example:
        >>> load_covertype("no/such/file")
        Traceback (most recent call last):
        FileNotFoundError: 'no/such/file' must be covtype.data.gz; there is no such file.

    References:
        Blackard and Dean, Comparative Accuracies of Artificial Neural Networks and Discriminant Analysis in Predicting
        Forest Cover Types, Computers and Electronics in Agriculture, 1999. UCI repository, CC BY 4.0.
    """
    path = fetch(_FILE) if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} must be covtype.data.gz; there is no such file.")
    try:
        with opened(path) as file:
            table = read_numbers(file, str(path), delimiter=",", most_bytes=_MOST_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{str(path)!r} must be a gzip file; it is truncated or foreign ({error}).") from error
    if table.shape != (sum(_SIZES), _N_FEATURES + 1):
        raise ValueError(
            f"{str(path)!r} must hold {sum(_SIZES):,} rows of {_N_FEATURES + 1} numbers; got {table.shape[0]:,} of "
            f"{table.shape[1]}."
        )
    labels = table[:, -1]
    if bad := np.flatnonzero(~np.isin(labels, np.arange(1, 8)))[:1].tolist():
        raise ValueError(f"{str(path)!r} must hold classes from 1 to 7; got {labels[bad[0]]:g} in row {bad[0] + 1}.")
    return cut(table[:, :-1], labels.astype(np.uint8), _SIZES)
