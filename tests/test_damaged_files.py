"""Damaged files of which reading once came to more, or to less, than a line that refuses them by name."""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import save_file

import contractive
from contractive._validation import shortened
from contractive.serialization import read_checkpoint, read_model, write_checkpoint, write_model
from contractive.sources import open_rows
from contractive.sources._arrow import _parsing
from row_files import FEW, peak, refusal, write

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def npy(header: str, values: bytes = TABLE.tobytes()) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + values


def described(descr: str = "'<f4'", shape: str = "(4, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("last", "words"), [(b"\xff" * 4, "must have 2^64 or more bytes"), (bytes(4), "at least one row and one feature")]
)
def test_idx_of_any_number_of_values_is_refused_in_few_words(tmp_path: Path, last: bytes, words: str):
    path = write(tmp_path / "x.idx", b"\0\0\x08\xff" + b"\xff" * 4 * 254 + last)
    with refusal(path, words) as caught:
        open_rows(path)
    assert len(str(caught.value)) < 300 + len(path)


@pytest.mark.parametrize(
    "header",
    [
        described(shape="(4, 3"),
        described(shape="(" * 200),
        described(shape="(4, 3))"),
        described(shape=f"({2**62}, 3)"),
        described(shape=f"({10**30}, 3)"),
        described(shape=f"(0, {10**30}, 1)"),
        described(shape=f"({2**62}, {2**62}, 0)"),
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


def test_archive_that_goes_on_beyond_what_it_claims_takes_no_memory(tmp_path: Path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(described(), TABLE.tobytes() + bytes(100 << 20)))
    content = bytearray(path.read_bytes())
    size = len(npy(described()))
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, size)
    path.write_bytes(content)

    def refused() -> None:
        with refusal(path, "plain numbers in 'a'", "CRC"):
            open_rows(str(path))

    assert peak(refused) < FEW


def test_idx_that_goes_on_beyond_what_it_claims_takes_no_memory(tmp_path: Path):
    header = struct.pack(">HBB2I", 0, 8, 2, 4, 3)
    path = write(tmp_path / "x.idx.gz", gzip.compress(header + bytes(100 << 20), 1))

    def refused() -> None:
        with refusal(path, "gzip", "more than the 12 bytes"):
            open_rows(path)

    assert peak(refused) < FEW


class Trap:
    """Unpickling one writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("read", [contractive.load, contractive.estimators.load_checkpoint])
def test_pickle_under_a_models_name_is_never_unpickled(tmp_path: Path, read: Any):
    path = write(tmp_path / "x.safetensors", pickle.dumps(Trap(tmp_path / "sprung")))
    with refusal(path, "truncated, altered or foreign"):
        read(path)
    assert not (tmp_path / "sprung").exists()


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
    path = write(tmp_path / "x.arrow", content[:place] + struct.pack("<q", -2) + content[place + 8 :])
    with refusal(path, "must be an Arrow IPC file", "a negative number of rows"):
        open_rows(path)


def test_buffer_of_less_than_nothing_is_refused(tmp_path: Path):
    stream, table = io.BytesIO(), pa.table({"a": np.zeros(600)})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(stream, table.schema, options=options) as file:
        file.write_table(table)
    content, decompressed = stream.getvalue(), struct.pack("<q", 4800)
    assert content.count(decompressed) == 1
    path = write(tmp_path / "x.arrow", content.replace(decompressed, struct.pack("<q", -7)))
    with refusal(path, "must be an Arrow IPC file", "a buffer of negative length"):
        open_rows(path).rows[:]


def test_error_of_the_disk_stays_one_and_names_the_file():
    with pytest.raises(OSError, match="Input/output error") as caught, _parsing("x.parquet", "a Parquet file"):
        raise OSError(5, "Input/output error")
    assert (caught.value.errno, caught.value.filename) == (5, "x.parquet")


def test_row_group_that_claims_other_rows_than_it_has_is_refused(tmp_path: Path):
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(20.0)}), stream, row_group_size=7, write_statistics=False)
    content = bytearray(stream.getvalue())
    path = write(tmp_path / "x.parquet", content)
    assert len(open_rows(path).rows) == 20
    # Of 7 rows, which Thrift writes as a field of 64 bits, number 3, and twice the number.
    content[content.rindex(b"\x16\x0e", 0, -100) + 1] = 2 * 5
    assert pq.read_metadata(io.BytesIO(content)).row_group(1).num_rows == 5
    with refusal(write(tmp_path / "x.parquet", content), "must be a Parquet file", "18 rows in a file of 20"):
        open_rows(path)
    content[content.rindex(b"\x16\x0a", 0, -100) + 1] = 2 * 5 - 1
    assert pq.read_metadata(io.BytesIO(content)).row_group(1).num_rows == -5
    with refusal(write(tmp_path / "x.parquet", content), "must be a Parquet file", "a negative number of rows"):
        open_rows(path)


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_nan_that_signals_is_nan_without_a_warning(tmp_path: Path, name: str):
    signalling = np.frombuffer(struct.pack("<I", 0x7F800001), np.float32)
    table = pa.table({"a": signalling, "b": np.array([2.0])})
    if name == "x.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_file(tmp_path / name, table.schema) as file:
            file.write_table(table)
    assert np.array_equal(np.asarray(open_rows(str(tmp_path / name)).rows), [[np.nan, 2]], equal_nan=True)


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


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    written = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def png(width: int, height: int, pixels: bytes, *, depth: int = 8, color: int = 0, interlacing: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlacing)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))


def test_picture_that_lacks_lines_is_refused_before_it_takes_memory(tmp_path: Path):
    line = b"\0" + bytes(range(5))
    assert open_rows(write(tmp_path / "x.png", png(5, 3, line * 3))).rows[0].tolist() == [*range(5)] * 3
    with refusal(write(tmp_path / "x.png", png(5, 3, line * 2)), "6 of the 18 bytes of its pixels are missing"):
        open_rows(str(tmp_path / "x.png"))
    path = write(tmp_path / "x.png", png(8000, 8000, b"\0" + bytes(8000)))

    def refused() -> None:
        with refusal(path, "bytes of its pixels are missing"):
            open_rows(path)

    assert peak(refused) < FEW


def test_picture_of_two_headers_or_one_too_late_is_refused(tmp_path: Path):
    content = png(5, 3, bytes(18))
    header = content[8:33]
    path = write(tmp_path / "x.png", content[:33] + header + content[33:])
    with refusal(path, "two headers"):
        open_rows(path)
    path = write(tmp_path / "x.png", content[:8] + struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd")) + content[8:])
    with refusal(path, "does not begin with its header"):
        open_rows(path)


@pytest.mark.parametrize("cut", [4, 1, -4, -1])  # within what comes before the checksum, and within this
def test_picture_whose_pixels_are_not_those_of_its_checksum_is_refused(tmp_path: Path, cut: int):
    header = struct.pack(">IIBBBBB", 5, 3, 8, 0, 0, 0, 0)
    for damage, is_read in ((0, True), (1, False)):
        data = bytearray(zlib.compress(bytes(18)))
        data[-1] ^= damage
        parts = (b"IDAT", bytes(data[:cut])), (b"IDAT", bytes(data[cut:]))
        path = write(tmp_path / "x.png", png_of((b"IHDR", header), *parts, (b"IEND", b"")))
        with nullcontext() if is_read else refusal(path, "incorrect data check"):
            assert not open_rows(path).rows[0].any()


def test_picture_without_its_palette_is_refused(tmp_path: Path):
    path = write(tmp_path / "x.png", png(5, 3, bytes(18), color=3))
    with refusal(path, "no palette before its pixels"):
        open_rows(path)


@pytest.mark.parametrize(("depth", "mode", "color"), [(1, "1", 0), (8, "L", 0), (8, "RGB", 2), (4, "P", 3)])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 5), (9, 17), (2, 9)])
def test_pictures_of_all_kinds_have_their_pixels(
    tmp_path: Path, depth: int, mode: str, color: int, size: tuple[int, int]
):
    """As Pillow writes them, whose lines may take less than a byte a pixel."""
    colors = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = Image.fromarray(colors).convert(
        mode, palette=Image.Palette.ADAPTIVE, colors=2**depth if mode == "P" else 256
    )
    picture.save(tmp_path / "x.png", bits=depth)
    stored = (tmp_path / "x.png").read_bytes()[24:26]
    assert stored == bytes([depth, color]) or (mode == "P" and stored[0] < depth)  # of few colors
    expected = np.asarray(picture.convert("RGB" if mode in ("RGB", "P") else "L"))
    assert np.array_equal(open_rows(str(tmp_path / "x.png")).rows[0], expected.ravel())


def test_interlaced_picture_needs_the_lines_of_all_passes(tmp_path: Path):
    # The passes of 3 x 5 pixels, of which the second is empty, by the table in PNG's chapter 8.
    n_bytes = sum(lines * (1 + columns) for columns, lines in [(1, 1), (1, 1), (1, 2), (2, 1), (1, 3), (3, 2)])
    assert open_rows(write(tmp_path / "x.png", png(3, 5, bytes(n_bytes), interlacing=1))).rows.shape == (1, 15)
    with refusal(write(tmp_path / "x.png", png(3, 5, bytes(n_bytes - 1), interlacing=1)), "1 of the"):
        open_rows(str(tmp_path / "x.png"))


KINDS = {"model": (write_model, read_model), "checkpoint": (write_checkpoint, read_checkpoint)}
ODD = ["3", "null", "[]", '"version"', "[" * 100_000, "{", '{"version": "1", "description": 3}', '{"version": "\\n"}']


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facts", ODD)
def test_facts_of_nonsense_are_refused_in_one_line(tmp_path: Path, kind: str, facts: str):
    path = tmp_path / "x.safetensors"
    save_file({"weight": TABLE}, path, {f"contractive.{kind}": facts})
    with refusal(path) as caught:
        KINDS[kind][1](path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["F8_E5M2", "F8_E4M3", "BF16", "F4", "no such"])
def test_numbers_that_numpy_has_not_are_refused(tmp_path: Path, kind: str, dtype: str):
    bits = {"BF16": 16, "F4": 4}.get(dtype, 8)
    header = {"weight": {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}}
    text = json.dumps(header | {"__metadata__": {f"contractive.{kind}": "{}"}}).encode()
    path = write(tmp_path / "x.safetensors", len(text).to_bytes(8, "little") + text + bytes(bits))
    with refusal(path):
        KINDS[kind][1](path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("description", [3, [], None, "\ud800"])
def test_description_that_is_no_object_is_refused(tmp_path: Path, kind: str, description: Any):
    write_it, read = KINDS[kind]
    write_it(tmp_path / "x.safetensors", {"weight": TABLE}, description)
    with refusal(tmp_path / "x.safetensors", "describes none", "no JSON object"):
        read(tmp_path / "x.safetensors")


@pytest.mark.parametrize("description", [{"class": []}, {"class": {}}, {"class": "\n"}, {}])
def test_class_that_is_no_name_is_refused(tmp_path: Path, description: Any):
    write_model(tmp_path / "x.safetensors", {"weight": TABLE}, description)
    with refusal(tmp_path / "x.safetensors", "must hold one of") as caught:
        contractive.load(tmp_path / "x.safetensors")
    assert str(caught.value).isprintable()


def test_models_facts_do_not_break_the_line(tmp_path: Path):
    model = contractive.ContractiveAutoencoder(2, max_epochs=1).fit(TABLE)
    model.save(tmp_path / "x.safetensors")
    arrays, description = read_model(tmp_path / "x.safetensors")
    write_model(tmp_path / "x.safetensors", arrays, description | {"n_features": "\n\x1b"})
    with refusal(tmp_path / "x.safetensors", "does not describe a model") as caught:
        contractive.load(tmp_path / "x.safetensors")
    assert str(caught.value).isprintable()


def test_text_is_shortened_to_one_line_that_a_terminal_may_see():
    assert shortened("a\n b\t c") == "a b c"
    assert shortened("type \x0e\x1b[2J") == r"type \x0e\x1b[2J"
    assert shortened("x" * 61) == "x" * 57 + "..."
    assert len(shortened("\x0e" * 60)) == 60
