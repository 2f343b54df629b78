"""Pictures by the block: decoded exactly, all of one size and kind; what is damaged or too large is refused by name."""

import importlib.util
import io
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from contractive.sources import _images
from contractive.sources._images import open_images
from row_files import FEW, damaged, peak, refusal, rows_or_refusal, same

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 4, 3), dtype=np.uint8)


def picture(path: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def png(width: int, height: int) -> bytes:
    """A PNG file that claims a size; its pixels are a few bytes."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in [*chunks, (b"IEND", b"")]
    )


@pytest.mark.parametrize(
    ("name", "pixels", "options"),
    [
        ("x.png", PIXELS[0], {}),
        ("x.bmp", PIXELS[0], {}),
        ("x.tif", PIXELS[0], {}),
        ("x.TIFF", PIXELS[0], {"compression": "tiff_lzw"}),
        ("x.PNG", PIXELS[:, :, :3], {}),
        ("x.bmp", PIXELS[:, :, :3], {}),
        ("x.tif", PIXELS[:, :, :3], {"compression": "tiff_deflate"}),
        ("x.tif", PIXELS[:, :, :3], {"big_tiff": True}),
        ("x.webp", PIXELS[:, :, :3], {"lossless": True}),
    ],
)
def test_pictures_are_decoded_exactly(tmp_path: Path, name: str, pixels: np.ndarray, options: dict[str, Any]):
    picture(tmp_path / "pictures" / name, pixels, **options)
    rows = open_images(tmp_path / "pictures", "all")
    same(rows, pixels.reshape(1, -1))
    assert (rows.name, rows.image_shape) == ("all", pixels.shape)


@pytest.mark.parametrize("pixels", [PIXELS[0], PIXELS], ids=["gray", "color"])
def test_jpeg_is_decoded_as_pillow_does(tmp_path: Path, pixels: np.ndarray):
    for number in range(2):
        picture(tmp_path / f"{number}.jpeg", pixels[::-1] if number else pixels)
    expected = [np.asarray(Image.open(tmp_path / f"{number}.jpeg")).ravel() for number in range(2)]
    same(open_images(tmp_path, "all"), np.array(expected))


@pytest.mark.parametrize(("mode", "becomes"), [("1", "L"), ("LA", "L"), ("P", "RGB"), ("RGBA", "RGB")])
def test_modes_become_gray_or_rgb(tmp_path: Path, mode: str, becomes: str):
    picture(tmp_path / "x.png", PIXELS, mode)
    expected = np.asarray(Image.fromarray(PIXELS).convert(mode).convert(becomes))
    rows = open_images(tmp_path, "all")
    same(rows, expected.reshape(1, -1))
    assert rows.image_shape == expected.shape


def test_first_frame_of_a_gif_is_taken(tmp_path: Path):
    frames = [Image.fromarray(np.full((4, 3, 3), value, np.uint8)).convert("P") for value in (51, 204)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    same(open_images(tmp_path, "all"), np.full((1, 36), 51, np.uint8))


@pytest.mark.parametrize("alpha", [255, 254])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_pictures_must_be_opaque(tmp_path: Path, mode: str, alpha: int):
    image = Image.fromarray(PIXELS).convert(mode)
    options = {}
    if mode == "P":
        options["transparency"] = bytes([255] * image.getpixel((1, 1)) + [alpha])  # type: ignore[operator]
    else:
        channel = Image.new("L", image.size, 255)
        channel.putpixel((1, 1), alpha)
        image.putalpha(channel)
    image.save(tmp_path / "x.png", **options)
    if alpha == 255:
        expected = np.asarray(image.convert("RGBA").convert("L" if mode == "LA" else "RGB"))
        same(open_images(tmp_path, "all"), expected.reshape(1, -1))
    else:
        with refusal(tmp_path / "x.png", "must be opaque"):
            open_images(tmp_path, "all")


@pytest.mark.parametrize(
    ("name", "pixels", "mode"),
    [
        ("x.png", PIXELS[0].astype(np.uint16), "I;16"),
        ("x.tif", PIXELS[0].astype(np.int32), "I"),
        ("x.tif", PIXELS[0].astype(np.float32), "F"),
        ("x.jpg", PIXELS, "CMYK"),
    ],
)
def test_pictures_of_more_bits_or_other_colors_are_refused(tmp_path: Path, name: str, pixels: np.ndarray, mode: str):
    picture(tmp_path / name, pixels, "CMYK" if mode == "CMYK" else None)
    with refusal(tmp_path / name, "8 bits a channel", repr(mode), "Convert it first"):
        open_images(tmp_path, "all")


def test_folder_is_searched_in_the_order_of_its_paths(tmp_path: Path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    names = ["b.png", "a/z.png", "a/b/c.png", "a-b/d.png", "B.png", ".hidden.png", ".h/e.png"]
    for number, name in enumerate(names):
        picture(inside / name, np.full((2, 2), number, np.uint8))
    (inside / "a" / "notes.txt").write_text("no picture")
    picture(outside / "f.png", np.full((2, 2), 99, np.uint8))
    (inside / "out.png").symlink_to(outside / "f.png")
    (inside / "folder").symlink_to(outside)
    (inside / "round").symlink_to(inside)
    (inside / "folder.png").symlink_to(inside / "a")
    (inside / "within.png").symlink_to("b.png")
    found = open_images(str(inside), "all")
    expected = ["B.png", "a-b/d.png", "a/b/c.png", "a/z.png", "b.png", "within.png"]
    values = [0 if name == "within.png" else names.index(name) for name in expected]
    assert found.read(0, len(found))[:, 0].tolist() == values


def test_files_are_taken_in_the_order_given(tmp_path: Path):
    paths = [picture(tmp_path / f"{value}.png", np.full((2, 2), value, np.uint8)) for value in (3, 1, 2)]
    assert open_images(paths, "all").read(0, 3)[:, 0].tolist() == [3, 1, 2]


def test_only_the_first_picture_is_decoded_at_opening(tmp_path: Path):
    picture(tmp_path / "a.png", PIXELS[0])
    (tmp_path / "b.png").write_bytes(b"no picture")
    rows = open_images(tmp_path, "all")
    assert np.array_equal(rows.read(0, 1), PIXELS[0].reshape(1, -1))
    assert rows.block_bounds(1).tolist() == [0, 1, 2]
    with refusal(tmp_path / "b.png", "must be a picture", "truncated or foreign"):
        rows.read(0, 2)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (PIXELS[0].T, ["4 x 3 pixels (height x width) in gray like", "got 3 x 4 pixels (height x width) in gray"]),
        (PIXELS[:4, :3], ["4 x 3 pixels (height x width) in gray like", "got 4 x 3 pixels (height x width) in color"]),
    ],
)
def test_picture_of_another_size_or_kind_is_refused(tmp_path: Path, pixels: np.ndarray, words: list[str]):
    picture(tmp_path / "a.png", PIXELS[0])
    picture(tmp_path / "b.png", pixels)
    with refusal(tmp_path / "b.png", *words, "Resize or convert"):
        open_images(tmp_path, "all").read(1, 2)


@pytest.mark.parametrize("side", [8001, 9800, 20_000, 2**31 - 1], ids=["beyond", "warning", "error", "absurd"])
def test_picture_that_claims_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path, side: int):
    (tmp_path / "x.png").write_bytes(png(side, side))

    def refused() -> None:
        with refusal(tmp_path / "x.png", "must have at most 64,000,000 pixels", f"got {side} x {side}"):
            open_images(tmp_path, "all")

    assert peak(refused) < FEW


def test_frame_that_outgrows_its_gif_is_refused(tmp_path: Path):
    frame = b"," + struct.pack("<HHHHB", 0, 0, 9800, 9800, 0) + b"\x02\x02\x4c\x01\0;"
    (tmp_path / "x.gif").write_bytes(b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0, 0, 0) + frame)
    with refusal(tmp_path / "x.gif", "must be a picture", "96040000 pixels"):
        open_images(tmp_path, "all")


def test_file_that_is_too_long_for_its_pixels_is_refused(tmp_path: Path):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(1 << 40)
    with refusal(tmp_path / "x.png", "must have at most 536,870,912 bytes"):
        open_images(tmp_path, "all")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp", "x.gif", "x.tif", "x.webp"])
def test_picture_cut_anywhere_is_refused_by_name(tmp_path: Path, name: str):
    pixels = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = picture(tmp_path / name, pixels).read_bytes()
    for size in [*range(0, 60), *range(60, len(whole) // 2, 37)]:
        (tmp_path / name).write_bytes(whole[:size])
        with refusal(tmp_path / name, "must be a picture", "truncated or foreign"):
            open_images(tmp_path, "all")


def test_changed_picture_is_refused(tmp_path: Path):
    picture(tmp_path / "x.png", PIXELS[0])
    rows = open_images(tmp_path, "all")
    picture(tmp_path / "x.png", PIXELS[1][::-1, ::-1].copy(), compress_level=0)
    with refusal(tmp_path / "x.png", "must not change"):
        rows.read(0, 1)


def test_folder_without_pictures_is_refused(tmp_path: Path):
    (tmp_path / "x.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    with refusal("all", "must hold pictures", ".png", "none"):
        open_images(tmp_path, "all")
    with pytest.raises(FileNotFoundError, match="missing"):
        open_images(tmp_path / "missing", "all")
    with refusal(tmp_path, "picture file", "folder"):
        open_images([tmp_path], "all")


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "x.png")
    with refusal(tmp_path / "x.png", "picture file", "device"):
        open_images(tmp_path, "all")


def test_missing_pillow_is_noticed_when_pictures_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    spec = importlib.util.spec_from_file_location(f"{_images.__name__}_alone", str(_images.__file__))
    assert spec is not None
    assert spec.loader is not None
    alone = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, alone)
    spec.loader.exec_module(alone)
    with pytest.raises(ImportError, match=r"Pillow: pip install contractive\[data\]"):
        alone.open_images(tmp_path, "all")


def png_of(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


@pytest.fixture(scope="module")
def damaged_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "x.png"


@settings(max_examples=300, deadline=None)
@given(content=damaged(png_of(PIXELS)))
def test_damage_is_refused_by_name_or_harmless(damaged_file: Path, content: bytes):
    damaged_file.write_bytes(content)
    found = rows_or_refusal(damaged_file, lambda path: open_images([path], path).read(0, 1))
    assert found is None or np.array_equal(found, PIXELS.reshape(1, -1))
