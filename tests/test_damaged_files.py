"""Damaged files of which reading once came to more, or to less, than a line that refuses them by name."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

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


def test_idx_of_any_number_of_values_is_refused_in_few_words(tmp_path: Path):
    path = write(tmp_path / "x.idx", b"\0\0\x08\xff" + b"\xff" * 4 * 255)
    with refusal(path, "must have 2^64 or more bytes") as caught:
        open_rows(path)
    assert len(str(caught.value)) < 200 + len(path)


@pytest.mark.parametrize(
    "header",
    [
        described(shape="(4, 3"),
        described(shape="(" * 200),
        described(shape="(4, 3))"),
        described(shape=f"({2**62}, 3)"),
        described(shape=f"({10**30}, 3)"),
        described(shape="(-4, -3)"),
        described(shape="(4, [3])"),
        described(descr="[]"),
        described(descr="(2,)"),
        described(descr="'(3,)<f4'", shape="(4,)"),
        described(descr="'<U0'"),
        described(descr="'|O'"),
        described(descr="[('a', '|O'), ('b', '<f4')]", shape="(4,)"),
        "{'\n': 1}",
    ],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_numpy_header_of_nonsense_is_refused_in_one_line(tmp_path: Path, name: str, header: str):
    path = tmp_path / name
    if name == "x.npy":
        path.write_bytes(npy(header))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", npy(header))
    with refusal(path, "plain numbers") as caught:
        open_rows(str(path))
    assert str(caught.value).isprintable()


def test_npy_by_python_2_is_read_without_a_warning(tmp_path: Path):
    path = write(tmp_path / "x.npy", npy(described(shape="(4L, 3L)")))
    assert np.array_equal(np.asarray(open_rows(path).rows), TABLE)


def test_names_in_an_archive_do_not_reach_the_terminal(tmp_path: Path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\x1b[2J\na.npy", npy(described()))
    with refusal(path, "holds", r"\x1b[2J") as caught:
        open_rows(str(path), array="a")
    assert str(caught.value).isprintable()


def test_batch_that_only_claims_to_be_empty_is_refused(tmp_path: Path):
    stream, table = io.BytesIO(), pa.table({"a": TABLE[:, 0], "b": TABLE[:, 1]})
    with pa.ipc.new_file(stream, table.schema) as file:
        file.write_table(table, max_chunksize=2)
    content = stream.getvalue()
    path = write(tmp_path / "x.arrow", content)
    assert len(open_rows(path).rows) == 4
    # The number of rows is the first of the second batch's fields, its columns say so, too, beside the nulls: 2, 2, 0.
    place = content.rindex(struct.pack("<q", 2), 0, content.rindex(struct.pack("<4q", 2, 0, 2, 0)))
    path = write(tmp_path / "x.arrow", content[:place] + bytes(8) + content[place + 8 :])
    with refusal(path, "must be an Arrow IPC file"):
        open_rows(path)


@pytest.mark.parametrize("bad", ["9\r", '9"', '9"1'])
@pytest.mark.parametrize("others", ["", "x,1,2\n"])
def test_bad_row_is_one_whatever_stands_in_other_rows(tmp_path: Path, bad: str, others: str):
    """Also in a column that is no feature, which is not parsed."""
    path = write(
        tmp_path / "x.csv", f"n,a,b\n1,2,3\n{bad},5,6\n{others}7,8,9\n".replace("9\r,5,6", "4,5,6\r\r").encode()
    )
    rows = open_rows(path, columns=["a", "b"], lenient=True).rows
    assert np.isnan(rows[1:2]).all()
    assert np.array_equal(rows[[0, -1]], [[2, 3], [8, 9]])


def test_columns_without_a_name_are_refused_where_one_would_be_lost(tmp_path: Path):
    path = write(tmp_path / "x.csv", b",a,\n0,1,2\n1,3,4\n")
    with refusal(path, "no two columns of one name", "'' twice"):
        open_rows(path)
    assert np.asarray(open_rows(path, columns=["a"]).rows).tolist() == [[1], [3]]


def test_text_is_shortened_to_one_line_that_a_terminal_may_see():
    assert shortened("a\n b\t c") == "a b c"
    assert shortened("type \x0e\x1b[2J") == r"type \x0e\x1b[2J"
    assert shortened("x" * 61) == "x" * 57 + "..."
    assert len(shortened("\x0e" * 60)) == 60
