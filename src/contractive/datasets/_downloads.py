"""Files from elsewhere: fetched once over HTTPS, believed by their SHA-256, read within stated bounds."""

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from .._files import cache_folder, write_atomically

__all__ = ["Download", "fetch", "gunzip", "opened", "read_exactly"]

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """A file elsewhere.

    Args:
        url: where it is, over HTTPS.
        sha256: what its bytes hash to.
        n_bytes: how many it has.
        name: what it is called here and on a mirror.
    """

    url: str
    sha256: str
    n_bytes: int
    name: str


def fetch(download: Download) -> Path:
    """A file's copy in `cache_folder()`, fetched when it is absent or altered.

    `$CONTRACTIVE_MIRROR`, an http or https address of a folder, is asked instead of the file's own server when set.

    Args:
        download: the file.

    Returns:
        Where the copy is.

    Raises:
        ValueError: if what was sent is cut off or has another SHA-256, or if the mirror's address is neither http
            nor https.
        OSError: if the server cannot be reached or refuses, or if the cache folder cannot be written.
    """
    folder = cache_folder()
    path = folder / download.name
    if sha256_of(path) == download.sha256:
        return path
    url = download.url
    if mirror := os.environ.get("CONTRACTIVE_MIRROR"):
        if urllib.parse.urlsplit(mirror).scheme not in ("http", "https"):
            raise ValueError(f"`CONTRACTIVE_MIRROR` must start with http:// or https://; got {mirror!r}.")
        url = f"{mirror.rstrip('/')}/{download.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: _receive(url, download, file))
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        code = ""
        if isinstance(error, urllib.error.HTTPError):
            code = f"HTTP {error.code}, "
            error.close()  # it is the answer too, with its connection
        raise OSError(
            f"{url!r} cannot be fetched ({code}{reason}); get {download.name} by other means and give its path."
        ) from error
    return path


def _receive(url: str, download: Download, file: BinaryIO) -> None:
    """Write what the server sends to the file, when it is what it should be."""
    request = urllib.request.Request(url, headers={"User-Agent": "contractive"})
    digest, n_bytes = hashlib.sha256(), 0
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        # One byte more than there should be tells a file that is too long from one that is right.
        while chunk := response.read(min(_CHUNK, download.n_bytes + 1 - n_bytes)):
            digest.update(chunk)
            file.write(chunk)
            n_bytes += len(chunk)
    if n_bytes < download.n_bytes:
        raise ValueError(f"{url!r} must send {download.n_bytes:,} bytes; it was cut off after {n_bytes:,}. Try again.")
    if digest.hexdigest() != download.sha256:
        raise ValueError(
            f"{url!r} must have the SHA-256 {download.sha256}; got {digest.hexdigest()}. Nothing of it was kept."
        )


def sha256_of(path: Path) -> str | None:
    """A file's SHA-256 in hexadecimal, or None for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def read_exactly(file: IO[bytes], n_bytes: int, name: str) -> bytes:
    """All of a stream that must hold so many bytes; no more than one beyond them is ever read.

    Args:
        file: the stream, compressed or not.
        n_bytes: how many bytes it must hold.
        name: what the message calls it.

    Returns:
        Its bytes.

    Raises:
        ValueError: if it holds more or fewer, or is damaged.
    """
    try:
        content = file.read(n_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name!r} must be a gzip file; it is truncated or foreign ({error}).") from error
    if len(content) != n_bytes:
        got = "more" if len(content) > n_bytes else f"{len(content):,}"
        raise ValueError(f"{name!r} must hold {n_bytes:,} bytes; got {got}.")
    return content


def opened(path: Path) -> IO[bytes]:
    """A file to read, decompressed on the way when its name ends in .gz.

    Args:
        path: the file.

    Returns:
        Its content as a stream, to be closed by the caller.

    Raises:
        OSError: if it cannot be opened.
    """
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def gunzip(path: Path, n_bytes: int, sha256: str) -> bytes:
    """What a gzip file, or a plain file, holds, when it is so many bytes of that SHA-256.

    Args:
        path: the file, compressed when it ends in .gz.
        n_bytes: how many bytes it must hold when decompressed.
        sha256: what these hash to.

    Returns:
        The bytes.

    Raises:
        ValueError: if it holds anything else.
        OSError: if it cannot be read.
    """
    with opened(path) as file:
        content = read_exactly(file, n_bytes, str(path))
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{str(path)!r} must hold content with the SHA-256 {sha256}; got {found}.")
    return content
