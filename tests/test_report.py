"""The report page: its numbers are the library's, what it shows is text, and it needs nothing beside it."""

import base64
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from console import Outcome
from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder, geometry
from contractive.models import AutoEncoder, initialize
from contractive.plots import as_pictures, picture_shape
from contractive.report import About, _page, render_report, write_report
from contractive.report._charts import Line, histogram, line_chart
from contractive.report._measure import draw_sample, measure
from contractive.report._pictures import diverging_palette, png_uri
from contractive.report._playground import MAX_WEIGHTS, describe_model
from contractive.report._words import _duration, _kind, number
from pages import Page, assert_alone
from toys import X, small

Call = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("module_quickly_compiled")

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(2)> \u202eשלום\u202c 🦆 {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def cae(module_quickly_compiled: None) -> ContractiveAutoencoder:
    return small(n_components=12, max_epochs=3).fit(X)


@pytest.fixture(scope="module")
def page(cae: ContractiveAutoencoder) -> Page:
    return Page(render_report(cae, X, about=About("digits", "digits"), n_rows=60))


def test_numbers_on_the_page_are_the_librarys(cae: ContractiveAutoencoder, page: Page):
    numbers = np.random.default_rng(0).choice(len(X), 60, replace=False)
    rows = X[numbers]
    facts = page.facts()
    assert facts["effective dimension, median"] == number(float(np.median(cae.effective_dimension(rows))))
    assert facts["mean ‖J‖"] == number(float(cae.contraction_norm(rows).mean()))
    assert facts["largest singular value found"] == number(float(cae.spectrum(rows).max()))
    assert facts["Lipschitz bound, over all inputs"] == number(geometry.lipschitz_bound(cae.model_))
    assert facts["reconstruction error, last epoch"] == number(cae.history_[-1].reconstruction_error)
    assert facts["‖J‖, last epoch"] == number(cae.history_[-1].jacobian_norm)
    assert facts["units"] == "64 → 12"
    assert any(f"is {number(float(-cae.score(rows)))} on average" in text for text in page.text)
    # Each filter carries what it is sorted by.
    np.testing.assert_allclose(page.numbers("button", "data-use"), cae.transform(rows).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(page.numbers("button", "data-norm"), np.linalg.norm(cae.components_, axis=1), rtol=1e-4)
    # The least typical rows come first, with their errors.
    errors = -cae.score_samples(rows)
    shown = [text for text in page.text if re.fullmatch(r"[\d.]+", text)]
    assert [number(float(error)) for error in np.sort(errors)[::-1][:3]] == [
        text for text in shown if text in {number(float(error)) for error in np.sort(errors)[::-1][:3]}
    ]


def test_page_carries_the_model_and_the_first_rows(cae: ContractiveAutoencoder, page: Page):
    play = json.loads(page.scripts["play"])
    floats = np.frombuffer(base64.b64decode(page.scripts["weights"]), "<f4")
    (encoder,), (decoder,) = play["model"]["encoder"], play["model"]["decoder"]
    weight = floats[encoder["weight"] : encoder["weight"] + 64 * 12].reshape(12, 64)
    np.testing.assert_array_equal(weight, cae.components_)
    np.testing.assert_array_equal(floats[encoder["bias"] : encoder["bias"] + 12], cae.intercept_)
    np.testing.assert_array_equal(floats[decoder["bias"] : decoder["bias"] + 64], cae.visible_intercept_)
    assert (decoder["transposed"], decoder["weight"], len(floats)) == (True, encoder["weight"], 64 * 12 + 12 + 64)
    numbers = np.random.default_rng(0).choice(len(X), 60, replace=False)
    rows = np.frombuffer(base64.b64decode(page.scripts["example-rows"]), "<f4").reshape(-1, 64)
    np.testing.assert_array_equal(rows, X[numbers][:10])


def test_page_needs_nothing_beside_it(page: Page):
    assert_alone(page)


def test_hostile_names_are_text(tmp_path: Path):
    names = [HOSTILE, *(f"n{number}" for number in range(11))]
    frame = pd.DataFrame(X[:40, 10:22].astype(float), columns=names)
    estimator = small(n_components=3, max_epochs=1).fit(frame)
    config = {"versions": {HOSTILE: HOSTILE}, "contractive": HOSTILE}
    html = render_report(estimator, frame.to_numpy(), about=About(HOSTILE, HOSTILE, config))
    page = Page(html)
    assert_alone(page)
    assert {tag for tag, _ in page.elements} & {"img", "svg"} == {"svg"}
    assert [own.get("id") for tag, own in page.elements if tag == "script"] == [
        "play",
        "weights",
        "example-rows",
        None,
        None,
        None,
    ]
    assert HOSTILE in "".join(page.text)
    assert json.loads(page.scripts["play"])["names"] == names
    assert any(own.get("aria-label") == HOSTILE for tag, own in page.elements if tag == "input")


def profile_estimator(**parameters: Any) -> Any:
    return small(loss="squared_error", max_epochs=1, **parameters)


KINDS: dict[str, Any] = {
    "untied": lambda: small(tied_weights=False),
    "deep": lambda: small(hidden_layer_sizes=(10, 5), activation="tanh"),
    "deep, untied": lambda: small(hidden_layer_sizes=(10,), tied_weights=False, activation="softplus"),
    "masking": lambda: small(DenoisingAutoencoder, corruption_level=0.5),
    "salt and pepper": lambda: small(DenoisingAutoencoder, corruption="salt_and_pepper"),
    "gaussian": lambda: small(DenoisingAutoencoder, corruption="gaussian", activation="gelu"),
    "relu": lambda: profile_estimator(activation="relu"),
    "linear, one unit": lambda: profile_estimator(activation="linear", n_components=1),
    "higher order": lambda: small(hessian_weight=0.1),
    "early stopping": lambda: small(early_stopping=True),
    "stack": lambda: StackedAutoencoder([small(), small(DenoisingAutoencoder, n_components=4)], random_state=0),
    "stack, jointly": lambda: StackedAutoencoder(
        [small(DenoisingAutoencoder), small(n_components=4, loss="squared_error")], joint_epochs=1, random_state=0
    ),
}


COVERED = {"deep, untied", "masking", "linear, one unit", "early stopping", "stack, jointly"}
OF_KINDS = [pytest.param(kind, marks=() if kind in COVERED else pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize("kind", OF_KINDS)
def test_every_kind_of_model_has_a_page(kind: str):
    estimator = KINDS[kind]().fit(X[:60])
    page = Page(render_report(estimator, X, about=About(kind, "digits"), n_rows=20))
    assert_alone(page)
    words = " ".join(page.text)
    assert ("Corrupted input" in words) == (kind in ("masking", "salt and pepper", "gaussian", "stack, jointly"))
    assert ("Layer 2" in words) == kind.startswith("stack")
    assert ("held out" in words) == (kind == "early stopping")
    play = json.loads(page.scripts["play"])
    assert play["n_tangents"] == min(5, geometry.max_tangents(estimator.model_))
    assert "nan" not in " ".join(value for _, own in page.elements for value in own.values()).lower().split()


def test_corrupted_rows_are_as_the_parameters_say():
    dae = small(DenoisingAutoencoder, corruption_level=0.5, max_epochs=1).fit(X)
    corrupted = dae.corrupt(X, random_state=1)
    np.testing.assert_array_equal(corrupted, dae.corrupt(X, random_state=1))
    kept = X != 0
    assert np.isin(corrupted, [0]).sum() > (X == 0).sum()
    np.testing.assert_array_equal(corrupted[kept & (corrupted != 0)], X[kept & (corrupted != 0)])
    assert np.mean(corrupted[kept] == 0) == pytest.approx(0.5, abs=0.03)
    bytes_of = np.round(X * 255).astype(np.uint8)
    np.testing.assert_allclose(
        dae.corrupt(bytes_of, random_state=1), np.where(corrupted == 0, 0, bytes_of / 256), atol=1e-6
    )


TABLE = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 30])
def test_few_rows_and_constant_columns_have_a_page(rows: int):
    data = TABLE.copy()
    data[:, 2] = 3.0
    estimator = ContractiveAutoencoder(3, max_epochs=1, random_state=0).fit(data)
    page = Page(render_report(estimator, data[:rows]))
    assert_alone(page)
    sliders = [own for tag, own in page.elements if own.get("class") == "value"]
    assert len(sliders) == (0 if rows == 1 else 4)
    assert "the same in all rows" in " ".join(page.text)
    for own in sliders:
        assert float(own["min"]) < float(own["max"])


def test_rows_that_are_all_the_same_have_a_page():
    data = np.full((5, 16), 0.5, np.float32)
    estimator = ContractiveAutoencoder(2, max_epochs=1, random_state=0).fit(data)
    html = render_report(estimator, data)
    assert "nan" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL).lower().split()
    assert not re.search(r'(x|y|width|height|points)="[^"]*(nan|inf)', html)


def test_colours_and_a_shape_that_is_told():
    data = np.random.default_rng(0).uniform(size=(20, 48)).astype(np.float32)
    estimator = small(n_components=3, max_epochs=1).fit(data)
    for shape, expected in ((None, [4, 4, 3]), ((6, 8), [6, 8]), ((1, 48), None)):
        page = Page(render_report(estimator, data, image_shape=shape))
        assert json.loads(page.scripts["play"])["shape"] == expected
        assert any(own.get("id") == "ink" for _, own in page.elements) == (expected == [4, 4, 3])
    with pytest.raises(ValueError, match=r"`image_shape` must multiply out to the 48 features; got 5 x 5 = 25"):
        render_report(estimator, data, image_shape=(5, 5))


def test_model_that_is_too_large_to_be_carried_leaves_the_playground_out(
    cae: ContractiveAutoencoder, monkeypatch: pytest.MonkeyPatch
):
    assert MAX_WEIGHTS == 4194304
    monkeypatch.setattr("contractive.report._page.MAX_WEIGHTS", 100)
    page = Page(render_report(cae, X[:20]))
    assert "play" not in page.scripts
    assert any("844 numbers, more than the 100 that a page carries" in text for text in page.text)


def test_same_seed_same_page_other_seed_other_rows(cae: ContractiveAutoencoder):
    one, same, other = (render_report(cae, X, n_rows=20, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert Page(one).scripts["example-rows"] != Page(other).scripts["example-rows"]


def test_sample_is_drawn_without_replacement_and_scaled(cae: ContractiveAutoencoder):
    bytes_of = np.arange(128 * 64, dtype=np.uint8).reshape(128, 64)
    sample = draw_sample(cae, bytes_of, n_rows=100, seed=3)
    assert len(set(sample.numbers.tolist())) == 100
    np.testing.assert_array_equal(sample.rows, bytes_of[sample.numbers].astype(np.float32) / 256)
    assert (sample.n_all, sample.rows.dtype) == (128, np.float32)


def test_contraction_is_drawn_in_random_directions_and_between_rows(cae: ContractiveAutoencoder):
    measured = measure(cae, draw_sample(cae, X, n_rows=30, seed=0), seed=0)
    rows, codes = measured.sample.rows.astype(float), cae.transform(measured.sample.rows).astype(float)
    distances = np.linalg.norm(rows[:, None] - rows, axis=2) + np.where(np.eye(30), np.inf, 0)
    between = measured.between
    assert between is not None
    np.testing.assert_allclose(between.nearest, distances.min(axis=1), rtol=1e-6)
    ratios = np.linalg.norm(codes[:, None] - codes, axis=2) / distances
    assert ratios[ratios > 0].min() < between.means.min() <= between.means.max() < ratios.max()
    page = Page(render_report(cae, X, n_rows=30))
    summaries = [own["aria-label"] for _, own in page.elements if own.get("aria-label", "").startswith("Mean contr")]
    assert [f"between rows from {number(float(between.means[0]))} at" in text for text in summaries] == [True]
    bands = [own["class"] for tag, own in page.elements if tag == "polygon"]
    assert bands == ["band series-0", "band series-1"]  # of the spectrum, and between rows


@pytest.mark.parametrize("rows", [X[:1], X[[3, 3, 3]]])
def test_one_row_or_equal_ones_say_that_nothing_is_known_between_rows(cae: ContractiveAutoencoder, rows: np.ndarray):
    assert "no two of them differ" in render_report(cae, rows)
    assert "no two of them differ" not in render_report(cae, X[:2])


def test_pictures_are_what_they_should_be(tmp_path: Path):
    from matplotlib.image import imread

    def read(uri: str) -> np.ndarray:
        (tmp_path / "x.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
        return np.round(imread(tmp_path / "x.png") * 255).astype(int)

    ramp = np.linspace(0, 1, 6).reshape(2, 3)
    np.testing.assert_array_equal(read(png_uri(ramp)), np.round(ramp * 255))
    colours = np.random.default_rng(0).uniform(size=(2, 3, 3))
    np.testing.assert_array_equal(read(png_uri(colours)), np.round(colours * 255))
    palette = diverging_palette()
    np.testing.assert_array_equal(
        read(png_uri(ramp, palette=palette))[..., :3], palette[np.round(ramp * 255).astype(int)]
    )
    assert picture_shape(48) == (4, 4, 3)
    np.testing.assert_array_equal(
        as_pictures(np.array([[-2.0, 0, 1, 2]]), (2, 2), scale="signed"), [[[0, 0.5], [0.75, 1]]]
    )


def test_one_feature_of_doubles_has_a_page_and_lines_to_be_seen():
    rows = np.random.default_rng(0).normal(size=(30, 1))
    estimator = small(n_components=5, loss="squared_error").fit(rows)
    page = Page(render_report(estimator, rows))
    points = [own["points"] for tag, own in page.elements if tag == "polyline"]
    assert points
    assert all(len(line.split()) > 1 for line in points[-20:])


@pytest.mark.parametrize("factor", [1e100, 1e-100])
def test_data_beyond_the_arithmetic_of_a_page_are_refused(factor: float):
    rows = factor * np.random.default_rng(0).normal(size=(30, 3))
    estimator = small(n_components=2, loss="squared_error").fit(rows / factor)
    with pytest.raises(ValueError, match=r"the data must fit float32, in which a page computes; got .*Scale the data"):
        draw_sample(estimator, rows, n_rows=10, seed=0)


def test_named_columns_are_no_picture():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 16)), columns=[f"col{k}" for k in range(16)])
    estimator = small(n_components=4, loss="squared_error").fit(frame)
    assert "col7" in render_report(estimator, frame.to_numpy())
    assert "col7" not in render_report(estimator, frame.to_numpy(), image_shape=(4, 4))


def test_page_tells_what_was_trained_on_from_what_is_shown(cae: ContractiveAutoencoder):
    config = {"data": {"name": "old.npy", "shape": [1000, 64]}}
    facts = Page(render_report(cae, X, about=About("run", "new.npy", config), n_rows=20)).facts()
    assert facts["Data"] == "old.npy"
    assert facts["Rows trained on"].startswith("1,000 of")
    assert facts["Rows shown here"] == f"of new.npy, which has {len(X):,}"
    odd = Page(
        render_report(cae, X, about=About("run", "new.npy", {"data": {"name": "", "shape": [-5, 8]}}), n_rows=20)
    )
    assert odd.facts()["Data"] == "new.npy"
    assert odd.facts()["Rows trained on"].startswith(f"{len(X):,} of")


def test_a_name_that_is_no_utf_8_is_shown_as_far_as_it_goes(cae: ContractiveAutoencoder, tmp_path: Path):
    write_report(tmp_path / "r.html", cae, X, about=About("bad\udcff", "data"), n_rows=20)
    assert "bad?" in (tmp_path / "r.html").read_text()


def test_charts_place_values_where_they_belong():
    chart = line_chart([Line([0, 10], [1.0, 100.0])], x_label="x", y_label="y", summary="s", y_log=True)
    assert chart.lines == [("52.0,180.0 344.0,12.0", "")]
    assert chart.dots == [[(52, 180), (344, 12)]]
    assert [text for _, text in chart.y_ticks] == ["1", "10", "100"]
    assert [place for place, _ in chart.y_ticks] == pytest.approx([180, 96, 12])
    flat = line_chart([Line([1], [0.0])], x_label="x", y_label="y", summary="s", y_log=True)
    assert flat.lines == []
    same = np.array([1.0, 1 + 2.3e-16, 1 - 1.2e-16])  # but for rounding
    assert len(histogram(same, x_label="x", y_label="y", summary="s").bars) == 3
    small_steps = line_chart([Line([0, 1], [0.0, 3e-15])], x_label="x", y_label="y", summary="s")
    assert [text for _, text in small_steps.y_ticks] == ["0", "1e-15", "2e-15", "3e-15"]
    many = Line(np.arange(31), np.arange(31), "many", low=np.arange(31) - 1, high=np.arange(31))
    two = line_chart([Line([0], [0]), many], x_label="x", y_label="y", summary="s")
    assert [bool(band) for band in two.bands] == [False, True]
    assert [len(dots) for dots in two.dots] == [1, 0]
    bars = histogram(np.array([0.0, 0.0, 0.0, 1.0]), x_label="x", y_label="y", summary="s").bars
    assert [height for *_, height in bars] == [168, 0, 0, 56]


def test_long_curves_are_drawn_with_no_more_points_than_are_seen():
    chart = line_chart([Line(np.arange(9000), np.arange(9000.0))], x_label="x", y_label="y", summary="s")
    assert len(chart.lines[0][0].split()) == 400
    ends = line_chart([Line([0, 8999], [0.0, 8999.0])], x_label="x", y_label="y", summary="s").lines[0][0].split()
    assert [chart.lines[0][0].split()[end] for end in (0, -1)] == ends


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 seconds"), (89, "89.0 seconds"), (90, "1.5 minutes"), (5399, "90.0 minutes"), (5400, "1.5 hours")],
)
def test_durations_are_told_in_units_that_fit(seconds: float, words: str):
    assert _duration(seconds) == words


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"hessian_weight": 0.1}, "higher-order contractive auto-encoder"),
        ({"contraction": 0}, "plain auto-encoder"),
        ({"contraction": 0.1}, "contractive auto-encoder"),
    ],
)
def test_the_kind_of_model_is_what_its_penalties_make_it(parameters: dict[str, Any], kind: str):
    assert _kind(small(**parameters)) == kind


def test_nonlinearity_of_ones_own_is_refused_by_the_playground():
    own = AutoEncoder(jnp.zeros((2, 4)), jnp.zeros(2), jnp.zeros(4), activation=jnp.sin)
    with pytest.raises(TypeError, match="`activation` must be a name for the browser to know it"):
        describe_model(own)


@pytest.mark.parametrize(("sizes", "is_log"), [((7.0, 7.0), False), ((7.0, 0.01), True), ((7.0, 0.0), False)])
def test_layers_whose_errors_differ_in_size_are_seen_side_by_side(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[float, float], is_log: bool
):
    stack = StackedAutoencoder([small(n_components=4, max_epochs=1), small(n_components=3, max_epochs=1)]).fit(X)
    parts = [
        (name, [record._replace(reconstruction_error=size) for record in records])
        for (name, records), size in zip(_page.describe_training(stack), sizes, strict=True)
    ]
    monkeypatch.setattr(_page, "describe_training", lambda estimator: parts)
    html = render_report(stack, X[:20])
    chart = html[html.index('aria-label="Curve of the reconstruction error') :]
    ticks = re.findall('text-anchor="end">(.*?)<', chart[: chart.index("</svg>")])
    assert ({"0.01", "0.1", "1"} <= set(ticks)) == is_log


def test_a_code_that_does_not_change_has_a_spectrum_of_zeros(cae: ContractiveAutoencoder):
    still = copy.deepcopy(cae)
    still.model_ = eqx.tree_at(lambda model: model.hidden_bias, still.model_, cae.intercept_ + 1e4)
    for estimator, is_still in ((still, True), (cae, False)):
        html = render_report(estimator, X[:20])
        assert ("Here they are 0" in html) == is_still
        chart = html[html.index('aria-label="Singular values') :]
        assert "polyline" in chart[: chart.index("</svg>")]


@pytest.mark.parametrize("scale", [1.0, 1e6, -1e6, 1e300, 1e-300])
def test_the_words_beside_a_chart_are_inside_of_it_and_all_different(scale: float):
    x, y = np.sort(scale * np.r_[1, 1.004]), scale * np.r_[1.23456, 1.23467, 1.2346]
    for chart in (
        line_chart([Line(x, y[:2])], x_label="x", y_label="y", summary=""),
        histogram(y, x_label="x", y_label="rows", summary=""),
    ):
        words = [text for _, text in chart.y_ticks]
        assert len(set(words)) == len(words) > 1
        assert chart.left - 6 - 6 * max(map(len, words)) >= 18, "beside the label that is turned"
        assert max(place + 3 * len(text) for place, text in chart.x_ticks) <= chart.width
        for points, _ in chart.lines:
            places = [float(point.split(",")[0]) for point in points.split()]
            assert (min(places), max(places)) == (chart.left, chart.right)


def test_page_that_cannot_be_written_leaves_the_old_one(cae: ContractiveAutoencoder, tmp_path: Path):
    (tmp_path / "r.html").mkdir()
    with pytest.raises(OSError, match=r"r\.html"):
        write_report(tmp_path / "r.html", cae, X[:10])
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.slow
def test_tutorials_model_stays_within_6_megabytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("contractive.report._measure._SPECTRUM_WORK", 0)
    estimator = small(n_components=500, max_epochs=1).fit(np.zeros((2, 784), np.float32))
    estimator.model_ = initialize(784, 500, rng=np.random.RandomState(0), loss="cross_entropy")
    rows = np.random.default_rng(0).uniform(size=(20, 784)).astype(np.float32)
    assert len(render_report(estimator, rows).encode()) < 6e6  # filters of noise: the largest that they can be
