"""Fashion-MNIST: from a folder, from Debian's package, or fetched once."""

from pathlib import Path

import numpy as np

from ._downloads import Download, fetch, gunzip
from ._splits import Splits, cut

__all__ = ["load_fashion_mnist"]

_SIZES, _SIDE = (50_000, 10_000, 10_000), 28
# Where Debian's package dataset-fashion-mnist puts the files.
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
# Of each file, its name, size and SHA-256 as published; size and SHA-256 of what is in it. Debian compresses
# the same content anew, so that only the latter hold for its files.
_FILES = (
    (
        *("train-images-idx3-ubyte", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        *(47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ),
    (
        *("train-labels-idx1-ubyte", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        *(60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ),
    (
        *("t10k-images-idx3-ubyte", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        *(7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ),
    (
        *("t10k-labels-idx1-ubyte", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        *(10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
)


def load_fashion_mnist(folder: str | Path | None = None) -> Splits:
    """The 70,000 pictures of clothes of Fashion-MNIST in their standard order, split as MNIST is.

    Args:
        folder: where the four IDX files are, compressed (.gz) or not. None: the folder of Debian's package
            dataset-fashion-mnist when it is installed; else they are fetched over HTTPS into `cache_folder()`, once
            (31 MB; `$CONTRACTIVE_MIRROR` may name another server). Their content is checked by SHA-256 every time.

    Returns:
        Three pairs `((x_train, y_train), (x_valid, y_valid), (x_test, y_test))` of 50,000, 10,000 and 10,000 rows:
        x of shape (n, 784), uint8 pixels in 0..255, read-only; y of shape (n,), uint8: T-shirt, trouser, pullover,
        dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Raises:
        FileNotFoundError: if `folder` lacks one of the files.
        ValueError: if a file holds anything but the standard content.
        OSError: if a file cannot be read or fetched.

    Example:
        >>> load_fashion_mnist("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: 'no/such/folder' must hold train-images-idx3-ubyte.gz of Fashion-MNIST; it does not.

    References:
        Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
        2017. MIT licence.
    """
    if folder is None and _DEBIAN.is_dir():
        folder = _DEBIAN
    parts = []
    for name, n_packed, packed_sha256, n_bytes, sha256 in _FILES:
        if folder is None:
            path = fetch(Download(f"{_URL}{name}.gz", packed_sha256, n_packed, f"fashion-{name}.gz"))
        else:
            path = _in_folder(Path(folder), name)
        # IDX header: magic number and shape, which the digest vouches for.
        header = 16 if "images" in name else 8
        parts.append(np.frombuffer(gunzip(path, n_bytes, sha256), np.uint8, offset=header))
    images, labels = np.concatenate(parts[0::2]), np.concatenate(parts[1::2])
    images.flags.writeable = False
    return cut(images.reshape(-1, _SIDE**2), labels, _SIZES)


def _in_folder(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{str(folder)!r} must hold {name}.gz of Fashion-MNIST; it does not.")
