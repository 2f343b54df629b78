"""Second routes to the package's formulas: finite differences and plain NumPy. Shared by the tests."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from contractive.models import AutoEncoder, Model, initialize

STEP = 1e-6

# XLA spends most of a small test on making code fast that runs once.
jit_for_once = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    },
)


def finite_differences(function: Callable[[np.ndarray], Any], at: ArrayLike) -> np.ndarray:
    """The gradient of a scalar function by central differences, one entry at a time, in float64."""
    at = np.array(at, np.float64)
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = STEP
        gradient[index] = (float(function(at + step)) - float(function(at - step))) / (2 * STEP)
    return gradient


class Facts(NamedTuple):
    """What automatic differentiation and NumPy know of a model at some rows; each with leading axes (moved, rows)."""

    code: np.ndarray
    output: np.ndarray
    reconstruction: np.ndarray
    jacobian: np.ndarray
    of_reconstruction: np.ndarray


def facts(model: Model, moved: Any) -> Callable[[np.ndarray], Facts]:
    """A function of rows: the facts of them, for the model with each of the parameters stacked in `moved`."""
    rest = eqx.filter(model, eqx.is_inexact_array, inverse=True)

    def one(parameters: Any, x: Any) -> Facts:
        model = eqx.combine(parameters, rest)
        code, reconstruction = model.encode, model.reconstruct
        return Facts(
            code(x), model.decode_linear(code(x)), reconstruction(x), jax.jacrev(code)(x), jax.jacrev(reconstruction)(x)
        )

    compiled = jit_for_once(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))
    return lambda rows: Facts(*map(np.asarray, compiled(moved, rows)))


def jacobians(model: Model, x: ArrayLike) -> np.ndarray:
    """dh/dx at each row, by reverse mode."""
    return np.asarray(jit_for_once(jax.vmap(jax.jacrev(model.encode)))(jnp.asarray(x)))


class Directions:
    """Directions in each parameter array of a model, for finite differences along them.

    `moved` stacks the model itself and its two neighbours along each direction; `differences` makes slopes of what a
    function was at these, and `slopes` says what they are by a gradient.

    Args:
        model: where to start.
        rng: where the directions come from: two random ones in each array; or None for the direction of every entry.
    """

    def __init__(self, model: Model, rng: np.random.RandomState | None):
        parameters, self.structure = jax.tree.flatten(eqx.filter(model, eqx.is_inexact_array))
        self.steps: list[tuple[int, np.ndarray]] = []
        for number, leaf in enumerate(parameters):
            entries = np.eye(leaf.size).reshape(-1, *leaf.shape)
            self.steps.extend((number, way) for way in (entries if rng is None else rng.normal(size=(2, *leaf.shape))))
        stacks = []
        for number, leaf in enumerate(parameters):
            leaf = np.asarray(leaf)
            ways = [way if which == number else np.zeros_like(leaf) for which, way in self.steps]
            stacks.append(jnp.asarray(np.stack([leaf, *(leaf + s * STEP * way for way in ways for s in (1, -1))])))
        self.moved = jax.tree.unflatten(self.structure, stacks)

    def differences(self, values: ArrayLike) -> np.ndarray:
        """The slope along each direction from the values at `moved`."""
        ahead, behind = np.asarray(values)[1:].reshape(-1, 2).T
        return (ahead - behind) / (2 * STEP)

    def slopes(self, gradient: Any) -> np.ndarray:
        """The slope along each direction by a gradient."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]
        return np.array([np.vdot(leaves[number], way) for number, way in self.steps])


def value_and_gradient(function: Callable[..., Any], model: Model, *arguments: Any) -> Any:
    """((value, extras), gradient) of a function of (model, ...) with respect to the model's floating-point arrays."""
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)

    def of(parameters: Any) -> Any:
        return function(eqx.combine(parameters, rest), *arguments)

    return jax.value_and_grad(of, has_aux=True)(parameters)


def reconstruction_errors(model: Model, x: np.ndarray, known: Facts) -> np.ndarray:
    """The textbook form of the model's loss, row by row."""
    if model.reconstruction_loss.name == "squared_error":
        return np.sum((x - known.reconstruction) ** 2, axis=-1)
    np.testing.assert_allclose(known.reconstruction, sigmoid(known.output), rtol=1e-12)
    # log r and log(1 - r) of r = sigmoid(z), without the loss of digits of 1 - r.
    return np.sum(x * np.log1p(np.exp(-known.output)) + (1 - x) * np.log1p(np.exp(known.output)), axis=-1)


def one_layer(n_features: int, n_hidden: int, *, rng: np.random.RandomState, **options: Any) -> AutoEncoder:
    """What `initialize` draws without layers between."""
    model = initialize(n_features, n_hidden, rng=rng, **options)
    assert isinstance(model, AutoEncoder)
    return model


def times_compiled(function: Any) -> int:
    """How many programs a jitted function has become."""
    return function._cache_size()


def random_model(
    rng: np.random.RandomState, *, tied: bool, activation: Any, loss: str, sizes: tuple[int, int] = (5, 3)
) -> AutoEncoder:
    """A float64 model of 5 features and 3 units, or other sizes, with no zero anywhere."""
    features, units = sizes
    shapes = [(units, features), (units,), (features,)] + ([] if tied else [(features, units)])
    return AutoEncoder(*(jnp.asarray(rng.normal(size=shape)) for shape in shapes), activation=activation, loss=loss)


def sigmoid(a: np.ndarray) -> np.ndarray:
    """The logistic function as textbooks write it."""
    return 1 / (1 + np.exp(-a))
