"""The penalties: what each of them is, what leaves it as it is, and what is refused. See also `test_properties.py`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contractive.models import AutoEncoder
from contractive.objectives import Objective
from contractive.penalties import PENALTIES as PENALTY_CLASSES
from contractive.penalties import (
    Contraction,
    HigherOrder,
    Penalty,
    PenaltySum,
    ReconstructionContraction,
    SpectralContraction,
    WeightDecay,
)
from contractive.training import resolve_optimizer, train
from registry import MODELS, PENALTIES, Sparsity
from routes import jit_for_once, random_model


@pytest.fixture
def model_and_x(x64):
    rng = np.random.RandomState(4)
    return random_model(rng, tied=False, activation="sigmoid", loss="squared_error"), jnp.asarray(rng.normal(size=5))


def test_contraction_is_lambda_times_the_squared_norm(model_and_x):
    model, x = model_and_x
    expected = 0.3 * np.sum(np.asarray(jax.jacfwd(model.encode)(x)) ** 2)
    np.testing.assert_allclose(Contraction(0.3)(model, model.forward(x)), expected, rtol=1e-12)


def test_weight_decay_counts_both_weights_and_no_bias(model_and_x):
    model, x = model_and_x
    expected = 0.3 * (np.sum(np.asarray(model.weight) ** 2) + np.sum(np.asarray(model.decoder_weight) ** 2))
    np.testing.assert_allclose(WeightDecay(0.3)(model, model.forward(x)), expected, rtol=1e-13)


def test_weight_decay_counts_a_tied_weight_once(x64):
    model = random_model(np.random.RandomState(4), tied=True, activation="sigmoid", loss="squared_error")
    np.testing.assert_allclose(
        WeightDecay(1.0)(model, model.forward(jnp.ones(5))), np.sum(np.asarray(model.weight) ** 2)
    )


@pytest.mark.parametrize("penalty", [Contraction, WeightDecay])
def test_gradient_in_the_weight_is_not_zero(penalty, model_and_x):
    model, x = model_and_x
    gradient = jax.grad(lambda model: penalty(0.1)(model, model.forward(x)))(model)
    assert jnp.abs(gradient.weight).min() > 0


@pytest.mark.parametrize("penalty", [Contraction, WeightDecay, HigherOrder, SpectralContraction])
def test_value_is_proportional_to_the_coefficient(penalty, model_and_x):
    model, x = model_and_x
    key = jax.random.key(0)
    six, one = (penalty(coefficient)(model, model.forward(x), key=key) for coefficient in (6.0, 1.0))
    np.testing.assert_allclose(six, 6 * one, rtol=1e-14)


def test_spectral_contraction_equals_numpys_singular_value_and_its_gradient(model_and_x):
    model, x = model_and_x
    penalty = SpectralContraction(1.0, n_iterations=500)
    value, gradient = jax.value_and_grad(lambda model: penalty(model, model.forward(x)))(model)
    weight = np.asarray(model.weight)
    h = np.asarray(model.encode(x))
    slope, curvature = h * (1 - h), h * (1 - h) * (1 - 2 * h)
    left, sigma, right = np.linalg.svd(slope[:, None] * weight)
    np.testing.assert_allclose(value, sigma[0], rtol=1e-12)
    # d sigma = u^T dJ v with J = diag(s'(a)) W: through W itself and through a = W x + b.
    u, v = left[:, 0], right[0]
    through_slope = u * curvature * (weight @ v)
    np.testing.assert_allclose(gradient.hidden_bias, through_slope, rtol=1e-9, atol=1e-12)
    expected = np.outer(u * slope, v) + np.outer(through_slope, x)
    np.testing.assert_allclose(gradient.weight, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["sigmoid tied cross-entropy", "deep tied", "perceptron"])
def test_higher_order_tends_to_the_hessian(name, x64):
    model, std, draws = MODELS[name](), 1e-4, 2000
    x = jnp.asarray(np.random.RandomState(1).uniform(size=model.n_features))

    @jit_for_once
    def terms_and_hessians(keys: Any) -> Any:
        terms = jax.vmap(lambda key: HigherOrder(1.0, std=std, n_samples=1)(model, model.forward(x), key=key))(keys)
        return terms / std**2, jax.hessian(model.encode)(x), jax.jacfwd(jax.jacrev(model.encode))(x)

    terms, hessian, other = terms_and_hessians(jax.random.split(jax.random.key(2), draws))
    np.testing.assert_allclose(hessian, other, rtol=1e-9, atol=1e-12)
    expected = np.sum(np.asarray(hessian) ** 2)
    assert expected > 1e-3
    assert abs(np.mean(terms) - expected) < 4 * np.std(terms) / np.sqrt(draws)


@pytest.mark.parametrize("n_samples", [1, 7])
def test_higher_order_is_the_closed_form_of_one_layer(n_samples, model_and_x):
    model, x = model_and_x
    key = jax.random.key(3)
    noise = 0.2 * np.asarray(jax.random.normal(key, (n_samples, 5), x.dtype))
    weight = np.asarray(model.weight)
    slopes = [
        np.asarray(model.nonlinearity.derivative(jnp.asarray(weight @ (x + e) + model.hidden_bias))) for e in noise
    ]
    here = np.asarray(model.nonlinearity.derivative(model.preactivation(x)))
    expected = np.mean([np.sum((here - there) ** 2 * np.sum(weight**2, axis=1)) for there in slopes])
    value = HigherOrder(1.0, std=0.2, n_samples=n_samples)(model, model.forward(x), key=key)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_the_reconstruction_contraction_learns_the_optimal_linear_reconstruction(x64):
    rng, variance, size = np.random.RandomState(6), 0.5, 4
    shape = rng.normal(size=(size, size))
    rows = rng.multivariate_normal(np.zeros(size), shape @ shape.T + 0.1 * np.eye(size), size=300)
    model = random_model(rng, tied=False, activation="linear", loss="squared_error", sizes=(size, size))
    objective = Objective((ReconstructionContraction(variance),))
    settings, steps = {"batch_size": 300, "shuffle": False}, np.tile(rows, (50, 1))  # 50 updates an epoch
    for rate in (0.03, 0.003):
        model, *_ = train(model, objective, steps, resolve_optimizer("adam", rate), max_epochs=30, **settings)
    assert isinstance(model, AutoEncoder)
    assert model.decoder_weight is not None
    covariance = np.cov(rows.T, bias=True)  # the biases take the mean
    expected = covariance @ np.linalg.inv(covariance + variance * np.eye(size))
    learned = np.asarray(model.decoder_weight @ model.weight)
    assert np.linalg.norm(learned - expected) < 0.02 * np.linalg.norm(expected)


# Those that are no function of draws on the side of the units.
STEADY = [name for name in PENALTIES if "probed" not in name]
STEADY_IN_FEATURES = [name for name in STEADY if "higher order" not in name]


@jit_for_once
def terms_of(model: AutoEncoder, x: Any) -> Any:
    key, forward = jax.random.key(7), model.forward(x)
    return {name: PENALTIES[name].penalty(model, forward, key=key) for name in STEADY}


def untied(seed: int) -> tuple[AutoEncoder, Any]:
    rng = np.random.RandomState(seed)
    model = random_model(rng, tied=False, activation="tanh", loss="squared_error", sizes=(6, 4))
    return model, jnp.asarray(rng.normal(size=6))


each_case = settings(max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
seeds = st.integers(0, 2**16)


@each_case
@given(seed=seeds, order=st.permutations(range(4)))
def test_the_order_of_the_units_does_not_matter(seed, order):
    with jax.enable_x64(True):
        model, x = untied(seed)
        assert model.decoder_weight is not None
        places = np.array(order)
        arrays = model.weight[places], model.hidden_bias[places], model.visible_bias, model.decoder_weight[:, places]
        expected = terms_of(model, x)
        for name, value in terms_of(AutoEncoder(*arrays, activation="tanh"), x).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-9, err_msg=name)


@each_case
@given(seed=seeds, order=st.permutations(range(6)))
def test_the_order_of_the_features_does_not_matter(seed, order):
    with jax.enable_x64(True):
        model, x = untied(seed)
        assert model.decoder_weight is not None
        places = np.array(order)
        arrays = model.weight[:, places], model.hidden_bias, model.visible_bias[places], model.decoder_weight[places]
        expected, values = terms_of(model, x), terms_of(AutoEncoder(*arrays, activation="tanh"), x[places])
        for name in STEADY_IN_FEATURES:
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-9, err_msg=name)


@each_case
@given(seed=seeds)
def test_a_rotation_of_the_input_changes_no_contraction(seed):
    with jax.enable_x64(True):
        model, x = untied(seed)
        rotation, _ = np.linalg.qr(np.random.RandomState(seed).normal(size=(6, 6)))
        turned = eqx.tree_at(lambda model: model.weight, model, model.weight @ rotation)
        expected, values = terms_of(model, x), terms_of(turned, rotation.T @ x)
        for name in ("contraction", "spectral"):
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-9, err_msg=name)


@jit_for_once
def linear_terms_of(weight: Any, scale: Any) -> Any:
    model = AutoEncoder(scale * weight, jnp.zeros(4), jnp.zeros(6), weight.T, activation="linear")
    forward, key = model.forward(jnp.ones(6)), jax.random.key(8)
    penalties = (
        Contraction(0.1),
        Contraction(0.1, "hutchinson"),
        ReconstructionContraction(0.1),
        SpectralContraction(0.1),
        HigherOrder(0.1),
    )
    return [penalty(model, forward, key=key) for penalty in penalties]


@each_case
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_a_linear_encoder_scales_them_by_their_powers(seed, scale):
    with jax.enable_x64(True):
        weight = jnp.asarray(np.random.RandomState(seed).normal(size=(4, 6)))
        expected, values = linear_terms_of(weight, 1.0), linear_terms_of(weight, scale)
        powers = (2, 2, 2, 1)
        for value, once, power in zip(values, expected, powers, strict=False):
            np.testing.assert_allclose(value, scale**power * once, rtol=1e-11)
        assert values[-1] == 0  # no curvature


def test_penalties_join_in_any_grouping():
    one, two, three = Contraction(0.1), WeightDecay(0.2), Sparsity(0.3)
    assert (one + two) + three == one + (two + three)
    assert isinstance(one + two, PenaltySum)
    assert (one + (two + three)).terms == (one, two, three)
    assert not (one + two).is_random
    assert (one + HigherOrder(0.1)).is_random
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = one + 3  # type: ignore[operator]


def test_a_sum_is_the_sum_of_its_terms(model_and_x):
    model, x = model_and_x
    key, forward = jax.random.key(4), model.forward(x)
    both = Contraction(0.1) + WeightDecay(0.2)
    expected = Contraction(0.1)(model, forward) + WeightDecay(0.2)(model, forward)
    np.testing.assert_allclose(both(model, forward), expected, rtol=1e-14)
    noisy = HigherOrder(0.1) + HigherOrder(0.1)  # each with noise of its own
    once = HigherOrder(0.1)(model, forward, key=jax.random.fold_in(key, 0))
    np.testing.assert_allclose(
        noisy(model, forward, key=key),
        once + HigherOrder(0.1)(model, forward, key=jax.random.fold_in(key, 1)),
        rtol=1e-13,
    )


def test_defaults_are_those_of_the_papers_and_the_docs():
    assert (Contraction(1.0).estimator, Contraction(1.0).n_probes) == ("exact", 1)
    assert (ReconstructionContraction(1.0).estimator, ReconstructionContraction(1.0).n_probes) == ("exact", 1)
    assert (HigherOrder(1.0).std, HigherOrder(1.0).n_samples) == (0.1, 4)
    assert SpectralContraction(1.0).n_iterations == 20
    assert [kind(1.0).is_random for kind in PENALTY_CLASSES.values()] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("penalty", "numbers"),
    [
        (Contraction(0.5), [0.5]),
        (ReconstructionContraction(0.5, "hutchinson", 3), [0.5]),
        (HigherOrder(0.5, 0.2, 3), [0.5, 0.2]),
        (SpectralContraction(0.5, 7), [0.5]),
        (Contraction(0.5) + WeightDecay(0.25), [0.5, 0.25]),
    ],
)
def test_coefficients_are_what_can_be_changed_without_compiling_anew(penalty, numbers):
    assert jax.tree.leaves(penalty) == numbers


def test_every_penalty_needs_a_term_of_its_own():
    class Nothing(Penalty):
        coefficient: Any

    with pytest.raises(TypeError, match="abstract"):
        Nothing(1.0)  # type: ignore[abstract,call-arg]
    assert all(vars(penalty).get("term") for penalty in PENALTY_CLASSES.values())


def test_floats_held_follow_what_a_term_forms():
    deep, one = (
        MODELS["deep tied"](),
        random_model(np.random.RandomState(4), tied=True, activation="sigmoid", loss="squared_error"),
    )
    exact = Contraction(1.0).floats(deep, 100)
    assert exact > deep.n_features
    assert Contraction(1.0, "hutchinson").floats(deep, 100) == 0
    assert ReconstructionContraction(1.0, "hutchinson").floats(deep, 100) == 0
    assert HigherOrder(1.0, n_samples=3).floats(deep, 100) == 3 * exact
    assert (Contraction(1.0) + HigherOrder(1.0, n_samples=3)).floats(deep, 100) == 4 * exact
    assert ReconstructionContraction(1.0).floats(deep, 100) > exact  # of twice as many layers
    assert [Contraction(1.0).floats(one, 100), WeightDecay(1.0).floats(one, 100)] == [0, 0]


def test_an_exact_term_prepares_what_the_weights_give_and_an_estimate_nothing(model_and_x):
    model, _ = model_and_x
    for kind in (Contraction, ReconstructionContraction):
        assert jax.tree.leaves(kind(1.0).prepare(model, 100))
        assert not jax.tree.leaves(kind(1.0, "hutchinson").prepare(model, 100))


def test_at_one_example_the_plan_is_that_of_one_row():
    batches = []

    class Own(WeightDecay):
        def prepare(self, model: Any, batch: int) -> Any:
            batches.append(batch)
            return super().prepare(model, batch)

    model = random_model(np.random.RandomState(4), tied=True, activation="sigmoid", loss="squared_error")
    Own(1.0)(model, model.forward(jnp.ones(5)))
    assert batches == [1]


@pytest.mark.parametrize(
    "penalty",
    [Contraction(0.1, "hutchinson"), ReconstructionContraction(0.1, "hutchinson"), HigherOrder(0.1) + WeightDecay(0.1)],
)
def test_a_random_penalty_needs_a_key(penalty, model_and_x):
    model, x = model_and_x
    message = f"`key` must be given, because {type(penalty).__name__} draws at random; got None."
    with pytest.raises(ValueError, match=message):
        penalty(model, model.forward(x))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Contraction(0.1, "guess"),
            ValueError,
            "`estimator` must be one of 'exact', 'hutchinson'; got 'guess'.",
        ),
        (
            lambda: ReconstructionContraction(0.1, "guess"),
            ValueError,
            "`estimator` must be one of 'exact', 'hutchinson'; got 'guess'.",
        ),
        (lambda: Contraction(0.1, n_probes=0), ValueError, "`n_probes` must be a whole number >= 1; got 0."),
        (lambda: Contraction(0.1, n_probes=1.5), TypeError, "`n_probes` must be a whole number >= 1; got 1.5."),  # type: ignore[arg-type]
        (
            lambda: ReconstructionContraction(0.1, n_probes=-1),
            ValueError,
            "`n_probes` must be a whole number >= 1; got -1.",
        ),
        (lambda: HigherOrder(0.1, n_samples=0), ValueError, "`n_samples` must be a whole number >= 1; got 0."),
        (lambda: HigherOrder(0.1, n_samples="4"), TypeError, "`n_samples` must be a whole number >= 1; got '4'."),  # type: ignore[arg-type]
        (
            lambda: SpectralContraction(0.1, n_iterations=0),
            ValueError,
            "`n_iterations` must be a whole number >= 1; got 0.",
        ),
        (
            lambda: SpectralContraction(0.1, n_iterations=2.5),  # type: ignore[arg-type]
            TypeError,
            "`n_iterations` must be a whole number >= 1; got 2.5.",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_in_one_line(make, error, message, unchecked):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message
