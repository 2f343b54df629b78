"""Regenerated sets: each pixel and label against an independent rule, the same bits for a seed, the cache."""

import hashlib
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial import ConvexHull, QhullError

from contractive.datasets import (
    DATASETS,
    _convex,
    _generated,
    _photographs,
    _rectangles,
    _variations,
    load_convex,
    load_mnist,
    load_mnist_variation,
    load_rectangles,
)
from contractive.sources import open_rows

N = 300
VARIATIONS = ["mnist_basic", "mnist_rot", "mnist_bg_rand", "mnist_bg_img", "mnist_bg_img_rot"]
MAKERS = {
    **{name: lambda seed, n, name=name: _variations._make(name, seed, n) for name in VARIATIONS},
    "rect": lambda seed, n: _rectangles._make(False, seed, n),
    "rect_img": lambda seed, n: _rectangles._make(True, seed, n),
    "convex": _convex._make,
}
# SHA-256, in short, of the first 40 rows and labels of seed 0: to change one is to raise the generator's version.
PINNED = {
    "mnist_basic": "5d80ab48c7652833",
    "mnist_rot": "31e4ac29cae61cf4",
    "mnist_bg_rand": "10e0c118ece68286",
    "mnist_bg_img": "6228c864951ee9b8",
    "mnist_bg_img_rot": "9d9b43fea3903cdf",
    "rect": "b3506c9243d9616b",
    "rect_img": "63563ed0b5bcbbc6",
    "convex": "1003e708b297b5e0",
}
pytestmark = pytest.mark.usefixtures("mnist_cache")


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The first rows of each set of seed 0."""
    return {name: make(0, N) for name, make in MAKERS.items()}


def squares(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, 28, 28)


# What every generator keeps


@pytest.mark.parametrize("name", MAKERS)
def test_first_rows_are_pinned(name: str, made):
    rows, labels = made[name]
    assert hashlib.sha256(rows[:40].tobytes() + labels[:40].tobytes()).hexdigest()[:16] == PINNED[name]
    assert rows.dtype == labels.dtype == np.uint8
    assert rows.shape == (N, 784)


@pytest.mark.parametrize("name", MAKERS)
def test_fewer_rows_are_the_first_and_another_seed_gives_others(name: str, made):
    rows, labels = made[name]
    fewer, fewer_labels = MAKERS[name](0, 40)
    assert np.array_equal(fewer, rows[:40])
    assert np.array_equal(fewer_labels, labels[:40])
    assert not np.array_equal(MAKERS[name](1, 40)[0], fewer)


def test_streams_differ_by_seed_and_purpose():
    first = {(seed, what): _generated.stream(seed, what).random() for seed in range(3) for what in ("a", "b", "ab")}
    assert len(set(first.values())) == len(first)


# Digits


def test_basic_has_62_000_different_digits_of_mnist_with_their_labels():
    splits = load_mnist_variation("mnist_basic")
    assert [x.shape for x, _ in splits] == [(10_000, 784), (2_000, 784), (50_000, 784)]
    rows, labels = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    digits, digit_labels = (np.concatenate(parts) for parts in zip(*load_mnist(), strict=True))
    # MNIST repeats no picture, so a row's bytes are its identity: splits share no digit.
    label_of = {row.tobytes(): int(label) for row, label in zip(digits, digit_labels, strict=True)}
    assert len({row.tobytes() for row in rows}) == 62_000
    assert all(label_of[row.tobytes()] == label for row, label in zip(rows, labels, strict=True))


@pytest.mark.parametrize("turns", range(4))
def test_quarter_turns_are_exact(turns: int, made):
    digits = made["mnist_basic"][0]
    turned = _variations._rotate(digits, np.full(N, turns * math.pi / 2))
    assert np.array_equal(squares(turned), np.rot90(squares(digits), turns, axes=(1, 2)))


def test_rotation_is_scipys_bilinear_one(made):
    digits, angles = made["mnist_basic"][0], np.linspace(0.1, 6.2, N)
    expected = [
        ndimage.rotate(square.astype(float), math.degrees(angle), reshape=False, order=1, mode="grid-constant")
        for square, angle in zip(squares(digits), angles, strict=True)
    ]
    assert abs(squares(_variations._rotate(digits, angles)) - np.array(expected)).max() <= 0.5 + 1e-6


def test_angles_of_rot_are_uniform_over_the_circle(made):
    # The angle itself is not kept: it is the one of the stream, and the picture shows that it was used.
    angles = _generated.stream(0, "angles").random(5000) * 2 * math.pi
    assert stats.kstest(angles, "uniform", args=(0, 2 * math.pi)).pvalue > 0.01
    assert np.array_equal(_variations._rotate(made["mnist_basic"][0], angles[:N]), made["mnist_rot"][0])


def test_random_background_is_uniform_and_digits_shine_through(made):
    digits, rows = made["mnist_basic"][0], made["mnist_bg_rand"][0]
    assert (rows >= digits).all()
    background = rows[digits == 0]
    assert stats.chisquare(np.bincount(background, minlength=256)).pvalue > 0.01
    # Beside a digit's pixel d the noise wins with probability (255 - d) / 256.
    inside = digits > 0
    expected = ((255 - digits[inside].astype(int)) / 256).mean()
    assert (rows > digits)[inside].mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("name", "digits"), [("mnist_bg_img", "mnist_basic"), ("mnist_bg_img_rot", "mnist_rot")])
def test_photographs_lie_behind_the_digits(name: str, digits: str, made):
    patches, _ = _photographs.draw_patches(_generated.stream(0, "patches"), N)
    assert np.array_equal(made[name][0], np.maximum(made[digits][0], patches))
    assert np.array_equal(made[name][1], made[digits][1])


def test_patches_are_cut_from_the_photographs_and_have_texture():
    patches, numbers = _photographs.draw_patches(np.random.default_rng(0), 2000)
    assert patches.std(axis=1).min() >= 16
    assert len(set(numbers)) == len(_photographs.photographs()) == 19
    for patch, number in zip(squares(patches[:20]), numbers[:20], strict=True):
        picture = _photographs.photographs()[number]
        windows = np.lib.stride_tricks.sliding_window_view(picture, (28, 28))
        assert (windows[windows[:, :, 0, 0] == patch[0, 0]] == patch).all(axis=(1, 2)).any()


def test_a_place_is_dropped_exactly_when_its_patch_is_flat():
    for picture, textured in list(zip(_photographs.photographs(), _photographs._textured(), strict=True))[:4]:
        windows = np.lib.stride_tricks.sliding_window_view(picture, (28, 28))[::37, ::41]
        assert np.array_equal(windows.std(axis=(2, 3)) >= 16, textured[::37, ::41])


def test_luma_is_bt_601_rounded():
    colours = np.random.default_rng(0).integers(256, size=(1000, 3), dtype=np.uint8)
    exact = colours @ np.array([0.299, 0.587, 0.114])
    assert abs(_photographs.luma(colours) - exact).max() <= 0.5 + 1e-9


def test_other_photographs_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_photographs, "_FILES_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="must be those of versions"):
        _photographs.photographs.__wrapped__()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.delitem(sys.modules, "skimage.data", raising=False)
    with pytest.raises(ImportError, match=r"pip install contractive\[data\]"):
        _photographs.photographs.__wrapped__()


# Rectangles


def sides(picture: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white; it must be the perimeter of a rectangle and nothing else."""
    down, across = np.nonzero(picture)
    top, bottom, left, right = down.min(), down.max(), across.min(), across.max()
    perimeter = {(y, x) for y in range(top, bottom + 1) for x in (left, right)}
    perimeter |= {(y, x) for x in range(left, right + 1) for y in (top, bottom)}
    assert set(zip(down.tolist(), across.tolist(), strict=True)) == perimeter
    return right - left + 1, bottom - top + 1


def test_rectangles_are_perimeters_labelled_wide_or_tall(made):
    rows, labels = made["rect"]
    assert set(np.unique(rows)) == {0, 255}
    found = np.array([sides(picture) for picture in squares(rows)])
    assert np.array_equal(labels, found[:, 0] > found[:, 1])
    assert abs(found[:, 0] - found[:, 1]).min() == 3
    assert {found.min(), found.max()} == {1, 28}


def test_rectangles_of_photographs_have_two_sources(made):
    rows, labels = made["rect_img"]
    widths, heights = _rectangles._draw_sides(_generated.stream(0, "sides of at least 10"), N, 10, 5)
    assert (min(widths.min(), heights.min()), abs(widths - heights).min()) == (10, 5)
    assert np.array_equal(labels, widths > heights)
    insides, outsides = _rectangles._draw_pairs(_generated.stream(0, "pairs of patches"), N)
    # What is not of the patch around is the rectangle: as large as its sides, but for pixels that happen to agree.
    for row, inside, outside, width, height in zip(rows, insides, outsides, widths, heights, strict=True):
        own = squares((row != outside).astype(int))[0]
        down, across = np.nonzero(own)
        assert (np.ptp(across) + 1, np.ptp(down) + 1) == (width, height)
        box = np.s_[down.min() : down.max() + 1, across.min() : across.max() + 1]
        assert np.array_equal(squares(row)[0][box], squares(inside)[0][box])


def test_rectangles_have_the_papers_sizes():
    assert [len(y) for _, y in load_rectangles()] == [1_000, 200, 50_000]
    assert 0.48 < np.concatenate([y for _, y in load_rectangles()]).mean() < 0.52


# Convex regions


def hull_pixels(picture: np.ndarray) -> int:
    """How many pixel centres the convex hull of the white ones holds, by Qhull."""
    points = np.argwhere(picture)
    try:
        equations = ConvexHull(points).equations
    except QhullError:  # all on one line
        span = points.max(axis=0) - points.min(axis=0)
        return math.gcd(*map(int, span)) + 1
    y, x = np.mgrid[:28, :28].reshape(2, -1)
    inside = equations[:, :2] @ np.array([y, x]) + equations[:, 2:] <= 1e-9
    return int(inside.all(axis=0).sum())


def test_labels_say_whether_the_hull_holds_other_pixels(made):
    rows, labels = made["convex"]
    white = rows == 255
    assert set(np.unique(rows)) == {0, 255}
    convex = np.array([hull_pixels(picture) for picture in squares(white)]) == white.sum(axis=1)
    assert np.array_equal(convex, labels == 1)
    assert white[labels == 1].sum(axis=1).min() >= 19


@pytest.mark.parametrize(
    ("points", "convex"),
    [
        ([(3, 3)], True),
        ([(3, 3), (4, 5)], True),  # no centre lies between them
        ([(3, 3), (5, 5)], False),
        ([(0, 0), (0, 27)], False),
        ([(3, 3), (3, 4), (4, 3)], True),
        ([(3, 3), (3, 5), (4, 3), (4, 4), (4, 5)], False),  # a notch
        ([(2, 3), (4, 2), (4, 4), (3, 3)], False),
        ([(2, 3), (4, 2), (4, 4), (3, 3), (4, 3)], True),
    ],
)
def test_digital_convexity_of_small_regions(points, convex: bool):
    region = np.zeros((1, 28, 28), bool)
    region[0][tuple(np.array(points).T)] = True
    assert bool(_convex._is_convex(region)[0]) is convex
    assert (hull_pixels(region[0]) == len(points) if len(points) > 1 else True) is convex


def test_random_regions_are_judged_as_by_qhull():
    rng = np.random.default_rng(0)
    regions = np.array([ndimage.binary_dilation(rng.random((28, 28)) < 0.004, iterations=4) for _ in range(200)])
    regions = regions[regions.any(axis=(1, 2))]
    expected = [hull_pixels(region) == region.sum() for region in regions]
    assert 0 < np.mean(expected) < 1
    assert np.array_equal(_convex._is_convex(regions), expected)


def test_both_labels_have_as_many_white_pixels():
    rows, labels = _convex._make(0, 8_000)
    counts = np.count_nonzero(rows, axis=1)
    assert counts[labels == 1].mean() == pytest.approx(counts[labels == 0].mean(), rel=0.04)
    assert 0.48 < labels.mean() < 0.52


@pytest.mark.slow
def test_convex_regions_have_the_papers_sizes_and_the_pinned_rows(made):
    splits = load_convex()
    assert [len(y) for _, y in splits] == [6_500, 1_500, 50_000]
    assert np.array_equal(splits[0][0][:N], made["convex"][0])
    assert np.array_equal(splits[0][1][:N], made["convex"][1])


# Arguments, the registry and the cache


@pytest.mark.parametrize(
    "load", [load_rectangles, load_convex, lambda seed: load_mnist_variation("mnist_rot", seed=seed)]
)
def test_seed_is_checked(load):
    with pytest.raises(ValueError, match=re.escape("`seed` must be a whole number >= 0; got -1.")):
        load(seed=-1)
    with pytest.raises(TypeError, match=re.escape("`seed` must be a whole number >= 0; got 0.5.")):
        load(seed=0.5)


def test_unknown_variation_is_refused_with_the_known():
    with pytest.raises(ValueError, match=r"`name` must be one of 'mnist_basic', .*; got 'mnist'\."):
        load_mnist_variation("mnist")


def test_regenerated_sets_say_so_beside_every_number():
    for name in MAKERS:
        assert DATASETS[name].title == f"{name} (regenerated)"
        assert "(regenerated)" in DATASETS[name].summary
        assert ("contractive[data]" in DATASETS[name].summary) == ("img" in name)
    assert {name for name, info in DATASETS.items() if info.title == name} == {
        "mnist",
        "digits",
        "fashion_mnist",
        "cifar_bw",
        "covertype",
    }


def test_a_regenerated_set_is_opened_by_name():
    source = open_rows("rect")
    assert source.image_shape == (28, 28)
    assert np.array_equal(source.rows, load_rectangles()[0][0])


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("spoil", [damage, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_spoilt_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil):
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path / "cache"))
    calls = []

    def make():
        calls.append(None)
        return np.arange(6, dtype=np.uint8).reshape(3, 2), np.array([1, 0, 1], np.uint8)

    for number in range(2):
        rows, labels = _generated.through_cache("toy-v1", 7, make)
        assert (rows.tolist(), labels.tolist(), len(calls)) == ([[0, 1], [2, 3], [4, 5]], [1, 0, 1], 1)
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable, number
    files = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert files == ["toy-v1-seed7-labels.npy", "toy-v1-seed7-rows.npy", "toy-v1-seed7.sha256"]
    for count, name in enumerate(files, start=2):
        spoil(tmp_path / "cache" / name)
        rows, labels = _generated.through_cache("toy-v1", 7, make)
        assert (rows.tolist(), labels.tolist(), len(calls)) == ([[0, 1], [2, 3], [4, 5]], [1, 0, 1], count)


def test_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="cannot be written .*CONTRACTIVE_CACHE"):
        _generated.through_cache("toy-v1", 7, lambda: (np.zeros((1, 1)), np.zeros(1)))
