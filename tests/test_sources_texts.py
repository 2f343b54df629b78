"""Rows of text files: every form of numbers, and every line that is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contractive.sources import _csv
from contractive.sources._base import RowReader
from contractive.sources._csv import open_csv
from row_files import refusal, write
from table_files import NAMES, ROWS, assert_rows


def csv_of(folder: Path, content: str | bytes, columns: Any = None, name: str = "x.csv", **options: Any) -> RowReader:
    return open_csv(write(folder / name, content), columns, **options)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "{}", "{}{}{}"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("delimiter", "name"), [(",", "x.csv"), (";", "x.csv"), ("\t", "x.csv"), ("\t", "x.tsv")])
@pytest.mark.parametrize("header", [True, False])
def test_text_is_read(tmp_path: Path, end: str, last: str, bom: bytes, delimiter: str, name: str, header: bool):
    rows = ROWS.astype(np.float64)
    lines = [delimiter.join(map(repr, row)) for row in rows.tolist()]
    lines = [delimiter.join(["a", '"b, ; c"', "é"]), *lines] if header else lines
    content = bom + (end.join(lines) + last.replace("{}", end)).encode()
    assert_rows(csv_of(tmp_path, content, None, name), rows)
    columns = ["é", "b, ; c"] if header else ["2", "1"]
    assert_rows(csv_of(tmp_path, content, columns, name), rows[:, [2, 1]])


def test_forms_of_numbers(tmp_path: Path):
    written = [
        "1",
        "+1.5",
        "-2.",
        ".5",
        "1e3",
        "1E-2",
        '"7"',
        '"-7.5"',
        " 8 ",
        "",
        '""',
        "nan",
        "-inf",
        "Infinity",
        "007",
    ]
    values = [1, 1.5, -2, 0.5, 1000, 0.01, 7, -7.5, 8, np.nan, np.nan, np.nan, -np.inf, np.inf, 7]
    for number in range(len(written)):  # a bad row has its neighbors parsed one by one, which must not change them
        content = "".join(f"{form},0.1\n" for form in written) + "x,0\n" * (number % 2)
        reader = csv_of(tmp_path, f"0,0\n{content}", lenient=True)
        expected = [*values, *[np.nan] * (number % 2)]
        np.testing.assert_array_equal(reader.read(1, len(reader))[:, 0], expected)
    assert csv_of(tmp_path, "1\n\n\n").shape == (1, 1)
    assert csv_of(tmp_path, "0.1\n0.30000000000000004\n").read(1, 2)[0, 0] == 0.1 + 0.2


def test_good_rows_are_not_parsed_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader = csv_of(tmp_path, 'a,b\r\n1,""\r\n,"2"\r\n +3,-inf\r\n')
    monkeypatch.setattr(_csv, "_fields", None)
    np.testing.assert_array_equal(reader.read(0, 3), [[1, np.nan], [np.nan, 2], [3, -np.inf]])
    monkeypatch.undo()
    reader = csv_of(tmp_path, "1\n2\n3")  # a last line without an end, as long as a blank one
    monkeypatch.setattr(_csv, "_fields", None)
    np.testing.assert_array_equal(reader.read(0, 3), [[1], [2], [3]])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("x,0,0", "line 5 has 'x' in 'a'"),
        ('0,0,"1,5"', "line 5 has '1,5' in 'c'"),
        ("NA,0,0", "line 5 has 'NA' in 'a'"),
        ("0,1_0,0", "line 5 has '1_0' in 'b'"),
        ("0,0x10,0", "line 5 has '0x10' in 'b'"),
        ("0, ,0", "line 5 has ' ' in 'b'"),
        ("0,0,\N{ARABIC-INDIC DIGIT ONE}", "line 5 has '\N{ARABIC-INDIC DIGIT ONE}' in 'c'"),
        ("0,0," + "y" * 50, f"line 5 has '{'y' * 27}...' in 'c'"),
        ("0,0", "3 fields in each line; line 5 has 2"),
        ("0,0,0,", "3 fields in each line; line 5 has 4"),
        ("", "3 fields in each line; line 5 is blank"),
        ('0,"0,0', "3 fields in each line; line 5 has stray quotes"),
        ("0,0,0\r0,0,0", "3 fields in each line; line 5 has stray quotes or line ends"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("n_rows", [5, 500])
def test_bad_row_is_refused_by_line_or_all_nan(tmp_path: Path, bad: str, words: str, end: str, n_rows: int):
    rows = np.arange(3.0 * n_rows).reshape(-1, 3)
    lines = ["a,b,c", *(",".join(map(repr, row)) for row in rows.tolist())]
    lines[4] = bad
    content = end.join(lines) + end
    reader = csv_of(tmp_path, content)
    np.testing.assert_array_equal(reader.read(0, 3), rows[:3])
    with refusal(reader.name, words, "--bad-rows skip"):
        reader.read(2, n_rows)
    rows[3] = np.nan
    lenient = csv_of(tmp_path, content, lenient=True)
    for start, stop in ((0, n_rows), (3, 4), (2, 5)):
        np.testing.assert_array_equal(lenient.read(start, stop), rows[start:stop])


def test_single_column_with_a_blank_line_is_a_bad_row(tmp_path: Path):
    with refusal(tmp_path / "x.csv", "1 field in each line; line 2 is blank"):
        csv_of(tmp_path, "1\n\n3\n").read(0, 3)
    np.testing.assert_array_equal(csv_of(tmp_path, "1\n\n3\n", lenient=True).read(0, 3), [[1], [np.nan], [3]])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('0,0\n"x\ny",1\n', 2),  # pyarrow sees one row in these two lines
        ('0,0\n"x\ny",1\r0,2\n', 2),  # and here two, though others
        ("0,0\n\n0,1\n", 2),
        ("0,0\r\n\r\n0,1\r\n", 2),
        ("\n".join(["0,0", *["0,1"] * 100, '"x', 'y",1']), 102),
    ],
)
def test_rows_are_lines_whatever_pyarrow_takes_for_one(tmp_path: Path, content: str, line: int):
    reader = csv_of(tmp_path, content, ["1"])
    with refusal(reader.name, "2 fields in each line", f"line {line} "):
        reader.read(1, len(reader))
    lenient = csv_of(tmp_path, content, ["1"], lenient=True)
    assert np.isnan(lenient.read(line - 1, line)).all()


def test_byte_order_mark_is_none_in_the_middle(tmp_path: Path):
    reader = csv_of(tmp_path, "1\n\ufeff2\n3\n")
    for start in (0, 1):
        with refusal(reader.name, "line 2 has", "in '0'"):
            reader.read(start, 3)


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        (b"", None, ["must hold rows"]),
        (b"\n\r\n", None, ["must hold rows"]),
        (b"a,b\n", None, ["must hold rows"]),
        (b"a,b\n\n\n", None, ["must hold rows"]),
        (b"\n1,2\n", None, ["first line is blank"]),
        (b"a,b\n1,text\n", None, ["numbers only", "'b' begins with 'text'", "--columns"]),
        (b"a;b\n1,5;2\n", None, ["numbers only", "'a' begins with '1,5'", "--columns"]),
        (b"a,b\n1,2,3\n", None, ["2 fields in each line; line 2 has 3"]),
        (b"a,b\n1,2\n", ["b", "z"], ["no 'z'", "It has 'a', 'b'."]),
        (b"a,a\n1,2\n", None, ["'a' twice"]),
        (b"a,\xff\n1,2\n", None, ["text in UTF-8", "line 1"]),
        ("a,b\n1,2\n".encode("utf-16"), None, ["text in UTF-8"]),
        (b"1,2\n3,\0\n", None, ["text in UTF-8", "zero byte"]),
        (b"a,b\r1,2\r", None, ["lone \\r"]),
        (b'"a,b\nc",d\n1,2\n', None, ["first line of fields"]),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, content: bytes, columns: Any, words: list[str]):
    with refusal(tmp_path / "x.csv", *words):
        csv_of(tmp_path, content, columns)


def test_columns_of_text_are_refused_though_bad_rows_are_allowed(tmp_path: Path):
    content = "a,b\n" + "".join(f"{number},text{number}\n" for number in range(200))
    with refusal(tmp_path / "x.csv", "'b' begins with 'text0'", "--columns"):
        csv_of(tmp_path, content, lenient=True)
    assert_rows(csv_of(tmp_path, content, ["a"], lenient=True), np.arange(200.0)[:, None])
    reader = csv_of(tmp_path, "a,b\nx,y\n1,z\nz,2\n", lenient=True)
    np.testing.assert_array_equal(reader.read(0, 3), np.full((3, 2), np.nan))


def test_row_numbers_without_a_name_are_no_feature(tmp_path: Path):
    frame = pd.DataFrame(ROWS.astype(np.float64), columns=NAMES)
    frame.to_csv(tmp_path / "x.csv")
    assert_rows(open_csv(str(tmp_path / "x.csv"), None), frame.to_numpy())
    assert_rows(open_csv(str(tmp_path / "x.csv"), [""]), np.arange(10.0)[:, None])


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("apart", [1, 10, 100])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n\n"])
def test_rows_are_found_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, apart: int, tail: str
):
    monkeypatch.setattr(_csv, "_CHUNK", chunk)
    monkeypatch.setattr(_csv, "_APART", apart)
    rows = np.array([[10.0**number, number] for number in range(12)])
    content = "a,b\r\n" + "\r\n".join(f"{first!r},{second!r}" for first, second in rows.tolist()) + tail
    assert_rows(csv_of(tmp_path, content), rows)


def test_places_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_csv, "_APART", 1)
    monkeypatch.setattr(_csv, "_PLACES", 16)
    reader: Any = csv_of(tmp_path, "".join(f"{number}\n" for number in range(1000)))
    assert 8 <= len(reader._places.numbers) <= 16
    assert_rows(csv_of(tmp_path, "".join(f"{number}\n" for number in range(50))), np.arange(50.0)[:, None])


@pytest.mark.parametrize("end", ["", "\n", "\n1,2\n"])
@pytest.mark.parametrize(("begin", "line"), [("", 1), ("1,2\n", 2), ("1,2\n1,2\n3,4\n", 4)])
def test_line_beyond_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, line: int, end: str
):
    monkeypatch.setattr(_csv, "_CHUNK", 8)
    monkeypatch.setattr(_csv, "_MAX_LINE", 20)
    with refusal(tmp_path / "x.csv", "lines of at most", f"line {line} is longer"):
        csv_of(tmp_path, f"{begin}1,{'2' * 40}{end}")


def test_field_beyond_the_parsers_bound_is_a_bad_row(tmp_path: Path):
    content = f"1,2\n3,{'x' * (1 << 18)}\n5,6\n"
    with refusal(tmp_path / "x.csv", "line 2"):
        csv_of(tmp_path, content).read(0, 3)
    rows = csv_of(tmp_path, content, lenient=True).read(0, 3)
    np.testing.assert_array_equal(rows, [[1, 2], [np.nan, np.nan], [5, 6]])
