"""Parity with Theano 1.0.5: 300 updates of the tutorial's job (see `golden/README.md` for the arrays)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contractive.datasets import load_mnist
from contractive.jacobian import jacobian_frobenius_sq
from contractive.models import AutoEncoder
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.training import resolve_optimizer, update
from routes import one_layer

UPDATES, BATCH = 300, 10


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "tutorial_float64.npz") as arrays:
        return dict(arrays)


def run(dtype: type) -> tuple[AutoEncoder, np.ndarray]:
    """The model after the updates, and each minibatch's two costs before its update."""
    (x, _), _, _ = load_mnist(dtype)
    model = one_layer(784, 500, rng=np.random.RandomState(123), loss="cross_entropy", dtype=dtype)
    objective, sgd, row_weights = Objective((Contraction(0.1),)), resolve_optimizer("sgd", 0.01), jnp.full(BATCH, 0.1)

    @jax.jit
    def step(model, state, x):
        squares = jax.vmap(jacobian_frobenius_sq, in_axes=(None, 0))(model, x)
        model, state, parts = update(model, state, objective, sgd, x, row_weights.astype(x.dtype))
        return model, state, jnp.stack([parts.reconstruction_error, squares.mean()])

    state, costs = sgd.init(model), []  # type: ignore[arg-type]
    for first in range(0, UPDATES * BATCH, BATCH):
        model, state, cost = step(model, state, jnp.asarray(x[first : first + BATCH]))
        costs.append(cost)
    return model, np.array(costs)


def compare(golden: dict[str, np.ndarray], model: AutoEncoder, costs: np.ndarray, rtol_costs: float, rtol: float):
    weight = np.asarray(model.weight).T  # the reference has (features, hidden)
    atol = rtol * float(np.sqrt(golden["W_frobenius_sq"] / weight.size))  # relative to the weight's own size
    np.testing.assert_allclose(costs, golden["per_batch"], rtol=rtol_costs)
    np.testing.assert_allclose(weight[:8, :8], golden["W_corner"], rtol=rtol, atol=atol)
    np.testing.assert_allclose(weight[400:408, 200:208], golden["W_center"], rtol=rtol, atol=atol)
    np.testing.assert_allclose(np.sum(weight.astype(np.float64) ** 2), golden["W_frobenius_sq"], rtol=rtol)
    np.testing.assert_allclose(model.hidden_bias, golden["b"], rtol=rtol, atol=atol)
    np.testing.assert_allclose(model.visible_bias, golden["b_prime"], rtol=rtol, atol=atol)


def test_float64_run_equals_theano(golden, x64):
    model, costs = run(np.float64)
    assert model.weight.dtype == np.float64
    compare(golden, model, costs, rtol_costs=1e-9, rtol=1e-8)


def test_float32_run_equals_theano(golden):
    model, costs = run(np.float32)
    compare(golden, model, costs, rtol_costs=1e-3, rtol=1e-3)


def test_first_weight_equals_theanos(golden, x64):
    model = one_layer(784, 500, rng=np.random.RandomState(123), dtype=np.float64)
    np.testing.assert_array_equal(np.asarray(model.weight).T[:8, :8], golden["W0_corner"])
