"""The supervised terms by second routes: NumPy, eigenvectors, least squares, finite differences."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax

from contractive.models import Classifier
from contractive.objectives import Objective, draw_key, row_key
from contractive.penalties import Contraction
from contractive.supervised import (
    Batch,
    SupervisedObjective,
    _objective,
    dropout,
    limit_norms,
    logits_with_dropout,
    smoothness,
    softmax_cross_entropy,
    tangent_propagation,
    tangent_propagation_estimate,
    two_sided_tangent_distance_sq,
    worst_direction,
)
from registry import FEATURES, MODELS
from routes import Directions, jacobians, jit_for_once, value_and_gradient

pytestmark = pytest.mark.usefixtures("x64")

KINDS = ("sigmoid tied cross-entropy", "stack of layers", "perceptron")
CLASSES = 3
KEY = jax.random.key(3)
ROWS = np.random.RandomState(1).rand(4, FEATURES)


def classifier_on(kind: str) -> Classifier:
    model, rng = MODELS[kind](), np.random.RandomState(0)
    weight, bias = rng.normal(size=(CLASSES, model.n_hidden)), rng.normal(size=CLASSES)
    return Classifier(model, jnp.asarray(weight), jnp.asarray(bias))


@pytest.fixture(params=KINDS)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    return classifier_on(request.param)


def outputs(classifier: Classifier, x: ArrayLike) -> np.ndarray:
    """The class probabilities, by SciPy."""
    code = np.asarray(jit_for_once(jax.vmap(classifier.autoencoder.encode))(jnp.atleast_2d(jnp.asarray(x))))
    return softmax(code @ np.asarray(classifier.weight).T + np.asarray(classifier.bias), axis=1)


def logit_jacobian(classifier: Classifier, x: np.ndarray) -> np.ndarray:
    """V J, with the encoder's Jacobian J by reverse mode."""
    return np.asarray(classifier.weight) @ jacobians(classifier.autoencoder, x[None])[0]


def spread(o: np.ndarray) -> np.ndarray:
    """The derivative diag(o) - o o^T of the soft-max, and the information of its logits."""
    return np.diag(o) - np.outer(o, o)


def output_jacobian(classifier: Classifier, x: np.ndarray) -> np.ndarray:
    """The derivative of the class probabilities."""
    return spread(outputs(classifier, x)[0]) @ logit_jacobian(classifier, x)


def over_rows(function: Any, *arrays: Any) -> np.ndarray:
    """A function of one row, or of one row and its company, at all of them."""
    return np.asarray(jit_for_once(jax.vmap(function))(*jax.tree.map(jnp.asarray, arrays)))


def planes(n_tangents: int = 2) -> np.ndarray:
    rng = np.random.RandomState(4)
    return np.stack([np.linalg.qr(rng.normal(size=(FEATURES, n_tangents)))[0].T for _ in ROWS])


def test_probabilities_are_scipys(classifier):
    np.testing.assert_allclose(over_rows(classifier.probabilities, ROWS), outputs(classifier, ROWS), rtol=1e-12)


def test_cross_entropy_is_minus_the_log_probability():
    logits = np.random.RandomState(0).normal(size=5) * 30
    for label in range(5):
        value = softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(label))
        np.testing.assert_allclose(value, -log_softmax(logits)[label], rtol=1e-12, atol=1e-12)


def test_dropout_keeps_the_mean_and_the_share():
    h = jnp.linspace(0.5, 2, 20_000)
    dropped = np.asarray(dropout(h, 0.3, key=KEY))
    kept = dropped != 0
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / len(kept))
    np.testing.assert_allclose(dropped[kept], np.asarray(h)[kept] / 0.7, rtol=1e-12)
    np.testing.assert_array_equal(dropout(h, 0.0, key=KEY), h)


def test_without_dropout_the_logits_are_the_logits(classifier):
    plain = over_rows(lambda x: logits_with_dropout(classifier, x, rate=0.0, input_rate=0.0, key=KEY), ROWS)
    np.testing.assert_allclose(plain, over_rows(classifier.logits, ROWS), rtol=1e-12)


def test_dropout_reaches_every_layer_and_the_input():
    classifier = classifier_on("linear untied")
    x = jnp.asarray(ROWS[0])
    keys = jax.random.split(KEY, 20_000)
    values = over_rows(lambda key: logits_with_dropout(classifier, x, rate=0.4, input_rate=0.3, key=key), keys)
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - classifier.logits(x)) < 4 * error).all()
    values = over_rows(lambda key: logits_with_dropout(classifier, x, rate=0.0, input_rate=0.3, key=key), keys)
    through = logit_jacobian(classifier, ROWS[0]) * ROWS[0]
    np.testing.assert_allclose(values.var(axis=0), np.sum(through**2, axis=1) * 0.3 / 0.7, rtol=0.05)


def test_tangent_propagation_is_the_jacobians(classifier):
    values = over_rows(lambda x, tangents: tangent_propagation(classifier, x, tangents), ROWS, planes())
    for x, tangents, value in zip(ROWS, planes(), values, strict=True):
        np.testing.assert_allclose(value, np.sum((output_jacobian(classifier, x) @ tangents.T) ** 2), rtol=1e-10)


def test_estimated_tangent_propagation_has_the_exact_mean():
    classifier = classifier_on("deep tied")
    x, tangents = jnp.asarray(ROWS[0]), jnp.asarray(planes(4)[0])

    def estimate(key: Any) -> Any:
        return tangent_propagation_estimate(classifier, x, tangents, n_probes=2, key=key)

    values = over_rows(estimate, jax.random.split(KEY, 4000))
    error = values.std() / np.sqrt(len(values))
    assert error > 0
    assert abs(values.mean() - tangent_propagation(classifier, x, tangents)) < 4 * error


def test_worst_direction_is_the_leading_eigenvector(classifier):
    directions = over_rows(lambda x: worst_direction(classifier, x, n_iterations=400, key=KEY), ROWS)
    for x, found in zip(ROWS, directions, strict=True):
        inner = logit_jacobian(classifier, x)
        values, vectors = np.linalg.eigh(inner.T @ spread(outputs(classifier, x)[0]) @ inner)
        np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-12)
        assert values[-1] > 1.0001 * values[-2], "the case does not tell the two apart"
        np.testing.assert_allclose(abs(found @ vectors[:, -1]), 1, rtol=1e-6)


def test_worst_direction_among_tangents_is_their_leading_eigenvector(classifier):
    def direction(x: Any, tangents: Any) -> Any:
        return worst_direction(classifier, x, n_iterations=400, key=KEY, tangents=tangents)

    for x, tangents, found in zip(ROWS, planes(3), over_rows(direction, ROWS, planes(3)), strict=True):
        inner = logit_jacobian(classifier, x) @ tangents.T
        values, vectors = np.linalg.eigh(inner.T @ spread(outputs(classifier, x)[0]) @ inner)
        assert values[-1] > 1.0001 * values[-2], "the case does not tell the two apart"
        np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-12)
        np.testing.assert_allclose(abs(found @ (vectors[:, -1] @ tangents)), 1, rtol=1e-6)


def test_where_there_are_no_tangents_there_is_no_step():
    classifier, x, none = classifier_on("sigmoid tied cross-entropy"), jnp.asarray(ROWS[0]), jnp.zeros((2, FEATURES))
    gradient = jax.grad(lambda c: smoothness(c, x, **STEP, tangents=none), allow_int=True)(classifier)
    assert smoothness(classifier, x, **STEP, tangents=none) == 0
    for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_inexact_array)):
        np.testing.assert_allclose(leaf, 0, atol=1e-15)


def test_worst_direction_exists_where_the_output_is_certain():
    classifier = classifier_on("sigmoid tied cross-entropy")
    sure = Classifier(classifier.autoencoder, classifier.weight, jnp.array([900.0, 0, 0]))
    x = jnp.asarray(ROWS[0])
    found = worst_direction(sure, x, n_iterations=3, key=KEY)
    np.testing.assert_allclose(jnp.linalg.norm(found), 1, rtol=1e-12)
    gradient = jax.grad(lambda bias: smoothness(Classifier(sure.autoencoder, sure.weight, bias), x, **STEP))(sure.bias)
    assert np.isfinite(gradient).all()


STEP: Any = {"radius": 0.5, "n_iterations": 2, "key": KEY}


def test_smoothness_is_the_divergence_at_the_end_of_the_step(classifier):
    moved = ROWS + 0.5 * over_rows(lambda x: worst_direction(classifier, x, n_iterations=2, key=KEY), ROWS)
    here, there = outputs(classifier, ROWS), outputs(classifier, moved)
    values = over_rows(lambda x: smoothness(classifier, x, **STEP), ROWS)
    np.testing.assert_allclose(values, np.sum(here * np.log(here / there), axis=1), rtol=1e-9, atol=1e-14)


def test_smoothness_tends_to_the_largest_eigenvalue():
    classifier, radius = classifier_on("sigmoid tied cross-entropy"), 1e-3
    values = over_rows(lambda x: smoothness(classifier, x, radius=radius, n_iterations=400, key=KEY), ROWS)
    for x, value in zip(ROWS, values, strict=True):
        inner = logit_jacobian(classifier, x)
        largest = np.linalg.eigvalsh(inner.T @ spread(outputs(classifier, x)[0]) @ inner)[-1]
        np.testing.assert_allclose(value, radius**2 / 2 * largest, rtol=1e-3)


def test_smoothness_along_tangents_is_the_divergence_at_the_end_of_a_step_in_their_plane(classifier):
    rules: Any = {"n_iterations": 2, "key": KEY}
    found = over_rows(lambda x, u: worst_direction(classifier, x, **rules, tangents=u), ROWS, planes())
    inside = np.einsum("rti,rtj,rj->ri", planes(), planes(), found)
    np.testing.assert_allclose(inside, found, atol=1e-12)
    here, there = outputs(classifier, ROWS), outputs(classifier, ROWS + 0.5 * found)
    values = over_rows(lambda x, u: smoothness(classifier, x, radius=0.5, **rules, tangents=u), ROWS, planes())
    np.testing.assert_allclose(values, np.sum(here * np.log(here / there), axis=1), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("term", ["cross-entropy", "tangents", "smoothness", "smoothness along tangents"])
def test_gradients_agree_with_finite_differences(classifier, term):
    x, tangents = jnp.asarray(ROWS[0]), jnp.asarray(planes()[0])
    # The direction and o(x) are held fixed in the gradient, so the second route holds them, too.
    within = tangents if term == "smoothness along tangents" else None
    step = jit_for_once(lambda: 0.5 * worst_direction(classifier, x, n_iterations=2, key=KEY, tangents=within))()
    here = jnp.log(jnp.asarray(outputs(classifier, x)[0]))
    terms: dict[str, Any] = {
        "cross-entropy": lambda c: softmax_cross_entropy(c.logits(x), jnp.asarray(1)),
        "tangents": lambda c: tangent_propagation(c, x, tangents),
        "smoothness": lambda c: smoothness(c, x, **STEP, tangents=within),
    }
    terms["smoothness along tangents"] = terms["smoothness"]

    def divergence(c: Any) -> Any:
        return jnp.sum(jnp.exp(here) * (here - jax.nn.log_softmax(c.logits(x + step))))

    held: dict[str, Any] = {name: divergence for name in terms if name.startswith("smoothness")}
    directions = Directions(classifier, np.random.RandomState(6))  # type: ignore[arg-type]
    rest = eqx.filter(classifier, eqx.is_inexact_array, inverse=True)
    _, gradient = jit_for_once(lambda: value_and_gradient(lambda c: (terms[term](c), None), classifier))()  # type: ignore[arg-type]
    values = over_rows(lambda moved: held.get(term, terms[term])(eqx.combine(moved, rest)), directions.moved)
    np.testing.assert_allclose(directions.slopes(gradient), directions.differences(values), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("n_own", "n_other"), [(1, 1), (3, 2), (2, 4)])
def test_tangent_distance_is_that_of_least_squares(n_own, n_other):
    rng = np.random.RandomState(n_own)
    for _ in range(5):
        x, y = rng.normal(size=(2, 9))
        own, other = (np.linalg.qr(rng.normal(size=(9, n)))[0].T for n in (n_own, n_other))
        together = np.concatenate([own, -other]).T
        rest = (x - y) + together @ np.linalg.lstsq(together, y - x, rcond=None)[0]
        value = two_sided_tangent_distance_sq(*map(jnp.asarray, (x, own, y, other)))
        np.testing.assert_allclose(value, rest @ rest, rtol=1e-8)
        back = two_sided_tangent_distance_sq(*map(jnp.asarray, (y, other, x, own)))
        np.testing.assert_allclose(back, value, rtol=1e-8)


def test_planes_at_a_small_angle_are_a_little_too_far_apart():
    # They meet, but only far away: a ridge of 100 units in the last place stands against the squared sine.
    axes, ridge = jnp.eye(3, dtype="float32"), 100 * np.finfo("float32").eps
    other = jnp.array([[np.sqrt(1 - 0.1**2), 0.1, 0]], "float32")
    value = two_sided_tangent_distance_sq(axes[1], axes[:1], jnp.zeros(3, "float32"), other)
    np.testing.assert_allclose(value, ridge / (0.1**2 + ridge), rtol=0.01)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tangent_distance_of_planes_with_common_directions(dtype):
    basis = np.linalg.qr(np.random.RandomState(0).normal(size=(8, 8)))[0].T.astype(dtype)
    d = np.arange(1, 9, dtype=dtype) @ basis
    zero = jnp.zeros(8, dtype)
    for other, expected in ((basis[:3], 16 + 25 + 36 + 49 + 64), (basis[1:5], 36 + 49 + 64)):
        value = two_sided_tangent_distance_sq(jnp.asarray(d), jnp.asarray(basis[:3]), zero, jnp.asarray(other))
        np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_norms_are_limited_row_by_row_and_nothing_else():
    classifier = classifier_on("stack of layers")
    limited = limit_norms(classifier, jnp.asarray(1.0))
    weights = {id(weight) for weight in classifier.weights}
    assert len(weights) == 4
    for before, after in zip(jax.tree.leaves(classifier), jax.tree.leaves(limited), strict=True):
        if id(before) in weights:
            norms = np.linalg.norm(before, axis=1, keepdims=True)
            assert norms.max() > 1
            np.testing.assert_allclose(after, before * np.minimum(1, 1 / norms), rtol=1e-12)
        else:
            np.testing.assert_array_equal(before, after)
    zeros = Classifier(classifier.autoencoder, jnp.zeros_like(classifier.weight), classifier.bias)
    np.testing.assert_array_equal(limit_norms(zeros, jnp.asarray(1.0)).weight, 0)


def test_the_objective_is_the_sum_of_its_terms(classifier):
    labels, weights = jnp.array([0, 2, 1, 2]), jnp.array([0.1, 0.2, 0.3, 0.4])
    labeled = Batch(jnp.asarray(ROWS), weights, labels)
    everything = Batch(jnp.asarray(ROWS[::-1] * 0.5), jnp.full(4, 0.25), None, jnp.asarray(planes()))
    objective = SupervisedObjective(
        penalties=Objective((Contraction(0.7),), reconstruct=False),
        weight_decay=0.01,
        tangent_weight=0.3,
        smoothness_weight=0.2,
        smoothness_radius=1e-4,
        n_power_iterations=300,
    )
    cost, parts = jit_for_once(lambda: objective(classifier, labeled, everything, KEY))()
    own = -np.log(outputs(classifier, ROWS)[np.arange(4), labels])
    expected = weights @ own
    np.testing.assert_allclose(parts.log_loss, expected, rtol=1e-10)
    wrong = outputs(classifier, ROWS).argmax(axis=1) != labels
    np.testing.assert_allclose(parts.error_rate, weights @ wrong, rtol=1e-10)
    expected += 0.01 * np.sum(np.square(classifier.weight))
    for layer in classifier.autoencoder.encoder_layers or ():
        expected += 0.01 * np.sum(np.square(layer.weight))
    for x, tangents in zip(np.asarray(everything.x), planes(), strict=True):
        expected += 0.7 * np.sum(jacobians(classifier.autoencoder, x[None]) ** 2) / 4
        expected += 0.3 * np.sum((output_jacobian(classifier, x) @ tangents.T) ** 2) / 4
    # The step is so short that the last term is below the tolerance; its own tests pin its value.
    np.testing.assert_allclose(cost, expected, rtol=1e-7)


def test_smoothness_enters_with_its_weight():
    classifier = classifier_on("deep tied")
    batch = Batch(jnp.asarray(ROWS), jnp.full(4, 0.25), jnp.array([0, 1, 2, 0]))

    @jit_for_once
    def cost(weight: Any) -> Any:
        return SupervisedObjective(smoothness_weight=weight, smoothness_radius=0.5)(classifier, batch, batch, KEY)[0]

    plain, one, two = (cost(weight) - cost(0.0) for weight in (0.0, 1.0, 2.0))
    assert plain == 0
    assert one > 1e-4
    np.testing.assert_allclose(two, 2 * one, rtol=1e-9)


def test_a_row_of_weight_two_is_a_row_that_is_there_twice():
    classifier = classifier_on("deep tied")
    objective = SupervisedObjective(dropout=0.4, input_dropout=0.2, smoothness_weight=0.5)
    twice = np.concatenate([ROWS, ROWS[:1]])
    one = Batch(jnp.asarray(ROWS), jnp.array([2, 1, 1, 1]) / 5, jnp.array([0, 1, 2, 0]))
    other = Batch(jnp.asarray(twice), jnp.full(5, 0.2), jnp.array([0, 1, 2, 0, 0]))
    run = jit_for_once(lambda batch, key: objective(classifier, batch, batch, key)[0])
    np.testing.assert_allclose(run(one, KEY), run(other, KEY), rtol=1e-12)
    assert abs(run(one, KEY) - run(one, jax.random.key(4))) > 1e-3


@pytest.mark.parametrize(
    ("options", "term"),
    [
        ({"n_tangent_probes": 2}, partial(tangent_propagation_estimate, n_probes=2)),
        ({"tangent_radius": 0.5, "n_power_iterations": 2}, partial(smoothness, radius=0.5, n_iterations=2)),
    ],
    ids=["estimated", "steps"],
)
def test_terms_of_tangents_enter_the_objective_with_keys_of_their_own(options: dict[str, Any], term: Any):
    classifier = classifier_on("deep tied")
    batch = Batch(jnp.asarray(ROWS), jnp.full(4, 0.25), jnp.array([0, 1, 2, 0]), jnp.asarray(planes()))
    cost, parts = SupervisedObjective(tangent_weight=0.3, **options)(classifier, batch, batch, KEY)
    terms = [
        term(classifier, x, tangents=tangents, key=draw_key(row_key(KEY, x), _objective._TANGENTS))
        for x, tangents in zip(batch.x, jnp.asarray(planes()), strict=True)
    ]
    np.testing.assert_allclose(cost - parts.log_loss, 0.3 * np.mean(terms), rtol=1e-9)
