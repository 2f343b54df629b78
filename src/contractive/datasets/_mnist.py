"""MNIST, from the file inside the package, by way of a memory map in the user's cache."""

import gzip
import hashlib
import io
from importlib import resources
from pathlib import Path

import numpy as np

from .._files import cache_folder, write_atomically

__all__ = ["load_mnist"]

_PACKED = "mnist.idx.gz"
_PACKED_SHA256 = "321b8257b9a63b35c9af58e00c8964304a3ba44c178baa7f0bc86d422f8c7c25"
_N_TRAIN, _N_VALID, _N_TEST, _SIDE = 50_000, 10_000, 10_000, 28
# The two files of the cache with their digests, checked at every load.
_IMAGES = ("mnist-images.npy", "702af00cf1310d49a5827f4e2dd096aae75e8757bb4b103ff35cf2d75295e0ea")
_LABELS = ("mnist-labels.npy", "1acd548e15194d03df15d08949c70159e3287b8f9878f5e94c6d9cd56c231a5c")


def load_mnist(
    dtype: np.typing.DTypeLike = "uint8", *, scale: float = 256
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The 70,000 digits of MNIST in their standard order, split as in the tutorial.

    The first call decompresses the file that the package carries into `cache_folder()`; later calls map
    that into memory. Both files are checked against their SHA-256 at every call.

    Args:
        dtype: "uint8" for the stored pixels k in 0..255 (read-only memory maps, nothing is copied),
            "float32" or "float64" for k / scale.
        scale: the divisor of float pixels, > 0. 256 is the tutorial's; 255 makes white 1. Not used for uint8.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 50,000, 10,000 and
        10,000 rows: x of shape (n, 784), y of shape (n,), uint8, the digit.

    Raises:
        ValueError: if `dtype` is none of the three, if `scale` is not positive, or if the package's file was altered.
        OSError: if the cache folder cannot be written.

    Example:
        >>> (x_train, y_train), _, (x_test, y_test) = load_mnist()
        >>> x_train.shape, x_train.dtype, y_train[:5]
        ((50000, 784), dtype('uint8'), array([5, 0, 4, 1, 9], dtype=uint8))

    References:
        LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998. CC BY-SA 3.0.
    """
    kind = np.dtype(dtype)
    if kind not in (np.uint8, np.float32, np.float64):
        raise ValueError(f"`dtype` must be 'uint8', 'float32' or 'float64'; got {kind.name!r}.")
    if not scale > 0:
        raise ValueError(f"`scale` must be > 0; got {scale!r}.")
    images, labels = _open_cache()
    splits, start = [], 0
    for size in (_N_TRAIN, _N_VALID, _N_TEST):
        x, y = images[start : start + size], np.array(labels[start : start + size])
        splits.append((x if kind == np.uint8 else np.divide(x, scale, dtype=kind), y))
        start += size
    return tuple(splits)


def _open_cache() -> tuple[np.ndarray, np.ndarray]:
    """The cached images and labels as read-only memory maps; written anew when absent or altered."""
    folder = cache_folder()
    files = [(folder / name, digest) for name, digest in (_IMAGES, _LABELS)]
    if not all(_is_intact(path, digest) for path, digest in files):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for (path, _), array in zip(files, _unpack(), strict=True):
                write_atomically(path, lambda stream, array=array: np.save(stream, array, allow_pickle=False))
        except OSError as error:
            raise OSError(
                f"the cache folder {str(folder)!r} cannot be written ({error.strerror}); "
                "set CONTRACTIVE_CACHE to a folder that can."
            ) from error
    images, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path, _ in files)
    return images, labels


def _is_intact(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False


def _unpack() -> tuple[np.ndarray, np.ndarray]:
    """Images of shape (70000, 784) and labels of shape (70000,) out of the package's own file."""
    packed = resources.files("contractive.datasets").joinpath("data", _PACKED).read_bytes()
    if hashlib.sha256(packed).hexdigest() != _PACKED_SHA256:
        raise ValueError(f"{_PACKED!r} inside the package was altered; reinstall contractive.")
    images = np.empty((_N_TRAIN + _N_VALID + _N_TEST, _SIDE * _SIDE), np.uint8)
    labels = np.empty(len(images), np.uint8)
    with gzip.open(io.BytesIO(packed)) as stream:
        # The four standard files follow one another: images and labels to train, then to test.
        for part in (slice(0, _N_TRAIN + _N_VALID), slice(_N_TRAIN + _N_VALID, None)):
            for array, rank in ((images[part], 3), (labels[part], 1)):
                stream.read(4 + 4 * rank)  # IDX header: magic number and shape, known here
                stream.readinto(array.data)
    return images, labels
