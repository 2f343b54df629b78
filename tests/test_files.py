"""A file is replaced at once or not at all, and nothing else is left in its folder."""

import errno
import io
from pathlib import Path
from typing import BinaryIO

import pytest

from contractive._files import write_atomically


class FullDisk(io.FileIO):
    """A file on a disk that is full after so many bytes."""

    def __init__(self, path: Path, room: int):
        super().__init__(path, "xb")
        self.room = room

    def write(self, content) -> int:
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device", self.name)
        self.room -= len(content)
        return super().write(content)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    return path


def assert_untouched(target: Path) -> None:
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_bytes() == b"before"


def test_content_replaces_what_was_there(target: Path):
    write_atomically(target, lambda stream: stream.write(b"after"))
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_bytes() == b"after"


def test_reader_sees_the_old_file_until_the_new_one_is_whole(target: Path):
    def write(stream: BinaryIO) -> None:
        stream.write(b"half")
        stream.flush()
        assert target.read_bytes() == b"before"

    write_atomically(target, write)
    assert target.read_bytes() == b"half"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError, OSError])
def test_failure_leaves_nothing_behind(target: Path, error: type[BaseException]):
    def write(stream: BinaryIO) -> None:
        stream.write(b"half")
        raise error("midway")

    with pytest.raises(error, match="midway"):
        write_atomically(target, write)
    assert_untouched(target)


@pytest.mark.parametrize("room", [0, 3])
def test_full_disk_leaves_nothing_behind(target: Path, room: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedWriter(FullDisk(path, room)))

    # Two writes: the first fits when there is room, and the buffer reaches the disk in the flush.
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, lambda stream: (stream.write(b"abc"), stream.flush(), stream.write(b"def")))
    monkeypatch.undo()
    assert_untouched(target)


def test_failing_sync_leaves_nothing_behind(target: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomically(target, lambda stream: stream.write(b"after"))
    assert_untouched(target)


def test_missing_folder_is_the_systems_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", lambda stream: stream.write(b""))
    assert not list(tmp_path.iterdir())


def test_new_files_have_the_users_usual_mode(tmp_path: Path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "file", lambda stream: stream.write(b""))
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode
