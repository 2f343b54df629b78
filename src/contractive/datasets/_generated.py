"""Data sets that are made from a seed, kept in the user's cache with their digests."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .._files import cache_folder, write_atomically

__all__ = ["stream", "through_cache"]


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A stream of random numbers of its own for each purpose, so that sets of one seed share what they share.

    Args:
        seed: the data set's seed, >= 0.
        purpose: what is drawn, such as "angles".

    Returns:
        A generator that depends on both and on nothing else.

    Example:
        >>> stream(0, "angles").random() == stream(0, "angles").random() != stream(0, "digits").random()
        True
    """
    return np.random.Generator(np.random.PCG64([seed, *purpose.encode()]))


def through_cache(name: str, seed: int, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    """The rows and labels that `make` makes, kept as two files and a list of their SHA-256 in `cache_folder()`.

    Args:
        name: the set's name with the version of its generator, part of the names of the files.
        seed: what else the rows depend on.
        make: () -> (rows, labels); called when the files are absent, altered or cut off.

    Returns:
        The rows as a read-only memory map, and the labels.

    Raises:
        OSError: if the cache folder cannot be written.
    """
    folder = cache_folder()
    paths = [folder / f"{name}-seed{seed}-{part}.npy" for part in ("rows", "labels")]
    digests = folder / f"{name}-seed{seed}.sha256"
    if _listed(digests) != [_line(path) for path in paths]:
        arrays = make()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, array in zip(paths, arrays, strict=True):
                write_atomically(path, lambda file, array=array: np.save(file, array, allow_pickle=False))
            # Written last: whoever stops before it leaves files that are not believed.
            text = "".join(f"{_line(path)}\n" for path in paths)
            write_atomically(digests, lambda file: file.write(text.encode()))
        except OSError as error:
            raise OSError(
                f"the cache folder {str(folder)!r} cannot be written ({error.strerror}); "
                "set CONTRACTIVE_CACHE to a folder that can."
            ) from error
    rows, labels = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
    return rows, np.array(labels)


def _line(path: Path) -> str | None:
    """A file's SHA-256 and name as `sha256sum` prints them, or None for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}"
    except OSError:
        return None


def _listed(path: Path) -> list[str]:
    """The lines of a file of digests, none when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
