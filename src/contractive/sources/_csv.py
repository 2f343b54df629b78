"""Text files of numbers, comma, semicolon or tab between them: one scan for where rows lie, then a block at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .._validation import shortened
from ._base import FileStamp, RowReader, read_bytes
from ._tables import choose, require_pyarrow, watched

__all__ = ["open_csv"]

_CHUNK = 1 << 23  # bytes of text that are scanned, and about as many that are parsed, at a time
_APART = 1 << 18  # bytes between two rows whose places are kept, more where there would be over `_PLACES` of them
_PLACES = 1 << 16
_MAX_LINE, _MAX_FIELDS = 1 << 26, 1 << 20
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf(inity)?|nan)[ \t]*", re.A | re.I)
_FEW = 32  # rows that are parsed one by one to find the bad ones among them
_LOOKED_AT = 100  # first rows that tell a column of text from a bad row, where bad rows are allowed


class _Form(NamedTuple):
    """What the first line says.

    Args:
        delimiter: what stands between two fields.
        names: of all columns.
        features: the numbers of those that are features.
        begin: where the first row begins, in bytes.
        header: lines before it, 0 or 1.
    """

    delimiter: str
    names: tuple[str, ...]
    features: tuple[int, ...]
    begin: int
    header: int


class _Places(NamedTuple):
    """Where rows lie.

    Args:
        numbers: of some rows, increasing, the first being 0.
        offsets: where each of these begins, in bytes.
        n_rows: how many rows there are.
        end: where the last one ends.
    """

    numbers: np.ndarray
    offsets: np.ndarray
    n_rows: int
    end: int


def open_csv(path: str, columns: Sequence[str] | None, *, lenient: bool = False) -> RowReader:
    r"""The rows of a text file of numbers.

    The first line is a header where one of its fields is no number; without one the columns are called 0, 1 and so on.
    A first column that the header leaves without a name is the row numbers that pandas and R write, and no feature
    unless `columns` names it. Numbers have a point; an empty field is NaN. The text is UTF-8, its lines end with \n
    or \r\n, and blank lines after the last row do not count.

    Args:
        path: the file; tabs separate the fields where it ends in .tsv, else what the first line holds of tabs,
            semicolons and commas.
        columns: which columns are features, in that order; None: all.
        lenient: whether a row with another number of fields, or with a field that is no number, is all NaN instead
            of refused.

    Returns:
        The rows, float64. The whole file is read once to find them.

    Raises:
        ImportError: if pyarrow is not installed.
        OSError: if it cannot be read.
        ValueError: if it is no such text, has other columns, no rows, or text in a column.
    """
    require_pyarrow(path)
    stamp = FileStamp.of(path)
    with watched(path, stamp) as stream:
        form = _find_form(path, stream, columns)
        places = _find_places(path, stream, form, max(_APART, stamp.size // _PLACES))
        rows = _CsvRows(path, stamp, form, places, lenient)
        stream.seek(form.begin)
        rows.refuse_text(stream)
    return rows


class _CsvRows(RowReader):
    """The rows of a text file."""

    def __init__(self, path: str, stamp: FileStamp, form: _Form, places: _Places, lenient: bool):
        import pyarrow as pa
        import pyarrow.csv as pc

        self.name, self.dtype, self.shape = path, np.dtype("float64"), (places.n_rows, len(form.features))
        self._stamp, self._form, self._places, self._lenient = stamp, form, places, lenient
        step = max(1, _CHUNK // max(_APART, stamp.size // _PLACES))
        self._cuts = places.numbers[::step]
        every, features = ([str(number) for number in numbers] for numbers in (range(len(form.names)), form.features))
        self._parsing = pc.ParseOptions(delimiter=form.delimiter, ignore_empty_lines=False)
        self._naming = {"column_names": every}
        self._converting = pc.ConvertOptions(
            column_types=dict.fromkeys(features, pa.float64()), include_columns=features, null_values=[""]
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        """As for `RowReader`."""
        rows = np.empty((stop - start, self.shape[1]))
        cuts = self._cuts[(self._cuts > start) & (self._cuts < stop)].tolist()
        for first, last in pairwise([start, *cuts, stop]):
            text, begins = self._lines(first, last)
            self._parse(rows[first - start : last - start], text, begins, first)
        return rows

    def refuse_text(self, stream: BinaryIO) -> None:
        """Refuse columns that hold text from the first row on.

        Raises:
            ValueError: naming them, or the first row if it has another number of fields and bad rows are refused.
        """
        form, texts = self._form, dict[int, str]()
        for number, line in enumerate(_first_lines(stream, _LOOKED_AT if self._lenient else 1)):
            fields = _fields(line, form.delimiter)
            if fields is None or len(fields) != len(form.names):
                if not self._lenient:
                    self._values(line, number)
                continue
            found = {place: fields[place] for place in form.features if not _is_number(fields[place])}
            texts = {place: texts[place] for place in texts if place in found} if texts else found
            if not texts:
                return
        if texts:
            shown = [
                f"{shortened(form.names[place])!r} begins with {_shown(texts[place])}" for place in list(texts)[:3]
            ]
            more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
            raise ValueError(
                f"{self.name!r} must hold numbers only; it does not ({', '.join(shown)}{more}). "
                "Name the numeric columns with --columns."
            )

    def _lines(self, first: int, last: int) -> tuple[memoryview, np.ndarray]:
        """The text of some rows, and where in it each begins and the last one ends."""
        numbers, offsets, _, end = self._places
        begin = int(np.searchsorted(numbers, first, side="right")) - 1
        after = int(np.searchsorted(numbers, last))
        size = (int(offsets[after]) if after < len(offsets) else end) - int(offsets[begin])
        content = bytearray(size + 1)
        content[size:] = b"\n"  # which the last line of a file may lack
        read_bytes(Path(self.name), self._stamp, int(offsets[begin]), memoryview(content)[:size])
        begins = np.concatenate([[0], np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1])
        return memoryview(content), begins[first - int(numbers[begin]) : last - int(numbers[begin]) + 1]

    def _parse(self, rows: np.ndarray, text: memoryview, begins: np.ndarray, place: int) -> None:
        """Fill rows from their lines; where that fails, halve them until the bad ones are found."""
        if self._parse_fast(rows, text, begins):
            return
        if len(rows) > _FEW:
            half = len(rows) // 2
            self._parse(rows[:half], text, begins[: half + 1], place)
            self._parse(rows[half:], text, begins[half:], place + half)
            return
        for number, (begin, end) in enumerate(pairwise(begins.tolist())):
            rows[number] = self._values(bytes(text[begin:end]), place + number)

    def _parse_fast(self, rows: np.ndarray, text: memoryview, begins: np.ndarray) -> bool:
        """Whether all rows are good, and filled then."""
        import pyarrow as pa
        import pyarrow.csv as pc

        lines = bytes(text[begins[0] : begins[-1]])
        # pyarrow ends lines at \r too, takes a blank one for empty fields, and skips a byte-order mark.
        blank = np.diff(begins) == 1
        if blank.any() or lines.startswith(_BOM) or lines.count(b"\r") != lines.count(b"\r\n"):
            return False
        if b"\r" in lines and (lines.startswith(b"\r\n") or b"\n\r\n" in lines):
            return False
        if b'"' in lines:
            # A line with an odd number of them is bad, in whatever column, and whichever lines are parsed with it.
            quotes = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord('"'))
            if (np.diff(np.searchsorted(quotes, begins - begins[0])) % 2).any():
                return False
        try:
            table = pc.read_csv(
                pa.BufferReader(lines),
                pc.ReadOptions(block_size=len(lines) + 1, **self._naming),
                self._parsing,
                self._converting,
            )
        except pa.ArrowInvalid:
            return False
        if len(table) != len(rows):  # pragma: no cover - lines with odd quotes were sorted out before
            return False
        for number, column in enumerate(table.columns):
            rows[:, number] = column.to_numpy()
        return True

    def _values(self, line: bytes, place: int) -> list[float] | float:
        """The features of a row; NaN for all of a bad one where these are allowed."""
        names, features = self._form.names, self._form.features
        fields, number = _fields(line, self._form.delimiter), place + self._form.header + 1
        if fields is not None and len(fields) == len(names):
            bad = next((feature for feature in features if not _is_number(fields[feature])), None)
            if bad is None:
                return [float(fields[feature] or "nan") for feature in features]
            trouble = f"line {number:,} has {_shown(fields[bad])} in {shortened(names[bad])!r}"
            message = f"must hold numbers only; {trouble}. Name other columns with --columns, or leave"
        else:
            stray = "has stray quotes or line ends" if line.strip(b"\r\n") else "is blank"
            got = stray if fields is None else f"has {len(fields)}"
            message = f"must have {len(names)} field{'s' * (len(names) > 1)} in each line; line {number:,} {got}. Leave"
        if self._lenient:
            return np.nan
        raise ValueError(f"{self.name!r} {message} such rows out with --bad-rows skip.")


def _find_form(path: str, stream: BinaryIO, columns: Sequence[str] | None) -> _Form:
    """What the first line says of the others."""
    first = stream.readline(_MAX_LINE + 1)
    line = first.removeprefix(_BOM).rstrip(b"\r\n")
    if len(first) > _MAX_LINE:
        raise _too_long(path, 1)
    if b"\0" in line:
        raise _no_text(path, "a zero byte in line 1")
    if b"\r" in line:
        raise ValueError(f"{path!r} must end its lines with \\n or \\r\\n; line 1 holds a lone \\r.")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _no_text(path, f"{error.reason} in line 1") from error
    if not text:
        if not first or not stream.read(_CHUNK).strip(b"\r\n"):
            raise _no_rows(path)
        raise ValueError(f"{path!r} must begin with a header or a row; its first line is blank.")
    delimiter = _find_delimiter(path, text)
    fields = _fields(line, delimiter) if text.count(delimiter) < _MAX_FIELDS else None
    if fields is None:
        raise ValueError(f"{path!r} must have a first line of fields, {_MAX_FIELDS:,} at most; it has {_shown(text)}.")
    header = not all(map(_is_number, fields))
    names = [field.strip() for field in fields] if header else [str(number) for number in range(len(fields))]
    # Of several without a name the others would be left out with the first, and no one would know.
    index = frozenset([""] if not names[0] and names.count("") == 1 else [])
    begin = len(first) if header else len(first) - len(first.removeprefix(_BOM))
    return _Form(delimiter, tuple(names), tuple(choose(path, names, columns, index)), begin, int(header))


def _find_delimiter(path: str, line: str) -> str:
    """A tab for .tsv, else the rarest in text of those that the line holds outside quotes."""
    if Path(path).suffix.lower() == ".tsv":
        return "\t"
    bare = re.sub(r'"[^"]*"', "", line)
    return next((delimiter for delimiter in "\t;," if delimiter in bare), ",")


def _find_places(path: str, stream: BinaryIO, form: _Form, apart: int) -> _Places:
    """Where rows lie, at least so many bytes apart; the text is read once."""
    stream.seek(form.begin)
    numbers, offsets = [0], [form.begin]
    n_rows, end = 0, form.begin  # up to the last line that is not blank
    position, n_lines, line = form.begin, 0, form.begin  # of the chunk, lines before it, where the last of these ends
    while chunk := stream.read(_CHUNK):
        if b"\0" in chunk:
            raise _no_text(path, f"a zero byte after byte {position:,}")
        begins = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) + position + 1
        if (begins[0] if len(begins) else position + len(chunk)) - line > _MAX_LINE:
            raise _too_long(path, n_lines + form.header + 1)
        if content := len(chunk.rstrip(b"\r\n")):
            end = position + content
            n_rows = n_lines + int(np.searchsorted(begins, end, side="right")) + 1
        while (place := int(np.searchsorted(begins, offsets[-1] + apart))) < len(begins):
            numbers.append(n_lines + place + 1)
            offsets.append(int(begins[place]))
        position, n_lines = position + len(chunk), n_lines + len(begins)
        line = int(begins[-1]) if len(begins) else line
    if not n_rows:
        raise _no_rows(path)
    n_places = int(np.searchsorted(numbers, n_rows))
    return _Places(np.array(numbers[:n_places]), np.array(offsets[:n_places]), n_rows, end)


def _first_lines(stream: BinaryIO, n_lines: int) -> Iterator[bytes]:
    """Some lines, and less than the longest one that is allowed of them together."""
    left = _MAX_LINE + 1
    for _ in range(n_lines):
        line = stream.readline(left)
        left -= len(line)
        if not line or not left:
            return
        yield line


def _fields(line: bytes, delimiter: str) -> list[str] | None:
    """The fields of a line, or None where it has none that can be told apart."""
    text = line.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace")
    if not text or "\r" in text or text.count('"') % 2:
        return None
    try:
        return next(csv.reader([text], delimiter=delimiter))
    except (csv.Error, StopIteration):  # a field of more than 128 KiB
        return None


def _is_number(field: str) -> bool:
    return not field or _NUMBER.fullmatch(field) is not None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:27]}...")


def _no_rows(path: str) -> ValueError:
    return ValueError(f"{path!r} must hold rows; it holds none.")


def _no_text(path: str, reason: str) -> ValueError:
    return ValueError(f"{path!r} must be text in UTF-8; it is not ({reason}).")


def _too_long(path: str, line: int) -> ValueError:
    return ValueError(f"{path!r} must have lines of at most {_MAX_LINE >> 20} MiB; line {line:,} is longer.")
