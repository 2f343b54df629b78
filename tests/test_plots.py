"""The picture of the filters, byte for byte as the tutorial draws it, and the learning curves."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from PIL import Image

from contractive.plots import learning_curves, tile_images, tile_rows, write_picture


def scale_to_unit_interval(ndar: np.ndarray, eps: float = 1e-8) -> np.ndarray:
    """The tutorial's function.

    Its NumPy took `ndar.max() + eps` as float64 and the factor in the type of the array, as is spelled out here.
    """
    ndar = ndar.copy()
    ndar -= ndar.min()
    ndar *= ndar.dtype.type(1.0 / (np.float64(ndar.max()) + eps))
    return ndar


def tile_raster_images(X, img_shape, tile_shape, tile_spacing=(0, 0)):
    """The tutorial's function for 2-d X with scale_rows_to_unit_interval and output_pixel_vals."""
    out_shape = [(ishp + tsp) * tshp - tsp for ishp, tshp, tsp in zip(img_shape, tile_shape, tile_spacing, strict=True)]
    H, W = img_shape
    Hs, Ws = tile_spacing
    out_array = np.zeros(out_shape, dtype="uint8")
    for tile_row in range(tile_shape[0]):
        for tile_col in range(tile_shape[1]):
            if tile_row * tile_shape[1] + tile_col < X.shape[0]:
                this_x = X[tile_row * tile_shape[1] + tile_col]
                this_img = scale_to_unit_interval(this_x.reshape(img_shape))
                out_array[
                    tile_row * (H + Hs) : tile_row * (H + Hs) + H, tile_col * (W + Ws) : tile_col * (W + Ws) + W
                ] = this_img * 255
    return out_array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_images", [1, 99, 100, 500])
def test_picture_of_the_tutorials_filters_is_the_tutorials(dtype: str, n_images: int):
    W = np.random.default_rng(0).normal(size=(784, n_images)).astype(dtype)
    picture = tile_images(W.T, image_shape=(28, 28))
    assert picture.shape == (289, 289)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, tile_raster_images(W.T, (28, 28), (10, 10), (1, 1)))


def test_tiles_of_the_same_limits_can_be_compared():
    images = np.array([[0.0, 0.5, 1.0, 2.0], [0.5, 0.5, 0.5, -1.0]])
    kept = images.copy()
    picture = tile_images(images, image_shape=(2, 2), grid_shape=(1, 2), spacing=(0, 0), limits=(0, 1))
    assert picture.tolist() == [[0, 127, 127, 127], [254, 254, 127, 0]]
    np.testing.assert_array_equal(images, kept)
    line = tile_rows(np.array([[0.5, 0.5, 1.0]]), limits=(0.5, 0.5))
    assert line.tolist() == [[0, 0, 0]]
    for limits in ((1, 0), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="`limits` must be two finite numbers, the lesser first; got"):
            tile_images(images, image_shape=(2, 2), limits=limits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spacing", [(0, 0), (2, 2), (0, 3), (1, 0)])
@pytest.mark.parametrize(("image_shape", "grid_shape"), [((3, 5), (2, 4)), ((1, 7), (5, 1)), ((4, 1), (1, 1))])
@pytest.mark.parametrize("n_images", [0, 1, 3, 20])
def test_any_layout_is_the_tutorials(dtype: str, spacing, image_shape, grid_shape, n_images: int):
    height, width = image_shape
    images = np.random.default_rng(1).uniform(-1e3, 1e3, (n_images, height * width)).astype(dtype)
    picture = tile_images(images, image_shape=image_shape, grid_shape=grid_shape, spacing=spacing)
    assert np.array_equal(picture, tile_raster_images(images, image_shape, grid_shape, spacing))


VALUES = st.floats(-1, 1, width=32) | st.sampled_from([0.0, 0.5, 2.0**-27, -(2.0**-27)])


@settings(max_examples=60)
@given(st.sampled_from(["float32", "float64"]).flatmap(lambda dtype: hnp.arrays(dtype, (4, 6), elements=VALUES)))
def test_any_values_are_scaled_as_the_tutorial_does(images: np.ndarray):
    picture = tile_images(images, image_shape=(2, 3), grid_shape=(2, 2))
    assert np.array_equal(picture, tile_raster_images(images, (2, 3), (2, 2), (1, 1)))


def test_white_is_just_below_its_maximum_and_constant_tiles_are_black():
    images = np.array([[0, 0, 0, 0], [7, 7, 7, 7], [-3, -2, -1, 0]], np.float64)
    tiles = tile_images(images, image_shape=(2, 2), grid_shape=(1, 3), spacing=(0, 0))
    assert tiles.tolist() == [[0, 0, 0, 0, 0, 84], [0, 0, 0, 0, 169, 254]]


def test_tiles_in_colours_are_scaled_over_all_their_values():
    images = np.random.default_rng(2).normal(size=(3, 2 * 3 * 3))
    picture = tile_images(images, image_shape=(2, 3, 3), grid_shape=(2, 2))
    assert picture.shape == (5, 7, 3)
    for image, (top, left) in zip(images, ((0, 0), (0, 4), (3, 0)), strict=True):
        red = [[pixel[0] for pixel in line] for line in picture[top : top + 2, left : left + 3].tolist()]
        share = (image - image.min()) / (np.ptp(image) + 1e-8)
        assert red == np.floor(255 * share[::3]).reshape(2, 3).tolist()
    assert not picture[2].any()
    assert not picture[:, 3].any()
    assert not picture[3:, 4:].any()


def test_rows_that_are_no_pictures_are_lines():
    rows = np.random.default_rng(3).uniform(size=(4, 48))
    np.testing.assert_array_equal(
        tile_rows(rows, grid_shape=(2, 2)), tile_images(rows, image_shape=(4, 4, 3), grid_shape=(2, 2))
    )
    np.testing.assert_array_equal(
        tile_rows(rows, (6, 8), grid_shape=(2, 2)), tile_images(rows, image_shape=(6, 8), grid_shape=(2, 2))
    )
    lines = tile_images(rows, image_shape=(1, 48), grid_shape=(3, 1))
    np.testing.assert_array_equal(tile_rows(rows, (1, 48), grid_shape=(3, 1)), lines)
    assert tile_rows(rows[:, :47]).shape == (7, 47)


def test_images_are_left_as_they_were():
    images = np.linspace(0, 1, 8).reshape(2, 4)
    images.setflags(write=False)
    tile_images(images, image_shape=(2, 2))
    assert np.array_equal(images, np.linspace(0, 1, 8).reshape(2, 4))


@pytest.mark.parametrize("images", [np.ones(4), np.ones((2, 5)), np.ones((2, 2, 2))])
def test_other_shapes_are_refused(images: np.ndarray):
    with pytest.raises(ValueError, match=r"`images` must be of shape \(n_images, 4\) for tiles of 2 x 2; got"):
        tile_images(images, image_shape=(2, 2))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_shape", (-2, -2)),
        ("image_shape", (1, 1, 4)),
        ("image_shape", (4,)),
        ("grid_shape", (0, 3)),
        ("grid_shape", (-1, 3)),
        ("spacing", (-1, 0)),
        ("spacing", (1, -5)),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(option: str, value: tuple[int, ...]):
    options = {"image_shape": (2, 2), option: value}
    with pytest.raises(ValueError, match=f"`{option}`.*{value[0]}"):
        tile_images(np.ones((2, 4)), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_filters_that_are_not_finite_are_refused(value: float):
    images = np.ones((2, 4))
    images[1, 2] = value
    with pytest.raises(ValueError, match="`images` must be finite"):
        tile_images(images, image_shape=(2, 2))


def test_written_colours_read_back_the_same(tmp_path: Path):
    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    write_picture(tmp_path / "picture.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")), picture)


def test_written_picture_reads_back_to_the_same_greys(tmp_path: Path):
    picture = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_picture(tmp_path / "picture.png", picture)
    with Image.open(tmp_path / "picture.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image.convert("L")), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_dark_picture_is_not_stretched(tmp_path: Path):
    picture = np.array([[3, 5], [7, 9]], np.uint8)
    write_picture(tmp_path / "picture.png", picture)
    with Image.open(tmp_path / "picture.png") as image:
        assert np.array_equal(np.asarray(image.convert("L")), picture)


def test_curves_hold_the_numbers_of_each_epoch():
    axes = Figure().subplots(1, 2)
    same = learning_curves([3.0, 2.0, 1.5], [0.5, 0.25, 0.125], axes=axes)
    assert list(same) == list(axes)
    for ax, curve, label in zip(
        axes, ([3.0, 2.0, 1.5], [0.5, 0.25, 0.125]), ("reconstruction error", "Jacobian norm"), strict=True
    ):
        (line,) = ax.get_lines()
        assert np.asarray(line.get_xdata()).tolist() == [1, 2, 3]
        assert np.asarray(line.get_ydata()).tolist() == curve
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", label)


def test_errors_of_held_out_rows_are_a_second_line_in_the_first_picture():
    left, right = learning_curves([3.0, 2.0], [0.5, 0.25], [3.5, 2.5], axes=Figure().subplots(1, 2))
    training, held_out = left.get_lines()
    assert [training.get_label(), held_out.get_label()] == ["training", "held out"]
    assert np.asarray(training.get_ydata()).tolist() == [3.0, 2.0]
    assert np.asarray(held_out.get_ydata()).tolist() == [3.5, 2.5]
    assert np.asarray(held_out.get_xdata()).tolist() == [1, 2]
    legend = left.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "held out"]
    assert len(right.get_lines()) == 1


def test_one_line_needs_no_legend():
    left, _ = learning_curves([3.0], [0.5], [], axes=Figure().subplots(1, 2))
    assert left.get_legend() is None


def test_curves_want_two_axes():
    with pytest.raises(ValueError, match="zip"):
        learning_curves([1.0], [1.0], axes=Figure().subplots(1, 3))
