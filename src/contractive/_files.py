"""Where files go, and writing them so that a reader never meets half of one."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_stream", "bring_to_disk", "cache_folder", "hidden_file", "write_atomically"]


def cache_folder() -> Path:
    """Where decompressed data sets and compiled kernels live.

    `$CONTRACTIVE_CACHE`, else `$XDG_CACHE_HOME/contractive`, else `~/.cache/contractive`.
    """
    if folder := os.environ.get("CONTRACTIVE_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contractive"


@contextmanager
def hidden_file(path: Path) -> Iterator[Path]:
    """A name beside `path` for what is to become it by `replace`; a file that still has it in the end is removed.

    Args:
        path: the file to make or replace.

    Raises:
        OSError: what the block raises; it names `path` instead, which the caller knows.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    except OSError as error:
        if str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # a folder that is none, a name that is too long
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_stream(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name beside `path`, flush it to the disk, then rename it to `path`.

    Args:
        path: the file to make or replace; its folder must exist.

    Returns:
        The binary stream to write the content to, for the `with` block; if an exception ends the block, `path` is as
        it was.

    Raises:
        OSError: if the folder cannot be written or the disk is full; `path` is then as it was.
    """
    with hidden_file(path) as temporary:
        with temporary.open("xb") as stream:
            yield stream
            bring_to_disk(stream)
        temporary.replace(path)


def bring_to_disk(stream: BinaryIO) -> None:
    """Wait until what was written to a file is on the disk.

    Raises:
        OSError: if it is full.
    """
    stream.flush()
    os.fsync(stream.fileno())


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file as `atomic_stream` does, at one go.

    Args:
        path: the file to make or replace; its folder must exist.
        write: writes the content to the binary stream that it is given.

    Raises:
        OSError: if the folder cannot be written or the disk is full; `path` is then as it was.
    """
    with atomic_stream(path) as stream:
        write(stream)
