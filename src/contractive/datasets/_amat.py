"""The original `.amat` files of Larochelle et al., read out of their archives without extracting them."""

import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from .._validation import check_count, check_flag
from ._mnist import load_mnist
from ._splits import Splits, cut
from ._tables import read_numbers

__all__ = ["load_amat"]

_MOST_BYTES = 1 << 30  # of text in one member; the largest of the originals, convex_test.amat, has 600 MB
_PART = re.compile(r"(train_valid|train|valid|test)\.amat", re.IGNORECASE)
# How many of the last training rows validate, by the number of rows of the original training files.
_N_VALID = {12_000: 2_000, 1_200: 200, 8_000: 1_500}
_WITHDRAWN = {"mnist_rotation", "mnist_rotation_back_image"}


def load_amat(path: str | Path, *, n_valid: int | None = None, transpose: bool | None = None) -> Splits:
    """One of the original sets of Larochelle et al. (or any pair of `.amat` files), as its authors published it.

    A line of such a file is an example: pixels, then the label. Archives are read in place: nothing is extracted,
    members are recognized by the ends of their names (train.amat or train_valid.amat, test.amat, perhaps
    valid.amat), and more than 1 GiB of text in one is refused.

    Two traps are taken care of. The authors replaced mnist_rotation.zip and mnist_rotation_back_image.zip by
    archives of the same name with _new; the older ones hold members of the same names, so only the archive's
    name tells: they are read with a warning, and published numbers after 2007 are for the newer ones. And in some
    files, those with backgrounds among them, pictures lie column by column and come out transposed; see `transpose`.

    Args:
        path: a .zip archive, or the folder that holds its files.
        n_valid: how many of the last training rows validate. None: as in the papers, 2,000 of 12,000, 200 of 1,200
            and 1,500 of 8,000, or the rows of valid.amat where there is such a file.
        transpose: whether pictures are to be transposed. None: files whose name starts with mnist and does not
            say rotation are, when their digits then look more like MNIST's (the mean picture of each class is
            compared); no others. A rotated digit that is transposed is a mirror image: look at some.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))`: x of shape (n, features), float32 as
        in the file (pixels in [0, 1] in the originals); y of shape (n,), uint8, the label.

    Raises:
        TypeError: if `n_valid` is no whole number or `transpose` no bool.
        FileNotFoundError: if the training or the test file is missing.
        ValueError: if an archive or a file is damaged, too large or holds anything but numbers; line and column of
            a bad value are named. If `n_valid` is missing or too large, or pictures to transpose are not square.
        OSError: if a file cannot be read.

    Example:
        >>> load_amat("no/such/archive.zip")
        Traceback (most recent call last):
        FileNotFoundError: 'no/such/archive.zip' must be a .zip archive or a folder of .amat files; there is none.

    References:
        Larochelle et al., An Empirical Evaluation of Deep Architectures on Problems with Many Factors of Variation,
        ICML 2007.
    """
    path = Path(path)
    if n_valid is not None:
        n_valid = check_count("n_valid", n_valid, low=0)
    if transpose is not None:
        transpose = check_flag("transpose", transpose)
    if not path.exists():
        raise FileNotFoundError(f"{str(path)!r} must be a .zip archive or a folder of .amat files; there is none.")
    if path.stem in _WITHDRAWN:
        warnings.warn(
            f"{path.name} is the older version, which its authors replaced by {path.stem}_new.zip.", stacklevel=2
        )
    tables, name = _read_tables(path)
    x, y, sizes = _in_order(tables, path, n_valid)
    if transpose is None:
        transpose = name.lower().startswith("mnist") and "rotation" not in name.lower() and _looks_transposed(x, y)
    return cut(_transposed(x) if transpose else x, y, sizes)


def _read_tables(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """The numbers of each part ("train", "test", perhaps "valid"), and the name of the training file."""
    tables = {}
    try:
        with _files(path) as files:
            chosen = _by_part(files, path)
            for part, (name, open_file) in chosen.items():
                with open_file() as file:
                    tables[part] = read_numbers(file, f"{path}: {name}", most_bytes=_MOST_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: encrypted, or packed oddly
        raise ValueError(f"{str(path)!r} must be a plain .zip archive; it is damaged or foreign ({error}).") from error
    return tables, chosen["train"][0]


@contextmanager
def _files(path: Path) -> Iterator[list[tuple[str, Callable[[], IO[bytes]]]]]:
    """The names of all files of a folder or an archive, without their folders, and what opens each."""
    if path.is_dir():
        yield [(file.name, partial(file.open, "rb")) for file in sorted(path.iterdir()) if file.is_file()]
        return
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        # Only the last part of a member's name is looked at, and nothing is written anywhere.
        yield [(re.split(r"[/\\]", info.filename)[-1], partial(archive.open, info)) for info in members]


def _by_part(files: list[tuple[str, Callable[[], IO[bytes]]]], path: Path) -> dict[str, tuple[str, Callable]]:
    """The training, validation and test file among all."""
    chosen: dict[str, tuple[str, Callable]] = {}
    for name, open_file in files:
        if (found := _PART.search(name)) and name.endswith(found[0]):
            part = "train" if found[1].lower().startswith("train") else found[1].lower()
            if part in chosen:
                raise ValueError(f"{str(path)!r} must hold one {part} file; got {chosen[part][0]} and {name}.")
            chosen[part] = name, open_file
    for part in ("train", "test"):
        if part not in chosen:
            raise FileNotFoundError(f"{str(path)!r} must hold a file whose name ends in {part}.amat; it holds none.")
    return chosen


def _in_order(
    tables: dict[str, np.ndarray], path: Path, n_valid: int | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
    """All rows and labels, training rows first, and how many each part has."""
    columns = {part: table.shape[1] for part, table in tables.items()}
    if len(set(columns.values())) > 1 or min(columns.values()) < 2:
        raise ValueError(f"{str(path)!r} must have as many columns in each file, at least 2; got {columns}.")
    table = np.concatenate([tables[part] for part in ("train", "valid", "test") if part in tables])
    labels = table[:, -1]
    if bad := np.flatnonzero((labels < 0) | (labels > 255) | (labels % 1 != 0))[:1].tolist():
        raise ValueError(f"{str(path)!r} must have labels 0, 1, ..., 255 in the last column; got {labels[bad[0]]:g}.")
    n_train = len(tables["train"])
    if "valid" in tables and n_valid is None:
        sizes = n_train, len(tables["valid"]), len(tables["test"])
    else:
        n_rows = n_train + len(tables.get("valid", ()))
        n_valid = _N_VALID.get(n_rows) if n_valid is None else n_valid
        if n_valid is None or n_valid >= n_rows:
            raise ValueError(f"`n_valid` must be given and be < {n_rows}, the training rows; got {n_valid}.")
        sizes = n_rows - n_valid, n_valid, len(tables["test"])
    return table[:, :-1], labels.astype(np.uint8), sizes


def _transposed(x: np.ndarray) -> np.ndarray:
    """Square pictures with rows and columns exchanged."""
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1]:
        raise ValueError(f"`transpose` must be False for pictures that are not square; got {x.shape[1]} pixels.")
    return x.reshape(-1, side, side).transpose(0, 2, 1).reshape(len(x), -1)


def _looks_transposed(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether digits resemble MNIST's more when they are transposed: mean pictures of the classes are compared."""
    if x.shape[1] != 784 or y.max() > 9:
        return False
    (digits, labels), _, _ = load_mnist()
    resemblance = 0.0
    # What differs among the classes is compared; a background's mean, the same for all, drops out.
    mean, mnist_mean = x.mean(axis=0), digits[:10_000].mean(axis=0)
    for label in np.unique(y):
        own = (x[y == label].mean(axis=0) - mean).reshape(28, 28)
        other = (digits[:10_000][labels[:10_000] == label].mean(axis=0) - mnist_mean).reshape(28, 28)
        resemblance += float((own * (other - other.T)).sum())
    return resemblance < 0
