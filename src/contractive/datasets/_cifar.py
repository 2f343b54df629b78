"""CIFAR-bw: the pictures of CIFAR-10 in grey, from the binary version, which needs no pickle."""

import tarfile
import zlib
from pathlib import Path

import numpy as np

from ._downloads import Download, fetch, read_exactly
from ._photographs import luma
from ._splits import Splits, cut

__all__ = ["load_cifar_bw"]

_SIZES, _SIDE = (40_000, 10_000, 10_000), 32
_RECORD = 1 + 3 * _SIDE**2  # a label, then the red, the green and the blue pixels
_N_BATCH = 10_000
_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_ARCHIVE = Download(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    170_052_171,
    "cifar-10-binary.tar.gz",
)


def load_cifar_bw(path: str | Path | None = None) -> Splits:
    """The 60,000 pictures of CIFAR-10 in grey, in their standard order.

    Grey is (299 R + 587 G + 114 B) / 1000, rounded; Rifai et al. do not say how theirs was made, nor which rows
    they validated on: here it is the fifth training batch.

    Args:
        path: the archive cifar-10-binary.tar.gz, or the folder cifar-10-batches-bin out of it. None: the archive is
            fetched over HTTPS into `cache_folder()`, once (170 MB; `$CONTRACTIVE_MIRROR` may name another server),
            and checked by its SHA-256. Nothing is ever extracted.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 40,000, 10,000 and 10,000 rows:
        x of shape (n, 1024), uint8 pixels in 0..255; y of shape (n,), uint8, the class: airplane, automobile, bird,
        cat, deer, dog, frog, horse, ship, truck.

    Raises:
        FileNotFoundError: if one of the six batches is missing.
        ValueError: if a batch has another size or other labels than 0 to 9, or the archive is damaged.
        OSError: if a file cannot be read or fetched.

    Example:
        >>> load_cifar_bw("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: 'no/such/folder' must be cifar-10-binary.tar.gz or the folder in it; there is no such file.

    References:
        Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; Rifai et al., Contractive
        Auto-Encoders, ICML 2011, table 1.
    """
    path = fetch(_ARCHIVE) if path is None else Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{str(path)!r} must be cifar-10-binary.tar.gz or the folder in it; there is no such file."
        )
    batches = _from_folder(path) if path.is_dir() else _from_archive(path)
    rows, labels = np.empty((sum(_SIZES), _SIDE**2), np.uint8), np.empty(sum(_SIZES), np.uint8)
    for number, name in enumerate(_NAMES):
        if name not in batches:
            raise FileNotFoundError(f"{str(path)!r} must hold {name} of CIFAR-10's binary version; it does not.")
        records = np.frombuffer(batches[name], np.uint8).reshape(_N_BATCH, _RECORD)
        if records[:, 0].max() > 9:
            raise ValueError(f"{name!r} of {str(path)!r} must hold labels from 0 to 9; got {records[:, 0].max()}.")
        batch = slice(number * _N_BATCH, (number + 1) * _N_BATCH)
        labels[batch] = records[:, 0]
        rows[batch] = luma(records[:, 1:].reshape(_N_BATCH, 3, -1).transpose(0, 2, 1))
    return cut(rows, labels, _SIZES)


def _from_folder(folder: Path) -> dict[str, bytes]:
    batches = {}
    for name in _NAMES:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                batches[name] = read_exactly(file, _N_BATCH * _RECORD, str(folder / name))
    return batches


def _from_archive(path: Path) -> dict[str, bytes]:
    """The batches by name, read one after the other; the paths inside the archive are only compared."""
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name not in _NAMES or not member.isfile():
                    continue
                if name in batches:
                    raise ValueError(f"{str(path)!r} must hold {name} once; it holds it twice.")
                file = archive.extractfile(member)
                assert file is not None
                batches[name] = read_exactly(file, _N_BATCH * _RECORD, f"{path}: {member.name}")
                if len(batches) == len(_NAMES):
                    break
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{str(path)!r} must be a .tar.gz archive; it is truncated or foreign ({error}).") from error
    return batches
