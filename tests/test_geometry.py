"""Tangent planes, spectra, contraction and saturation against NumPy's singular value decomposition and limits."""

import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array

from contractive.geometry import (
    Method,
    cheapest_method,
    contraction_curve,
    contraction_ratio,
    count_flops,
    effective_dimension,
    leading_singular_values,
    lipschitz_bound,
    map_spectra,
    map_tangents,
    max_tangents,
    mean_squared_entry,
    n_directions,
    on_sphere,
    participation_ratio,
    saturation,
    singular_values,
    tangents,
)
from contractive.geometry import _mapped as mapped
from contractive.geometry._tangents import _start
from contractive.jacobian import encoder_differential
from contractive.models import AutoEncoder, Stack, initialize
from registry import MODELS
from routes import jacobians, jit_for_once, one_layer

RNG = np.random.RandomState


def planes(model: Any, x: Any, n_tangents: int, **options: Any) -> np.ndarray:
    return np.asarray(map_for_once(partial(tangents, model, n_tangents=n_tangents, **options), x))


def map_for_once(function: Any, x: Any) -> Any:
    return jit_for_once(jax.vmap(function))(jnp.asarray(x))


def assert_orthonormal(rows: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(rows @ np.swapaxes(rows, -1, -2), np.eye(rows.shape[-2]) + 0 * rows[..., :1], atol=atol)


@pytest.mark.parametrize("name", MODELS)
def test_tangents_spectrum_and_dimension_are_those_of_numpys_decomposition(name, x64):
    model = MODELS[name]()
    x = RNG(0).uniform(size=(3, model.n_features))
    n_tangents = max(1, max_tangents(model) - 1)

    def all_ways(x: Any) -> Any:
        ways = [tangents(model, x, n_tangents, method=method, n_steps=2) for method in ("exact", "krylov")]
        images = [leading_singular_values(model, x, n_tangents, method="exact"), effective_dimension(model, x)]
        return ways, singular_values(model, x), images, jax.jacrev(model.encode)(x)

    both, spectra, (leading, dimensions), matrices = map_for_once(all_ways, x)
    expected = np.linalg.svd(matrices, compute_uv=False)
    np.testing.assert_allclose(spectra, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(leading, expected[:, :n_tangents], rtol=1e-7, atol=1e-7)
    squares, fourths = (expected**2).sum(axis=1), (expected**4).sum(axis=1)
    np.testing.assert_allclose(dimensions * fourths, squares**2, rtol=1e-10)
    assert (np.asarray(dimensions)[fourths == 0] == 0).all()
    assert expected.max() <= lipschitz_bound(model) * (1 + 1e-12)
    for found in both:
        assert_orthonormal(np.asarray(found), 1e-12)
        for J, rows in zip(np.asarray(matrices), np.asarray(found), strict=True):
            assert_leading(J, rows)


def assert_leading(J: np.ndarray, rows: np.ndarray) -> None:
    """The rows are as long after J as its singular vectors, and are them, sign included, where they are unique."""
    _, values, vectors = np.linalg.svd(J)
    np.testing.assert_allclose(np.linalg.norm(J @ rows.T, axis=0), values[: len(rows)], atol=1e-7)
    gaps = -np.diff([np.inf, *values, 0])
    for number, row in enumerate(rows):
        if min(gaps[number], gaps[number + 1], values[number]) > 1e-3:
            vector = vectors[number] * np.sign(vectors[number][np.abs(vectors[number]).argmax()])
            np.testing.assert_allclose(row, vector, atol=1e-8)


def decaying(sizes: tuple[int, ...], rate: float, seed: int = 0, dtype: Any = np.float32, activation="tanh") -> Stack:
    """Layers whose weights have singular values 3 rate^k."""
    rng, layers = RNG(seed), []
    for below, above in zip(sizes, sizes[1:], strict=False):
        rank = min(below, above)
        left, right = (np.linalg.qr(rng.normal(size=(size, rank)))[0] for size in (above, below))
        weight = (left * 3 * rate ** np.arange(rank)) @ right.T
        parts = weight, rng.normal(size=above) / 4, np.zeros(below)
        layers.append(AutoEncoder(*(jnp.asarray(part.astype(dtype)) for part in parts), activation=activation))
    return Stack(tuple(layers))


@pytest.mark.parametrize("sizes", [(60, 80, 70), pytest.param((50, 90), marks=pytest.mark.slow)])
def test_the_krylov_space_holds_the_exact_tangents_where_the_spectrum_decays(sizes):
    model, x = decaying(sizes, 0.8), RNG(2).normal(size=(4, sizes[0])).astype(np.float32)
    exact = planes(model, x, 5, method="exact")
    krylov = planes(model, x, 5, method="krylov", oversampling=5, n_steps=3)
    few = planes(model, x, 5, method="krylov", oversampling=0, n_steps=1)
    assert_orthonormal(exact, 3e-6)
    assert_orthonormal(krylov, 3e-6)

    def largest_angle(rows: np.ndarray) -> float:
        cosines = np.linalg.svd(rows @ np.swapaxes(exact, -1, -2), compute_uv=False)
        return float(np.sqrt(np.maximum(0, 1 - cosines.min() ** 2)))

    assert largest_angle(krylov) < 2e-2
    assert largest_angle(few) > 5 * largest_angle(krylov)
    energies = [np.sum((jacobians(model, x) @ np.swapaxes(rows, -1, -2)) ** 2, axis=(1, 2)) for rows in (exact, krylov)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-4)


@pytest.mark.parametrize("n_steps", [pytest.param(1, marks=pytest.mark.slow), 2, 3])
def test_no_better_tangents_lie_in_the_krylov_space(n_steps, x64):
    model, x = decaying((40, 50, 30), 0.95, dtype=np.float64), RNG(9).normal(size=(2, 40))
    found = planes(model, x, 3, method="krylov", oversampling=1, n_steps=n_steps)
    start = np.asarray(_start(encoder_differential(model, model.forward(jnp.asarray(x[0]))), 4))
    for J, rows in zip(jacobians(model, x), found, strict=True):
        powers = [np.linalg.matrix_power(J @ J.T, power) @ J @ start.T for power in range(n_steps)]
        left = np.linalg.qr(np.hstack([power / np.linalg.norm(power) for power in powers]))[0]
        expected = np.linalg.svd(left.T @ J)[2][:3]
        np.testing.assert_allclose(np.abs(rows @ expected.T), np.eye(3), atol=1e-7)


@pytest.mark.parametrize("method", ["exact", "krylov"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 1e18])
def test_rows_are_orthonormal_at_any_scale_and_rank(method, scale):
    weight = np.zeros((12, 10))
    weight[:2, :4] = RNG(3).normal(size=(2, 4))  # of rank 2
    model = AutoEncoder(
        jnp.asarray((scale * weight).astype(np.float32)), jnp.zeros(12), jnp.zeros(10), activation="linear"
    )
    rows = planes(model, np.zeros((1, 10), np.float32), 6, method=method)[0]
    assert_orthonormal(rows, 3e-6)
    if scale > 0:
        np.testing.assert_allclose(np.sum((weight @ rows[:2].T) ** 2), np.sum(weight**2), rtol=1e-5)


@pytest.mark.parametrize("method", ["exact", "krylov"])
def test_the_entry_of_the_largest_magnitude_is_positive(method):
    model, x = decaying((20, 30), 0.7), RNG(4).normal(size=(8, 20)).astype(np.float32)
    rows = planes(model, x, 4, method=method)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=-1, keepdims=True), axis=-1)
    assert (largest > 0).all()
    assert (rows < 0).any()


@pytest.mark.parametrize("method", ["exact", "krylov"])
def test_the_other_rows_of_a_batch_change_nothing(method, quickly_compiled):
    model, x = decaying((20, 30, 15), 0.6), RNG(5).normal(size=(7, 20)).astype(np.float32)
    whole = map_tangents(model, x, 2, method=method)
    for row in (0, 6):
        np.testing.assert_allclose(map_tangents(model, x[row : row + 1], 2, method=method)[0], whole[row], atol=1e-4)


@pytest.mark.parametrize("kind", [csr_array, np.asarray])
def test_rows_of_every_kind(kind, quickly_compiled):
    model, pixels = decaying((20, 15), 0.6), (RNG(6).uniform(size=(5, 20)) * 255).astype(np.uint8)
    expected = planes(model, pixels / np.float32(256), 2)
    np.testing.assert_allclose(map_tangents(model, kind(pixels), 2, uint8_scale=256), expected, atol=1e-5)


def test_a_file_holds_the_same_tangents_and_memory_stays_bounded(tmp_path, monkeypatch, quickly_compiled):
    model, x = decaying((200, 15), 0.8), RNG(7).normal(size=(3000, 200)).astype(np.float32)
    monkeypatch.setattr(mapped, "_CHUNK_BYTES", 1 << 18)
    in_memory = map_tangents(model, x, 3)
    assert type(in_memory) is np.ndarray
    assert in_memory.dtype == np.float32
    tracemalloc.start()
    in_file: Any = map_tangents(model, x, 3, max_bytes=in_memory.nbytes - 1, folder=tmp_path / "new")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < in_memory.nbytes / 4
    assert isinstance(in_file, np.memmap)
    assert in_file.filename is not None
    assert [*(tmp_path / "new").iterdir()] == [Path(in_file.filename)]
    assert in_file.dtype == np.float16
    np.testing.assert_allclose(in_file, in_memory, rtol=2**-10, atol=1e-7)
    np.testing.assert_array_equal(np.load(in_file.filename), in_file)


def test_no_file_is_left_when_a_row_fails(tmp_path):
    class Rows:
        shape = 4, 6

        def __getitem__(self, _: Any) -> Any:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        map_tangents(one_layer(6, 4, rng=RNG(0)), Rows(), 2, max_bytes=0, folder=tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_tangents": 0}, "`n_tangents` must be a whole number >= 1; got 0."),
        ({"n_tangents": 4}, "`n_tangents` must be <= 3, the rank of the Jacobian of 6-3-5 units; got 4."),
        ({"n_tangents": 2, "method": "best"}, "`method` must be one of 'auto', 'exact', 'krylov'; got 'best'."),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options, words):
    model = initialize(6, 5, rng=RNG(0), hidden_layer_sizes=(3,))
    x = np.ones((1, 6), np.float32)
    for refused in (lambda: map_tangents(model, x, **options), lambda: tangents(model, jnp.asarray(x[0]), **options)):
        with pytest.raises(ValueError, match=".") as caught:
            refused()
        assert str(caught.value) == words


@pytest.mark.parametrize(
    ("sizes", "method"),
    [
        ((784, 2000, 2000), Method.KRYLOV),
        ((784, 500), Method.KRYLOV),
        ((784, 1000, 20), Method.EXACT),
        ((64, 30), Method.EXACT),
        ((784, 100), Method.EXACT),
    ],
)
def test_the_method_with_fewer_operations_is_taken(sizes, method):
    model = initialize(sizes[0], sizes[-1], rng=RNG(0), hidden_layer_sizes=sizes[1:-1])
    assert cheapest_method(model, 15) == method


def test_operations_are_counted_as_the_compiler_counts_them():
    model, batch = initialize(300, 250, rng=RNG(0), hidden_layer_sizes=(400,)), 8
    function = jax.vmap(partial(tangents, n_tangents=5, method="krylov", oversampling=1, n_steps=3), in_axes=(None, 0))
    compiled = jit_for_once(function).lower(model, jax.ShapeDtypeStruct((batch, 300), jnp.float32)).compile()
    counted = compiled.cost_analysis()["flops"]  # type: ignore[index]
    shared = 4 * 2 * 2 * 6 * (300 * 400 + 400 * 250) + 2 * 6 * 300 * 400  # the start, and its first product
    ours = batch * count_flops(model, Method.KRYLOV, 6, 3) + shared
    np.testing.assert_allclose(ours, counted, rtol=0.2)


@pytest.mark.parametrize("name", ["sigmoid tied cross-entropy", "deep tied", "convolution"])
def test_the_contraction_ratio_tends_to_the_directional_derivative(name, x64):
    model, key = MODELS[name](), jax.random.key(3)
    x = jnp.asarray(RNG(0).uniform(size=model.n_features))
    direction = np.asarray(on_sphere(x, jnp.asarray(1.0), key=key) - x)
    expected = np.linalg.norm(jacobians(model, x[None])[0] @ direction)
    np.testing.assert_allclose(contraction_ratio(model, x, jnp.asarray(1e-6), key=key), expected, rtol=1e-5)
    np.testing.assert_allclose(mean_squared_entry(model, x), np.mean(jacobians(model, x[None]) ** 2), rtol=1e-10)


@pytest.mark.parametrize("radius", [1e-3, 1.0, 30.0])
def test_points_lie_uniformly_on_the_sphere(radius, x64):
    x, keys = jnp.asarray([1.0, -2.0, 3.0]), jax.random.split(jax.random.key(0), 4000)
    points = np.asarray(jax.vmap(lambda key: on_sphere(x, jnp.asarray(radius), key=key))(keys) - x)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), radius, rtol=1e-9)
    np.testing.assert_allclose(points.mean(axis=0) / radius, 0, atol=0.05)
    np.testing.assert_allclose(points.T @ points / len(points) / radius**2, np.eye(3) / 3, atol=0.03)


def test_the_contraction_curve_is_the_mean_of_the_ratios(monkeypatch):
    model, x = decaying((20, 15), 0.9), RNG(8).uniform(size=(11, 20)).astype(np.float32)
    keys = [jax.random.fold_in(jax.random.key(5), row) for row in range(11)]
    expected = [
        np.mean(
            [contraction_ratio(model, jnp.asarray(r), jnp.float32(radius), key=k) for r, k in zip(x, keys, strict=True)]
        )
        for radius in (0.1, 4.0)
    ]
    whole = contraction_curve(model, x, [0.1, 4.0], seed=5)
    np.testing.assert_allclose(whole, np.array(expected), rtol=1e-4)
    monkeypatch.setattr("contractive.geometry._contraction.MAX_BLOCK_FLOATS", 4 * 2 * 35 * 4)
    np.testing.assert_allclose(contraction_curve(model, csr_array(x), [0.1, 4.0], seed=5), whole, rtol=1e-5)
    assert abs(contraction_curve(model, x, [4.0], seed=6)[0] - whole[1]) > 1e-4


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan])
def test_a_radius_must_be_positive(radius):
    with pytest.raises(ValueError, match="`radii` must be > 0; got"):
        contraction_curve(one_layer(6, 4, rng=RNG(0)), np.ones((1, 6), np.float32), [1.0, radius], seed=0)


def test_saturation_of_known_numbers():
    h = jnp.asarray([0.0, 0.049, 0.05, 0.5, 0.95, 0.951, 1.0, 0.2])
    np.testing.assert_allclose(saturation(h), 4 / 8)


def test_participation_counts_equal_values_and_nothing_of_nothing():
    values = RNG(0).uniform(size=20)
    weights = values**2 / (values**2).sum()
    np.testing.assert_allclose(participation_ratio(jnp.asarray(values)), 1 / (weights**2).sum(), rtol=1e-5)
    for scale in (1.0, 1e-25, 1e25):  # whose squares are out of float32's range
        assert participation_ratio(jnp.asarray([scale] * 7 + [0.0] * 9)) == pytest.approx(7)
    assert participation_ratio(jnp.zeros(4)) == 0


def test_directions_above_a_share_are_counted():
    values = jnp.asarray([8.0, 4.0, 2.0, 1.0, 0.0])
    assert [int(n_directions(values, share)) for share in (0.0, 0.2, 0.25, 0.6)] == [4, 3, 2, 1]
    assert n_directions(jnp.zeros(3)) == 0


@pytest.mark.parametrize("name", MODELS)
def test_the_bound_is_the_product_of_those_of_the_layers(name):
    model = MODELS[name]()
    if model.encoder_layers is None:
        assert lipschitz_bound(model) == np.inf
        return
    product = 1.0
    for layer in model.encoder_layers:
        weight = np.asarray(layer.weight, float)
        product *= np.sqrt(np.linalg.eigvalsh(weight @ weight.T)[-1]) * layer.activation.steepest
    assert lipschitz_bound(model) == pytest.approx(product, rel=1e-6)


def test_no_two_codes_are_further_apart_than_the_bound_says():
    model = decaying((6, 9, 4), 0.9)
    x = RNG(0).normal(scale=3, size=(200, 6)).astype(np.float32)
    codes = np.asarray(map_for_once(model.encode, x))
    distances = np.linalg.norm(x[:, None] - x, axis=-1) + np.eye(len(x))
    ratios = np.linalg.norm(codes[:, None] - codes, axis=-1) / distances
    assert 0.05 * lipschitz_bound(model) < ratios.max() <= lipschitz_bound(model)


def test_the_bound_is_met_by_a_linear_code():
    model = initialize(6, 4, rng=RNG(0), activation="linear")
    assert lipschitz_bound(model) == pytest.approx(float(singular_values(model, jnp.ones(6))[0]), rel=1e-6)


def test_few_values_of_a_large_encoder_are_close_and_never_above():
    model = initialize(200, 150, rng=RNG(0))
    x = RNG(1).uniform(size=(8, 200)).astype("float32")
    assert cheapest_method(model, 5) == Method.KRYLOV
    found = map_spectra(model, x, 5)
    expected = np.linalg.svd(np.asarray(map_for_once(jax.jacrev(model.encode), x)), compute_uv=False)[:, :5]
    assert (found <= expected * (1 + 1e-5)).all()
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_a_wrong_number_of_values_is_one_line():
    model = initialize(6, 4, rng=RNG(0))
    with pytest.raises(ValueError, match="`n_values` must be <= 4, the rank of the Jacobian of 6-4 units; got 5"):
        map_spectra(model, np.eye(6), 5)
    with pytest.raises(ValueError, match="`n_values` must be a whole number >= 1; got 0"):
        map_spectra(model, np.eye(6), 0)
    with pytest.raises(ValueError, match="`method`"):
        map_spectra(model, np.eye(6), 2, method="guess")


def test_where_nothing_changes_there_is_no_dimension():
    flat = AutoEncoder(jnp.zeros((3, 5)), jnp.zeros(3), jnp.zeros(5))
    assert effective_dimension(flat, jnp.ones(5)) == 0
    saturated = AutoEncoder(jnp.eye(3) * 1.0, jnp.full(3, -40.0), jnp.zeros(3))  # slopes of 4e-18
    assert effective_dimension(saturated, jnp.zeros(3)) == pytest.approx(3)
