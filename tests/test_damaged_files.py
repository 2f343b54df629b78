"""Damaged files of which reading once came to more, or to less, than a line that refuses them by name."""

import struct
import zipfile
from pathlib import Path

import numpy as np

from contractive._validation import shortened
from contractive.sources import open_rows
from row_files import refusal

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def npy(header: str, values: bytes = TABLE.tobytes()) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + values


def described(descr: str = "'<f4'", shape: str = "(4, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


def test_names_in_an_archive_do_not_reach_the_terminal(tmp_path: Path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\x1b[2J\na.npy", npy(described()))
    with refusal(path, "holds", r"\x1b[2J") as caught:
        open_rows(str(path), array="a")
    assert str(caught.value).isprintable()


def test_text_is_shortened_to_one_line_that_a_terminal_may_see():
    assert shortened("a\n b\t c") == "a b c"
    assert shortened("type \x0e\x1b[2J") == r"type \x0e\x1b[2J"
    assert shortened("x" * 61) == "x" * 57 + "..."
    assert len(shortened("\x0e" * 60)) == 60
