"""Fetched sets from a server on this machine: digests, cut and refused answers, files given by path."""

import gzip
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from contractive.datasets import (
    DATASETS,
    _cifar,
    _covertype,
    _downloads,
    _fashion,
    load_cifar_bw,
    load_covertype,
    load_fashion_mnist,
)
from contractive.datasets._downloads import Download, fetch, gunzip
from contractive.sources import open_rows


@dataclass
class Mirror:
    """What the server has, what it was asked for, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: int | None = None  # bytes after which the connection ends, whatever was promised
    claims_length: bool = True


def answer(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    name = handler.path.removeprefix("/sets/")
    mirror.asked.append(name)
    content = mirror.files.get(name)
    if content is None:
        handler.send_error(404)
        return
    handler.send_response(200)
    if mirror.claims_length:
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: mirror.cut])


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server on this machine that the package takes for the world, and an empty cache."""
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(state, self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    monkeypatch.setenv("CONTRACTIVE_MIRROR", f"http://127.0.0.1:{server.server_port}/sets/")
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(_fashion, "_DEBIAN", tmp_path / "no-such-package")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def download_of(content: bytes, name: str = "toy.bin") -> Download:
    return Download(f"https://nowhere.invalid/{name}", hashlib.sha256(content).hexdigest(), len(content), name)


CONTENT = np.random.default_rng(0).bytes(3_000_000)


# Fetching


def test_a_file_is_fetched_once_and_again_when_altered(mirror: Mirror):
    mirror.files["toy.bin"] = CONTENT
    path = fetch(download_of(CONTENT))
    assert path.read_bytes() == CONTENT
    assert fetch(download_of(CONTENT)) == path
    assert mirror.asked == ["toy.bin"]
    path.write_bytes(CONTENT[:-1])
    assert fetch(download_of(CONTENT)).read_bytes() == CONTENT
    assert mirror.asked == ["toy.bin"] * 2


@pytest.mark.parametrize("claims_length", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 2_999_999])
def test_a_cut_answer_leaves_nothing(mirror: Mirror, tmp_path: Path, cut: int, claims_length: bool):
    mirror.files["toy.bin"], mirror.cut, mirror.claims_length = CONTENT, cut, claims_length
    with pytest.raises(ValueError, match=f"must send 3,000,000 bytes; it was cut off after {cut:,}"):
        fetch(download_of(CONTENT))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"?", CONTENT + b"?"])
def test_a_wrong_digest_leaves_nothing(mirror: Mirror, tmp_path: Path, sent: bytes):
    mirror.files["toy.bin"] = sent
    with pytest.raises(ValueError, match=rf"must have the SHA-256 {hashlib.sha256(CONTENT).hexdigest()}; got [0-9a-f]"):
        fetch(download_of(CONTENT))
    assert list((tmp_path / "cache").iterdir()) == []


class Endless(io.RawIOBase):
    """Zeros without end, of which no reader should want many."""

    n_sent = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 4_000_000 - self.n_sent
        self.n_sent += size
        return bytes(size)


def test_an_endless_answer_is_left_after_one_byte_too_many(monkeypatch: pytest.MonkeyPatch):
    endless, kept = Endless(), io.BytesIO()
    monkeypatch.setattr(_downloads.urllib.request, "urlopen", lambda request, timeout: endless)
    with pytest.raises(ValueError, match="must have the SHA-256"):
        _downloads._receive("https://nowhere.invalid/toy.bin", download_of(CONTENT), kept)
    assert endless.n_sent == len(kept.getvalue()) == len(CONTENT) + 1


def test_an_endless_file_is_left_after_one_byte_too_many():
    endless = Endless()
    with pytest.raises(ValueError, match="'endless' must hold 1,000 bytes; got more"):
        _downloads.read_exactly(endless, 1_000, "endless")  # type: ignore[arg-type]
    assert endless.n_sent == 1_001


def test_a_missing_file_names_the_address_and_the_way_out(mirror: Mirror):
    words = r"'http://127\.0\.0\.1:\d+/sets/toy\.bin' cannot be fetched \(HTTP 404, .*get toy\.bin by other means"
    with pytest.raises(OSError, match=words) as caught:
        fetch(download_of(CONTENT))
    assert "\n" not in str(caught.value)


def test_an_unreachable_server_is_said_in_one_line(mirror: Mirror, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONTRACTIVE_MIRROR", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(OSError, match=r"'http://127\.0\.0\.1:9/toy\.bin' cannot be fetched \(.*refused") as caught:
        fetch(download_of(CONTENT))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1", "/etc"])
def test_only_http_is_spoken(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("CONTRACTIVE_MIRROR", address)
    with pytest.raises(ValueError, match=re.escape(f"must start with http:// or https://; got {address!r}.")):
        fetch(download_of(CONTENT))


def test_own_addresses_are_https_and_digests_are_whole():
    downloads = [_cifar._ARCHIVE, _covertype._FILE]
    assert all(item.url.startswith("https://") and re.fullmatch("[0-9a-f]{64}", item.sha256) for item in downloads)
    assert _fashion._URL.startswith("https://")
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for row in _fashion._FILES for digest in (row[2], row[4]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"1235", mtime=0), "must hold content with the SHA-256"),
        (gzip.compress(b"123", mtime=0), "must hold 4 bytes; got 3."),
        (gzip.compress(b"0" * 10_000_000, mtime=0), "must hold 4 bytes; got more."),
        (gzip.compress(b"1234", mtime=0)[:-5], "must be a gzip file; it is truncated or foreign"),
        (b"1234", "must be a gzip file; it is truncated or foreign"),
        (b"", "must hold 4 bytes; got 0."),
    ],
    ids=["altered", "short", "bomb", "cut", "foreign", "empty"],
)
def test_packed_content_is_checked(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        gunzip(tmp_path / "a.gz", 4, hashlib.sha256(b"1234").hexdigest())


# Fashion-MNIST, made small


@pytest.fixture
def fashion(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small IDX files with the names of the real ones, known to the package and to the server."""
    rng, rows, files = np.random.default_rng(0), [], {}
    for name, *_ in _fashion._FILES:
        n = 7 if name.startswith("train") else 3
        shape = (n, 28, 28) if "images" in name else (n,)
        header = np.array([0x803 if len(shape) == 3 else 0x801, *shape], ">u4").tobytes()
        content = header + rng.integers(256 if len(shape) == 3 else 10, size=shape, dtype=np.uint8).tobytes()
        packed = gzip.compress(content)
        files[name], mirror.files[f"fashion-{name}.gz"] = content, packed
        sha256 = (hashlib.sha256(data).hexdigest() for data in (packed, content))
        rows.append((name, len(packed), next(sha256), len(content), next(sha256)))
    monkeypatch.setattr(_fashion, "_FILES", tuple(rows))
    monkeypatch.setattr(_fashion, "_SIZES", (5, 2, 3))
    return files


def assert_is_fashion(splits, files: dict[str, bytes]) -> None:
    (x, y), (x_valid, y_valid), (x_test, y_test) = splits
    assert [len(part) for part in (x, x_valid, x_test)] == [5, 2, 3]
    assert b"".join(part.tobytes() for part in (x, x_valid)) == files["train-images-idx3-ubyte"][16:]
    assert y.tobytes() + y_valid.tobytes() == files["train-labels-idx1-ubyte"][8:]
    assert x_test.tobytes() == files["t10k-images-idx3-ubyte"][16:]
    assert y_test.tobytes() == files["t10k-labels-idx1-ubyte"][8:]


def test_fashion_is_fetched_once(mirror: Mirror, fashion: dict[str, bytes]):
    for _ in range(2):
        assert_is_fashion(load_fashion_mnist(), fashion)
    assert len(mirror.asked) == len(set(mirror.asked)) == 4


@pytest.mark.parametrize("level", [None, 1, 9])
def test_fashion_is_read_from_a_folder_however_compressed(mirror: Mirror, fashion, tmp_path: Path, level: int | None):
    for name, content in fashion.items():
        if level is None:
            (tmp_path / name).write_bytes(content)
        else:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, level, mtime=level))
    assert_is_fashion(load_fashion_mnist(tmp_path), fashion)
    assert mirror.asked == []


def test_debians_folder_is_looked_at_first(mirror: Mirror, fashion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_fashion, "_DEBIAN", tmp_path)
    for name, content in fashion.items():
        (tmp_path / name).write_bytes(content)
    assert_is_fashion(load_fashion_mnist(), fashion)
    assert mirror.asked == []


def test_fashion_with_other_content_is_refused(fashion, tmp_path: Path):
    for name, content in fashion.items():
        (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="must hold content with the SHA-256"):
        load_fashion_mnist(tmp_path)


# CIFAR-bw and cover types, made small


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Six batches of four pictures."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(_cifar, "_N_BATCH", 4)
    monkeypatch.setattr(_cifar, "_SIZES", (16, 4, 4))
    records = rng.integers(256, size=(6, 4, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    return {name: batch.tobytes() for name, batch in zip(_cifar._NAMES, records, strict=True)}


def pack(path: Path, batches: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def assert_is_cifar(splits, batches: dict[str, bytes]) -> None:
    records = np.concatenate([np.frombuffer(batches[name], np.uint8).reshape(4, 3073) for name in _cifar._NAMES])
    assert [len(y) for _, y in splits] == [16, 4, 4]
    x, y = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    assert np.array_equal(y, records[:, 0])
    red, green, blue = records[:, 1:].astype(float).reshape(-1, 3, 1024).transpose(1, 0, 2)
    assert x.shape == (24, 1024)
    assert abs(x - (0.299 * red + 0.587 * green + 0.114 * blue)).max() <= 0.5 + 1e-9


def test_cifar_is_grey_from_an_archive_a_folder_and_the_server(mirror, cifar, tmp_path: Path, monkeypatch):
    members = {f"cifar-10-batches-bin/{name}": content for name, content in reversed(cifar.items())}
    path = pack(tmp_path / "cifar.tar.gz", {"cifar-10-batches-bin/readme.html": b"x", **members})
    assert_is_cifar(load_cifar_bw(path), cifar)
    for name, content in cifar.items():
        (tmp_path / name).write_bytes(content)
    assert_is_cifar(load_cifar_bw(tmp_path), cifar)
    packed = path.read_bytes()
    monkeypatch.setattr(_cifar, "_ARCHIVE", download_of(packed, "cifar-10-binary.tar.gz"))
    mirror.files["cifar-10-binary.tar.gz"] = packed
    assert_is_cifar(load_cifar_bw(), cifar)


def test_hostile_archives_of_cifar_are_refused(cifar, tmp_path: Path):
    first = "data_batch_1.bin"
    path = pack(tmp_path / "a.tar.gz", {**cifar, first: cifar[first] + b"?"})
    with pytest.raises(ValueError, match=r"data_batch_1\.bin' must hold 12,292 bytes; got more"):
        load_cifar_bw(path)
    path = pack(tmp_path / "b.tar.gz", {first: cifar[first], f"x/{first}": cifar[first]})
    with pytest.raises(ValueError, match=r"must hold data_batch_1\.bin once; it holds it twice"):
        load_cifar_bw(path)
    path = pack(tmp_path / "c.tar.gz", {name: cifar[name] for name in list(cifar)[:5]})
    with pytest.raises(FileNotFoundError, match=r"must hold test_batch\.bin of CIFAR-10's binary version"):
        load_cifar_bw(path)
    path = pack(tmp_path / "d.tar.gz", {**cifar, "test_batch.bin": b"\x0a" + cifar["test_batch.bin"][1:]})
    with pytest.raises(ValueError, match="must hold labels from 0 to 9; got 10"):
        load_cifar_bw(path)
    with tarfile.open(tmp_path / "e.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo(first)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(FileNotFoundError, match=r"must hold data_batch_1\.bin"):
        load_cifar_bw(tmp_path / "e.tar.gz")


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\x80\x04N."])
def test_a_cut_or_foreign_archive_of_cifar_is_refused(cifar, tmp_path: Path, spoil):
    path = pack(tmp_path / "a.tar.gz", cifar)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="must be a .tar.gz archive; it is truncated or foreign|must be a gzip file"):
        load_cifar_bw(path)


@pytest.fixture
def covertype(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A table of nine rows that the package takes for the real one."""
    monkeypatch.setattr(_covertype, "_SIZES", (5, 2, 2))
    table = np.random.default_rng(0).integers(-200, 7000, size=(9, 55))
    table[:, -1] = table[:, -1] % 7 + 1
    return table


def csv(table: np.ndarray) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in table.tolist()).encode()


def test_cover_types_come_in_the_files_order(mirror, covertype, tmp_path: Path, monkeypatch):
    packed = gzip.compress(csv(covertype))
    monkeypatch.setattr(_covertype, "_FILE", download_of(packed, "covtype.data.gz"))
    mirror.files["covtype.data.gz"] = packed
    (tmp_path / "covtype.data").write_bytes(csv(covertype))
    for splits in (load_covertype(), load_covertype(tmp_path / "covtype.data")):
        assert [len(y) for _, y in splits] == [5, 2, 2]
        x, y = (np.concatenate(parts) for parts in zip(*splits, strict=True))
        assert np.array_equal(x, covertype[:, :54])
        assert np.array_equal(y, covertype[:, 54])
        assert (x.dtype, y.dtype) == (np.float32, np.uint8)
    source = open_rows("covertype")
    assert source.image_shape is None
    assert np.array_equal(source.rows, covertype[:5, :54])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: csv(table[:-1]), "must hold 9 rows of 55 numbers; got 8 of 55."),
        (lambda table: csv(table[:, 1:]), "must hold 9 rows of 55 numbers; got 9 of 54."),
        (lambda table: csv(table).replace(b",", b";", 1), "got "),
        (lambda table: csv(np.where(np.arange(55) == 54, 8, table)), "must hold classes from 1 to 7; got 8 in row 1."),
    ],
)
def test_other_tables_are_refused(covertype, tmp_path: Path, change, words: str):
    (tmp_path / "covtype.data").write_bytes(change(covertype))
    with pytest.raises(ValueError, match=re.escape(words)):
        load_covertype(tmp_path / "covtype.data")


def test_a_cut_table_is_refused(covertype, tmp_path: Path):
    (tmp_path / "covtype.data.gz").write_bytes(gzip.compress(csv(covertype))[:-9])
    with pytest.raises(ValueError, match="must be a gzip file; it is truncated or foreign"):
        load_covertype(tmp_path / "covtype.data.gz")


def test_summaries_give_the_sizes_of_what_is_fetched():
    sizes = {"fashion_mnist": _fashion._SIZES, "cifar_bw": _cifar._SIZES, "covertype": _covertype._SIZES}
    for name, parts in sizes.items():
        info = DATASETS[name]
        assert info.origin == "fetched"
        assert f"{sum(parts):,} " in info.summary
        assert "/".join(f"{size:,}" for size in parts) in info.summary
    assert DATASETS["covertype"].image_shape is None
