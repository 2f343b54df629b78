"""CSV, Parquet and Arrow IPC: files of tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contractive.sources import open_rows

from ._damage import choose, damaged, replaced
from ._format import Format, read_all

__all__ = ["ARROW", "CSV", "PARQUET"]

_NUMBERS = (
    "0",
    "-0",
    "1",
    "1.5",
    "-2.25",
    "1e5",
    "1E-320",
    "1e309",
    ".5",
    "7.",
    "+3",
    "nan",
    "NaN",
    "inf",
    "-Infinity",
    "",
    " 4 ",
)
_NUMBERS = (*_NUMBERS, "0.1", "123456789012345678901234567890", "2.2250738585072011e-308", "9007199254740993")
_ODD = (
    *_NUMBERS,
    "x",
    "1_000",
    "0x10",
    "1,5",
    "1.5.2",
    "1e",
    "--1",
    "\u0661",
    "\xa01",
    "null",
    "NA",
    "True",
    '"1"',
    '"1',
    '1"',
    '""',
)
_ODD = (
    *_ODD,
    '"1\n2"',
    '"a""b"',
    "\x1c1",
    "\x0b1",
    "1\x00",
    "\r",
    "\n",
    "\n\n",
    "\r\n",
    "\ufeff",
    ",",
    ";",
    "\t",
    ",,",
    "9" * 400,
    "#",
    "'1'",
)
_NAMES = ("a", "b", "c d", '"e"', "f", "g")
_FLOATING = set("0123456789+-.eE \tinfatyINFATY")
_INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")


def _csv(rng: np.random.Generator) -> bytes:
    n_columns, delimiter, end = int(rng.integers(1, 6)), choose(rng, ",,;\t"), choose(rng, ("\n", "\n", "\r\n"))
    rows = [[choose(rng, _NUMBERS) for _ in range(n_columns)] for _ in range(int(rng.integers(1, 12)))]
    for row in rows:
        row[0] = row[0] or "5"  # a line of one empty field is a blank one
    if rng.random() < 0.5:
        names: list[str] = [*_NAMES[:n_columns]]
        if n_columns > 1 and rng.random() < 0.3:
            names[0] = ""
        rows.insert(0, names)
    text = end.join(delimiter.join(row) for row in rows) + choose(rng, (end, "", end * 3))
    return choose(rng, (b"", b"", b"\xef\xbb\xbf")) + text.encode()


def _twisted_csv(content: bytes, rng: np.random.Generator) -> bytes:
    """Fields that are no numbers for some readers, quotes, and ends of lines in odd places."""
    text = content.decode()
    for _ in range(int(rng.geometric(0.5))):
        text = replaced(text, choose(rng, (r"[^,;\t\r\n]+", r"[,;\t]", r"\r?\n", r"\b")), _ODD, rng)
    encoded = text.encode()
    return encoded if rng.random() < 0.9 else encoded[:-1] + choose(rng, (b"\xff", b"\xc3", b"\r", b'"', b"\0"))


def _number(field: str) -> float | None:
    """What a field holds; None where it is no number."""
    if not field:
        return float("nan")
    if not _FLOATING.issuperset(field):
        return None
    try:
        return float(field)
    except ValueError:
        return None


def _row(line: str, delimiter: str, columns: list[int], n_fields: int) -> list[float] | None:
    """The numbers of a line; None where it is no row."""
    fields = _fields(line, delimiter)
    if fields is None or len(fields) != n_fields:
        return None
    found = [_number(fields[column]) for column in columns]
    return None if None in found else [value for value in found if value is not None]


def _fields(line: str, delimiter: str) -> list[str] | None:
    if not line or line.count('"') % 2 or "\r" in line:
        return None
    return next(csv.reader([line], delimiter=delimiter))


def _expected_csv(path: str, lenient: bool) -> np.ndarray:
    """The rows by the rules of `open_csv`, with the standard library's `csv` and `float`."""
    content = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    lines = [line.removesuffix(b"\r").decode(errors="replace") for line in content.split(b"\n")]
    bare = "".join(lines[0].split('"')[::2])
    delimiter = next(candidate for candidate in "\t;,," if candidate in bare or candidate == ",")
    first = _fields(lines[0].rstrip("\r"), delimiter)
    if first is None:
        raise ValueError("no first line")
    is_header = any(_number(field) is None for field in first)
    columns = list(range(int(is_header and not first[0].strip()), len(first)))
    rows = [_row(line, delimiter, columns, len(first)) for line in lines[is_header:]]
    if not rows or (not lenient and None in rows):
        raise ValueError("no rows, or a bad one")
    return np.array([[np.nan] * len(columns) if row is None else row for row in rows], np.float64)


def _table(rng: np.random.Generator) -> pa.Table:
    n_rows, nulls = int(rng.integers(1, 30)), rng.random() < 0.3
    if rng.random() < 0.3:
        kind = choose(rng, ("float32", "float64", "int16", "uint8"))
        values = pa.array(_column(rng, 3 * n_rows, kind))
        lists = pa.FixedSizeListArray.from_arrays(values, 3)
        return pa.table({"lists": lists if rng.random() < 0.5 else lists.cast(pa.list_(values.type))})
    kinds = [
        choose(rng, ("float32", "float64", choose(rng, _INTEGERS), "bool")) for _ in range(int(rng.integers(1, 5)))
    ]
    columns = {}
    for number, kind in enumerate([kinds[0]] * len(kinds) if rng.random() < 0.5 else kinds):
        mask = rng.random(n_rows) < 0.2 if nulls and kind.startswith("float") else None
        columns[f"c{number}"] = pa.array(_column(rng, n_rows, kind), mask=mask)
    return pa.table(columns)


def _column(rng: np.random.Generator, n_values: int, kind: str) -> np.ndarray:
    """Values of which some come again and again, so that they are stored in several ways."""
    if kind == "bool":
        return rng.integers(0, 2, n_values).astype(bool)
    values = rng.standard_normal(n_values) * 50
    return (np.round(np.abs(values)) % 5 if rng.random() < 0.5 else np.abs(values)).astype(kind)


def _parquet(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    pq.write_table(
        _table(rng),
        stream,
        row_group_size=choose(rng, (3, 10, 100)),
        compression=choose(rng, ("none", "none", "snappy", "zstd", "gzip", "brotli", "lz4")),
        use_dictionary=rng.random() < 0.5,
        data_page_version=choose(rng, ("1.0", "2.0")),
        write_page_checksum=rng.random() < 0.3,
        write_statistics=rng.random() < 0.5,
        store_schema=rng.random() < 0.5,
        data_page_size=choose(rng, (16, 1 << 20)),
    )
    return stream.getvalue()


def _twisted_parquet(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged footer of the right length, or damaged pages under a whole footer."""
    end = len(content) - 8
    begin = end - int.from_bytes(content[end : end + 4], "little")
    body, footer = content[4:begin], content[begin:end]
    if rng.random() < 0.5:
        footer = damaged(footer, rng)
    else:
        # Of the length that it had: else no page is where the footer says.
        body = damaged(body, rng)[: len(body)].ljust(len(body), b"\0")
    return b"PAR1" + body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _arrow(rng: np.random.Generator) -> bytes:
    table, stream = _table(rng), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=choose(rng, (None, None, "lz4", "zstd")))
    with pa.ipc.new_file(stream, table.schema, options=options) as file:
        file.write_table(table, max_chunksize=choose(rng, (3, 10, 100)))
    return stream.getvalue()


def _twisted_arrow(content: bytes, rng: np.random.Generator) -> bytes:
    """A number in the footer or in what describes a batch is another, at a place where numbers are."""
    changed = bytearray(content)
    for _ in range(int(rng.geometric(0.6))):
        place = 4 * int(rng.integers(len(content) // 4))
        if rng.random() < 0.5:
            place = max(0, len(content) - 10 - 4 * int(rng.integers(1, 80)))
        width = choose(rng, (1, 2, 4, 4, 8))
        number = choose(
            rng, (0, 1, 2, 3, 4, 5, 6, 8, 16, 64, 255, 2**15, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)
        )
        changed[place : place + width] = (number % 256**width).to_bytes(width, "little")
    return bytes(changed)


def _read(path: str, **options: Any) -> np.ndarray:
    return read_all(open_rows(path, **options).rows)


def _expected_parquet(path: str) -> list[list[Any]]:
    table = pq.read_table(path, use_threads=False)
    if table.num_rows != pq.read_metadata(path).num_rows:
        raise ValueError("other rows than the file has")
    return _lists(table)


def _expected_arrow(path: str) -> list[list[Any]]:
    with pa.OSFile(path) as stream:
        file = pa.ipc.open_file(stream)
        # Not `read_all`, which reads some things otherwise and finds fault with other files.
        return _lists(pa.Table.from_batches([file.get_batch(number) for number in range(file.num_record_batches)]))


def _lists(table: pa.Table) -> list[list[Any]]:
    """The rows of a table as Python's numbers, by way of no array."""
    table.validate(full=True)
    pandas = (table.schema.metadata or {}).get(b"pandas")
    if pandas is not None:
        raise ValueError("the columns of an index are left out")
    columns = [column.to_pylist() for column in table.columns]
    return (
        columns[0]
        if len(columns) == 1 and isinstance(columns[0][0], list)
        else [list(row) for row in zip(*columns, strict=True)]
    )


def _is_same(found: np.ndarray, expected: list[list[Any]]) -> bool:
    if len(found) != len(expected) or any(len(row) != found.shape[1] for row in expected):
        return False
    values = [[np.nan if value is None else value for value in row] for row in expected]
    return np.array_equal(found, np.array(values, found.dtype), equal_nan=found.dtype.kind == "f")


CSV = Format(".csv", _csv, _twisted_csv, _read, _expected_csv, lambda rng: {"lenient": rng.random() < 0.3})
PARQUET = Format(".parquet", _parquet, _twisted_parquet, _read, _expected_parquet, is_same=_is_same)
ARROW = Format(".arrow", _arrow, _twisted_arrow, _read, _expected_arrow, is_same=_is_same)
