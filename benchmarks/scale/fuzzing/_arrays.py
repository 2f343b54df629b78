"""IDX, .npy and .npz: files of arrays."""

from __future__ import annotations

import gzip
import io
import math
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from contractive.sources import open_rows

from ._damage import EXTREMES, choose, damaged, replaced
from ._format import Format, read_all

__all__ = ["IDX", "IDX_GZ", "NPY", "NPZ"]

_CODES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_DTYPES = ("<f4", "<f8", ">f4", ">f8", "<f2", "|u1", "|i1", "<i2", ">i4", "<i8", "<u8", "|b1")
_ODD_DTYPES = (
    *_DTYPES,
    "|O",
    "<U3",
    "|S4",
    "<M8[s]",
    "<c8",
    "|V8",
    "<U0",
    "|V0",
    "f",
    "no such",
    "<f4,<f4",
    "(2,)<f4",
    "",
)
_LITERALS = (
    "None",
    "[]",
    "{}",
    "''",
    "True",
    "1.5",
    "2L",
    "-1",
    "1e9",
    "()",
    "(0,)",
    "[('a', '<f4')]",
    "(" * 200,
    "9" * 500,
)
_MEMBERS = ("b.npy", "../../b.npy", "/b.npy", "a.npy", "a", "a.npy/", "C:\\b.npy", "\u00e4.npy", "", ".npy", "a\n.npy")
_BOMB = 1 << 22  # bytes that are all the same
_STORED_DATE = (1980, 1, 1, 0, 0, 0)


def _shape(rng: np.random.Generator, most: int = 3) -> tuple[int, ...]:
    return tuple(int(size) for size in rng.integers(1, 9, int(rng.integers(2, most + 1))))


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Any bits, NaN and infinity among them."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(math.prod(shape) * kind.itemsize), kind).reshape(shape)


def _idx(rng: np.random.Generator) -> bytes:
    shape, code = _shape(rng, 4), choose(rng, tuple(_CODES))
    return (
        bytes([0, 0, code, len(shape)])
        + struct.pack(f">{len(shape)}I", *shape)
        + _values(rng, shape, _CODES[code]).tobytes()
    )


def _twisted_idx(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    place = 4 * int(rng.integers(1, 1 + max(1, content[3])))
    act = int(rng.integers(5))
    if act == 0:
        changed[place : place + 4] = (choose(rng, EXTREMES) % 2**32).to_bytes(4, "big")
    elif act == 1:
        changed[2:4] = bytes(
            [choose(rng, (*_CODES, 10, 0, 255)), choose(rng, (0, 1, content[3] - 1, content[3] + 1, 200))]
        )
    elif act == 2:  # two sizes that still multiply to what is there
        changed[4:8], changed[8:12] = changed[8:12], changed[4:8]
    elif act == 3:
        changed[place : place + 4] = struct.pack(">I", choose(rng, (0, 1, 2**16, 2**31, 2**32 - 1)))
        changed[place + 4 : place + 8] = struct.pack(">I", choose(rng, (0, 1, 2**16, 2**31, 2**32 - 1)))
    else:
        changed += rng.bytes(choose(rng, (1, 4, 1000)))
    return bytes(changed)


def _expected_idx(path: str) -> np.ndarray:
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    zero, code, n_sizes = struct.unpack_from(">HBB", content)
    sizes = struct.unpack_from(f">{n_sizes}I", content, 4)
    values = np.frombuffer(content[4 + 4 * n_sizes :], _CODES[code])
    if zero or n_sizes < 2 or values.size != math.prod(sizes) or not values.size:
        raise ValueError("no IDX file of rows")
    return values.reshape(sizes[0], -1).astype(values.dtype.newbyteorder("="))


def _gzipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One gzip member or two."""
    half = int(rng.integers(len(content) + 1)) if rng.random() < 0.2 else 0
    parts = [content[:half], content[half:]] if half else [content]
    return b"".join(gzip.compress(part, 1, mtime=0) for part in parts)


def _twisted_gzip(content: bytes, rng: np.random.Generator) -> bytes:
    """False headers below right checksums, and rarely a bomb, whose header is honest or not."""
    plain = gzip.decompress(content)
    if rng.random() < 0.002:
        size = choose(rng, (_BOMB, _BOMB - 1, 2**32 - 1, 4))
        plain = bytes([0, 0, 8, 2]) + struct.pack(">2I", choose(rng, (1, 4, 1024)), size // 4) + bytes(_BOMB)
    return _gzipped(choose(rng, (_twisted_idx, damaged))(plain, rng), rng)


def _read(path: str, **options: Any) -> np.ndarray:
    return read_all(open_rows(path, **options).rows)


def _npy(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    array = _values(rng, _shape(rng), choose(rng, _DTYPES))
    version = choose(rng, ((1, 0), (1, 0), (2, 0)))
    np.lib.format.write_array(stream, array if rng.random() < 0.7 else np.asfortranarray(array), version)
    return stream.getvalue()


def _twisted_npy(content: bytes, rng: np.random.Generator) -> bytes:
    """Another header, whose length is right most of the time; object arrays and pickles are among them."""
    width = 2 if content[6] == 1 else 4
    begin = 8 + width
    end = begin + int.from_bytes(content[8:begin], "little")
    header, values = content[begin:end].decode("latin1"), content[end:]
    numbers = tuple(str(number) for number in (*EXTREMES, 10**30))
    for _ in range(int(rng.geometric(0.6))):
        patterns = (r"\d+(?=[,)])", r"'[^']*'(?=, 'fort)", r"True|False", r"\([^)]*\)", r"'\w+':", r"'|,|:|\{|\}|\(|\)")
        pattern = choose(rng, patterns)
        literals = {0: numbers, 1: tuple(map(repr, _ODD_DTYPES)), 2: ("True", "False")}.get(patterns.index(pattern))
        header = replaced(header, pattern, literals or (*_LITERALS, *map(repr, _shape(rng))), rng)
    length = len(header) if rng.random() < 0.9 else choose(rng, EXTREMES)
    magic = content[:6] + (content[6:8] if rng.random() < 0.9 else bytes(rng.integers(0, 5, 2).tolist()))
    values = values if rng.random() < 0.8 else choose(rng, (b"\x80\x04K\x01.", values[:-1], values + b"\0", values * 3))
    return magic + (length % 256**width).to_bytes(width, "little") + header.encode("latin1") + values


def _expected_npy(path: str) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _zipped(members: list[tuple[str, bytes]], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings(action="ignore"):  # of names that come twice
        for name, content in members:
            info = zipfile.ZipInfo(name, _STORED_DATE)
            archive.writestr(info, content, method, 1 if method == zipfile.ZIP_DEFLATED else None)
    return stream.getvalue()


def _npz(rng: np.random.Generator) -> bytes:
    names = ("a.npy", "b.npy", "c.npy")[: int(rng.integers(1, 4))]
    return _zipped([(name, _npy(rng)) for name in names], choose(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _twisted_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """Damaged members below right checksums, odd names and methods, bombs, and archives with one false number."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    act = int(rng.integers(4))
    if act == 0:
        members[0] = "a.npy", choose(rng, (_twisted_npy, damaged))(members[0][1], rng)
    elif act == 1:
        members.append((choose(rng, _MEMBERS), _npy(rng)))
    elif act == 2 and rng.random() < 0.02:
        members[0] = "a.npy", members[0][1] + bytes(_BOMB)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 8 + (zipfile.ZIP_BZIP2,)
    changed = bytearray(_zipped(members, choose(rng, methods)))
    if act == 3:
        entry = changed.index(choose(rng, (b"PK\1\2", b"PK\3\4", b"PK\5\6"))) + 4 + 2 * int(rng.integers(22))
        width = choose(rng, (2, 4))
        changed[entry : entry + width] = (choose(rng, EXTREMES) % 256**width).to_bytes(width, "little")
    return bytes(changed)


def _expected_npz(path: str, array: str) -> np.ndarray:
    # Not `np.load`, which takes for a pickle what other bytes stand before.
    with open(path, "rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
        found = archive[array]
    return found.astype(found.dtype.newbyteorder("=")) if _is_spooled(found) else found


def _is_spooled(array: np.ndarray) -> bool:
    """Whether the package reads a table by the block, in the machine's byte order, as it is too large for memory."""
    return array.ndim == 2 and array.nbytes > 64 << 20


IDX = Format(".idx", _idx, _twisted_idx, _read, _expected_idx)
IDX_GZ = Format(".idx.gz", lambda rng: _gzipped(_idx(rng), rng), _twisted_gzip, _read, _expected_idx)
NPY = Format(".npy", _npy, _twisted_npy, _read, _expected_npy)
NPZ = Format(
    ".npz",
    _npz,
    _twisted_npz,
    _read,
    _expected_npz,
    lambda _: {"array": "a"},
)
