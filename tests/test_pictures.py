"""Pictures of rows, spectra, curves and codes: what is drawn is what was given, and wrong arrays are one line."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from contractive import plots

RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(size=(6, 16))


def one() -> Axes:
    return Figure().subplots()


def pixels(ax: Axes) -> np.ndarray:
    return np.asarray(ax.images[0].get_array())


def heights(ax: Axes) -> list[float]:
    return [patch.get_height() for patch in ax.patches if isinstance(patch, Rectangle)]


@pytest.mark.parametrize(
    ("n_features", "shape"),
    [
        (784, (28, 28)),
        (64, (8, 8)),
        (16, (4, 4)),
        (3072, (32, 32, 3)),
        (48, (4, 4, 3)),
        (9, None),
        (54, None),
        (1, None),
    ],
)
def test_squares_are_taken_for_pictures(n_features: int, shape: Any):
    assert plots.guess_image_shape(n_features) == shape


def test_each_picture_stands_in_its_place_scaled_to_its_own_range():
    mosaic = pixels(plots.draw_rows(PICTURES, ax=one(), n_columns=4))
    assert mosaic.shape == (9, 19)
    for number, row in enumerate(PICTURES):
        top, left = number // 4 * 5, number % 4 * 5
        expected = (row - row.min()) / (row.max() - row.min())
        np.testing.assert_allclose(mosaic[top : top + 4, left : left + 4], expected.reshape(4, 4))
    assert (mosaic[4] == 0.5).all(), "what is between is grey"
    assert (mosaic[5:, 10:] == 0.5).all(), "a place without a picture, too"


def test_scales_are_what_they_say():
    row = np.linspace(-2, 6, 16)[None]
    drawn = {scale: pixels(plots.draw_rows(row, ax=one(), scale=scale)).ravel() for scale in plots.SCALES}
    np.testing.assert_allclose(drawn["unit"], row[0].clip(0, 1))
    np.testing.assert_allclose(drawn["signed"], 0.5 + row[0] / 12)
    np.testing.assert_allclose(drawn["each"], np.linspace(0, 1, 16))
    for scale in ("each", "signed"):  # a constant row has no range
        assert (pixels(plots.draw_rows(np.zeros((1, 16)), ax=one(), scale=scale)) == 0.5).all()


def test_colors_and_shapes_that_are_no_squares():
    colored = RNG.uniform(size=(2, 30))
    mosaic = pixels(plots.draw_rows(colored, ax=one(), image_shape=(2, 5, 3), n_columns=2, scale="unit"))
    assert mosaic.shape == (2, 11, 3)
    np.testing.assert_allclose(mosaic[:, 6:], colored[1].reshape(2, 5, 3))
    assert pixels(plots.draw_rows(colored, ax=one(), image_shape=(3, 10), n_columns=1)).shape == (7, 10)


def test_other_rows_are_profiles():
    spectra = RNG.uniform(size=(20, 30))
    ax = plots.draw_rows(spectra, ax=one(), title="spectra")
    assert not ax.images
    assert len(ax.lines) == 12
    assert ax.get_title() == "spectra (12 of 20)"
    for line, row in zip(ax.lines, spectra, strict=False):
        assert np.asarray(line.get_xdata()).tolist() == list(range(1, 31))
        assert np.array_equal(np.asarray(line.get_ydata()), row)
    assert len(plots.draw_rows(PICTURES[:2], ax=one(), image_shape=(1, 16)).lines) == 2


def test_reconstructions_stand_beside_what_they_are_of_and_share_its_scale():
    X, corrupted = 3 * PICTURES - 1, PICTURES * 0 - 5
    axes = plots.reconstructions(X, X / 2, corrupted=corrupted, axes=Figure().subplots(1, 3))
    assert [ax.get_title() for ax in axes] == ["input", "corrupted input", "reconstruction"]
    low, high = X.min(), X.max()
    for ax, rows in zip(axes, (X, corrupted, X / 2), strict=True):
        expected = ((rows[0] - low) / (high - low)).clip(0, 1).reshape(4, 4)
        np.testing.assert_allclose(pixels(ax)[:4, :4], expected, atol=1e-12)
    left, right = plots.reconstructions(np.ones((1, 5)), np.zeros((1, 5)), axes=Figure().subplots(1, 2))
    assert [np.asarray(ax.lines[0].get_ydata())[0] for ax in (left, right)] == [1, 0], "profiles keep their units"


def test_tangents_and_walks_are_a_line_of_pictures_each():
    planes = RNG.normal(size=(2, 3, 16))
    mosaic = pixels(plots.tangents(planes.astype(np.float16), ax=one()))
    assert mosaic.shape == (9, 14)
    most = np.abs(planes[1, 2]).max()
    np.testing.assert_allclose(mosaic[5:, 10:], 0.5 + planes[1, 2].reshape(4, 4) / (2 * most), atol=1e-3)
    x, plane = PICTURES[0], RNG.normal(size=(2, 16))
    mosaic = pixels(plots.walks(x, plane, [-1, 0, 0.5], ax=one()))
    np.testing.assert_allclose(mosaic[:4, 5:9], x.reshape(4, 4))
    np.testing.assert_allclose(mosaic[5:, 10:], (x + plane[1] / 2).clip(0, 1).reshape(4, 4))


def test_filters_and_samples_say_what_they_are():
    assert plots.filters(RNG.normal(size=(150, 16)), ax=one()).get_title() == "100 of 150 filters"
    assert pixels(plots.filters(RNG.normal(size=(150, 16)), ax=one(), n_filters=4)).shape == (9, 9)
    assert plots.samples(PICTURES, ax=one()).get_title() == "samples"


def test_a_spectrum_is_its_median_and_the_middle_of_its_rows():
    values = np.sort(RNG.lognormal(size=(50, 6)), axis=1)[:, ::-1].copy()
    values[:, 5] = 0
    ax = plots.spectrum(values, ax=one(), label="CAE")
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == [1, 2, 3, 4, 5], "zeros have no logarithm"
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata()), np.median(values, axis=0)[:5])
    corners = np.asarray(ax.collections[0].get_paths()[0].vertices)
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(corners[:, 1].max(), np.quantile(values[:, 0], 0.9))
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["CAE"]
    assert not plots.spectrum(np.zeros((3, 2)), ax=one()).lines[0].get_xdata().size  # type: ignore[union-attr]


def test_a_contraction_curve_shades_where_neighbors_are():
    distances = np.linspace(0, 10, 101)
    ax = plots.contraction_curve([1, 2, 4], [0.25, 0.5, 0.4], ax=one(), distances=distances)
    assert np.asarray(ax.lines[0].get_ydata()).tolist() == [0.25, 0.5, 0.4]
    shaded = ax.patches[0].get_extents()
    ends = ax.transData.inverted().transform([[shaded.x0, 0], [shaded.x1, 0]])[:, 0]
    np.testing.assert_allclose(ends, [1, 9])
    assert ax.get_ylim()[0] == 0
    assert plots.contraction_curve([1], [0.5], ax=one()).get_legend() is None


def test_quantiles_of_a_contraction_curve_are_a_band_of_its_color():
    quantiles = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.7]])
    ax = plots.contraction_curve([1, 2], [0.3, 0.4], ax=one(), label="random directions")
    plots.contraction_curve([1, 3], [0.3, 0.5], ax=ax, label="between rows", quantiles=quantiles)
    corners = {tuple(corner) for corner in np.asarray(ax.collections[0].get_paths()[0].vertices)}
    assert {(1, 0.1), (3, 0.2), (1, 0.5), (3, 0.7)} <= corners
    assert ax.collections[0].get_facecolor()[0][:3] == pytest.approx((1, 0.498, 0.055), abs=1e-3)  # type: ignore[index]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["random directions", "between rows"]
    with pytest.raises(ValueError, match=r"`quantiles` must be of shape \(n_quantiles, 3\); got \(3, 2\)"):
        plots.contraction_curve([1, 2, 3], [0.1, 0.2, 0.3], ax=one(), quantiles=quantiles)


@pytest.mark.parametrize(("values", "plain"), [([2.2, 5.1], True), ([0.021, 0.05], True), ([0.01, 5.0], False)])
def test_numbers_beside_a_spectrum_are_plain_within_a_decade(values: list[float], plain: bool):
    ax = plots.spectrum(np.array([values[::-1]]), ax=one())
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    low, high = ax.get_ylim()
    shown = [
        (place, label.get_text())
        for axis_labels, places in (
            (ax.get_yticklabels(), ax.get_yticks()),
            (ax.get_yticklabels(minor=True), ax.get_yticks(minor=True)),
        )
        for place, label in zip(places, axis_labels, strict=True)
        if low <= place <= high and label.get_text()
    ]
    assert len(shown) >= 2
    if plain:
        assert [float(text) for _, text in shown] == pytest.approx([place for place, _ in shown], rel=1e-5)
    else:
        assert all("10^" in text for _, text in shown)


def test_saturated_units_are_counted():
    H = np.array([[0.0, 0.04, 0.5], [0.96, 1.0, 0.94]])
    ax = plots.saturation(H, ax=one())
    assert ax.get_title() == "66.7 % saturated"
    assert sum(heights(ax)[:50]) == H.size


def test_codes_are_drawn_along_their_principal_directions():
    H = RNG.normal(size=(40, 5)) * [5, 0.1, 3, 0.1, 0.1]
    ax = plots.code_map(H, ax=one())
    points = np.asarray(ax.collections[0].get_offsets())
    centered = H - H.mean(axis=0)
    u, s, vt = np.linalg.svd(centered, full_matrices=False)
    signs = np.sign(vt[np.arange(2), np.abs(vt[:2]).argmax(axis=1)])
    np.testing.assert_allclose(points, (u * s)[:, :2] * signs, atol=1e-10)
    labels = np.arange(40) % 3
    ax = plots.code_map(H, labels, ax=one())
    assert [len(np.asarray(group.get_offsets())) for group in ax.collections] == [14, 13, 13]
    assert ax.get_legend() is not None
    assert plots.code_map(H, np.arange(40), ax=one()).get_legend() is None, "too many to name"
    assert np.asarray(plots.code_map(H[:, :1], ax=one()).collections[0].get_offsets()).shape == (40, 2)


def test_umap_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModuleNotFoundError, match="pip install umap-learn"):
        plots.code_map(PICTURES, ax=one(), method="umap")

    class Reducer:
        def __init__(self, n_jobs: int, random_state: int):
            assert (n_jobs, random_state) == (1, 0)  # with a seed and more jobs UMAP warns

        def fit_transform(self, H: np.ndarray) -> np.ndarray:
            return H[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Reducer))
    ax = plots.code_map(PICTURES, ax=one(), method="umap")
    np.testing.assert_array_equal(np.asarray(ax.collections[0].get_offsets()), PICTURES[:, :2])
    assert ax.get_xlabel() == "UMAP 1"


def test_the_least_and_most_typical_rows_are_shown():
    scores = np.array([-3.0, -9.0, -1.0, -2.0, -4.0, -5.0])
    axes = plots.anomalies(scores, PICTURES, axes=Figure().subplots(1, 3), n_rows=1)
    assert sum(heights(axes[0])) == 6
    for ax, row in zip(axes[1:], (PICTURES[1], PICTURES[2]), strict=True):
        expected = (row - row.min()) / (row.max() - row.min())
        np.testing.assert_allclose(pixels(ax), expected.reshape(4, 4))
    (alone,) = plots.anomalies(scores, axes=[one()])
    assert alone.get_xlabel() == "reconstruction error"


WRONG: list[tuple[Any, str]] = [
    (lambda: plots.draw_rows(np.zeros(16), ax=one()), r"n_features\), not empty; got \(16,\)"),
    (lambda: plots.draw_rows(np.zeros((0, 16)), ax=one()), r"not empty; got \(0, 16\)"),
    (lambda: plots.draw_rows(np.full((1, 16), np.nan), ax=one()), "must be finite"),
    (
        lambda: plots.draw_rows(PICTURES, ax=one(), image_shape=(3, 5)),
        r"multiply out to the 16 features; got 3 x 5 = 15",
    ),
    (lambda: plots.draw_rows(PICTURES, ax=one(), image_shape=(2, 4, 2)), r"\(height, width, 3\); got \(2, 4, 2\)"),
    (lambda: plots.draw_rows(PICTURES, ax=one(), n_columns=0), "`n_columns` must be a whole number >= 1; got 0"),
    (lambda: plots.draw_rows(PICTURES, ax=one(), scale="log"), "`scale` must be one of 'each', 'signed', 'unit'"),
    (lambda: plots.reconstructions(PICTURES, PICTURES[:2], axes=[one(), one()]), "must be of one shape"),
    (lambda: plots.reconstructions(PICTURES, PICTURES, axes=[one()]), "`axes` must be 2 axes, one an array; got 1"),
    (lambda: plots.tangents(PICTURES, ax=one()), r"`planes` must be of shape .* got \(6, 16\)"),
    (lambda: plots.spectrum(np.zeros(3), ax=one()), r"`values` must be of shape .* got \(3,\)"),
    (lambda: plots.contraction_curve([1], [1, 2], ax=one()), "`ratios` must be one a radius, 1; got 2"),
    (lambda: plots.saturation(np.zeros((0, 3)), ax=one()), r"`H` must hold codes; got an array of shape \(0, 3\)"),
    (lambda: plots.code_map(PICTURES[:1], ax=one()), r"n_rows >= 2; got \(1, 16\)"),
    (lambda: plots.code_map(PICTURES, [1], ax=one()), "`labels` must be one a row, 6; got 1"),
    (lambda: plots.code_map(PICTURES, ax=one(), method="tsne"), "`method` must be one of 'pca', 'umap'"),
    (lambda: plots.anomalies(np.zeros(5), PICTURES, axes=[one()] * 3), "`scores` must be one a row, 6; got 5"),
    (lambda: plots.anomalies(np.zeros(6), PICTURES, axes=[one()]), "`axes` must be 3 axes; got 1"),
]


@pytest.mark.parametrize(("draw", "words"), WRONG)
def test_wrong_arrays_are_one_line(draw: Any, words: str):
    with pytest.raises(ValueError, match=words) as caught:
        draw()
    assert "\n" not in str(caught.value)
