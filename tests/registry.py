"""All models, penalties and corruptions that `test_properties.py` runs over: joining is how a new one gets tested."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from contractive.corruption import Corruption, Gaussian, Masking, SaltAndPepper
from contractive.models import AutoEncoder, Model, Stack, initialize, wrap_callables
from contractive.objectives import Objective
from contractive.penalties import (
    Contraction,
    HigherOrder,
    Penalty,
    ReconstructionContraction,
    SpectralContraction,
    WeightDecay,
)
from routes import Facts, jit_for_once, random_model

FEATURES = 6


def wavy(a: Any) -> Any:
    """A user's own elementwise nonlinearity."""
    return jnp.sin(a) + a / 2


class Convolution(eqx.Module):
    """A small convolutional encoder of 6 pixels in a row, with an array that is no parameter."""

    filters: eqx.nn.Conv1d
    readout: eqx.nn.Linear
    places: Any

    def __init__(self, key: Any):
        one, two = jax.random.split(key)
        self.filters = eqx.nn.Conv1d(1, 2, kernel_size=3, key=one)
        self.readout = eqx.nn.Linear(8, 3, key=two)
        self.places = jnp.arange(8)[::-1]

    def __call__(self, x):
        return self.readout(jnp.tanh(self.filters(x[None])).reshape(-1)[self.places])


def _deep(sizes: tuple[int, ...], **options: Any) -> Model:
    rng = np.random.RandomState(3)
    model = initialize(sizes[0], sizes[-1], rng=rng, hidden_layer_sizes=sizes[1:-1], dtype=np.float64, **options)
    # Biases that are not zero, and weights large enough for curvature.
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf) + 0.3 * rng.normal(size=leaf.shape)), model)


def _one(activation: Any, *, tied: bool, loss: str = "squared_error") -> Callable[[], Model]:
    def make() -> Model:
        rng = np.random.RandomState(2)
        return random_model(rng, tied=tied, activation=activation, loss=loss, sizes=(FEATURES, 3))

    return make


def _wrap(encoder: Any, decoder: Any = None, n_features: int = FEATURES, **options: Any) -> Model:
    return wrap_callables(
        encoder, decoder, n_features=n_features, rng=np.random.RandomState(4), dtype=np.float64, **options
    )


def _filled(make: Callable[[], Any], seed: int) -> Any:
    """A module with parameters by NumPy, which spares compiling its own draws."""
    rng = np.random.RandomState(seed)

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(rng.normal(size=leaf.shape) if is_float else np.arange(leaf.size)[::-1])

    return jax.tree.map(fill, eqx.filter_eval_shape(make))


def _perceptron(sizes: tuple[int, int, int], seed: int, activation: Any = jnp.tanh) -> Any:
    units_in, units, units_out = sizes
    key = jax.random.key(0)
    return _filled(lambda: eqx.nn.MLP(units_in, units_out, units, 1, activation=activation, key=key), seed)


def _stack() -> Model:
    rng = np.random.RandomState(5)

    def layer(sizes: tuple[int, int], activation: str, *, tied: bool, loss: str) -> Model:
        return random_model(rng, tied=tied, activation=activation, loss=loss, sizes=sizes)

    return Stack(
        (
            layer((FEATURES, 5), "sigmoid", tied=True, loss="cross_entropy"),
            layer((5, 4), "tanh", tied=False, loss="squared_error"),
            layer((4, 3), "softplus", tied=True, loss="squared_error"),
        )
    )


def _stack_of_callable() -> Model:
    below = initialize(FEATURES, 4, rng=np.random.RandomState(6), loss="cross_entropy", dtype=np.float64)
    return Stack((below, _wrap(_perceptron((4, 5, 3), 1), n_features=4)))


def _convolution() -> Model:
    encoder = _filled(lambda: Convolution(jax.random.key(0)), 2)
    return _wrap(encoder, _perceptron((3, 4, FEATURES), 3, jax.nn.softplus), loss="cross_entropy")


# Each makes a float64 model, so it is to be called where JAX computes in float64.
MODELS: dict[str, Callable[[], Model]] = {
    "sigmoid tied cross-entropy": _one("sigmoid", tied=True, loss="cross_entropy"),
    "tanh untied": _one("tanh", tied=False),
    "relu tied": _one("relu", tied=True),
    "linear untied": _one("linear", tied=False),
    "own nonlinearity tied": _one(wavy, tied=True),
    "deep tied": lambda: _deep((FEATURES, 5, 4, 3), activation="tanh"),
    "deep untied": lambda: _deep((FEATURES, 4, 3), activation="sigmoid", loss="cross_entropy", tied_weights=False),
    "deep overcomplete": lambda: _deep((3, 5, 7, 9), activation="softplus"),
    "stack of layers": _stack,
    "stack of a callable": _stack_of_callable,
    "perceptron": lambda: _wrap(_perceptron((FEATURES, 5, 3), 0)),
    "convolution": _convolution,
    "plain function": lambda: _wrap(lambda x: jnp.sin(x[:2]) * x[2:4]),
}


class Evidence(NamedTuple):
    """What a penalty's second route may look at, all of it without the package's Jacobians; leading axes as in `Facts`.

    Args:
        x: the rows.
        keys: the random key of each.
        weights: each parameter array with two axes or more.
        here: what is known at the rows.
        at: what is known at as many other points.
    """

    x: np.ndarray
    keys: Any
    weights: list[np.ndarray]
    here: Facts
    at: Callable[[np.ndarray], Facts]


class PenaltyCase(NamedTuple):
    """A penalty, and its term by NumPy: evidence -> the term of each row, without its coefficient."""

    penalty: Penalty
    term: Callable[[Evidence], Any]


class Sparsity(Penalty):
    """A user's own penalty: sum_i log(1 + h_i^2)."""

    coefficient: float | Float[Array, ""]

    def term(self, model, forward, prepared, *, key):
        return jnp.sum(jnp.log1p(forward.hidden**2))


def _squares(matrices: np.ndarray) -> np.ndarray:
    return np.sum(matrices**2, axis=(-2, -1))


def _probed(matrices: np.ndarray, keys: Any, n_probes: int) -> np.ndarray:
    """The mean over random signs v of ||J^T v||^2, or of ||J v||^2 where x has fewer entries."""
    matrices = matrices if matrices.shape[-2] <= matrices.shape[-1] else np.swapaxes(matrices, -2, -1)
    shape = n_probes, matrices.shape[-2]
    signs = jax.vmap(lambda key: jax.random.rademacher(key, shape, matrices.dtype))(keys)
    return _squares(np.asarray(signs) @ matrices) / n_probes


def _higher_order(evidence: Evidence, std: float, n_samples: int) -> Any:
    x = evidence.x
    noise = jax.vmap(lambda key: jax.random.normal(key, (n_samples, x.shape[1]), x.dtype))(evidence.keys)
    moved = [evidence.at(x + std * np.asarray(noise[:, sample])) for sample in range(n_samples)]
    return sum(_squares(there.jacobian - evidence.here.jacobian) for there in moved) / n_samples


def _decay(evidence: Evidence) -> np.ndarray:
    sums = [np.sum(weight.reshape(len(weight), -1) ** 2, axis=1) for weight in evidence.weights]
    return np.sum(sums, axis=0)[:, None] + np.zeros(len(evidence.x))


def _sparsity(evidence: Evidence) -> np.ndarray:
    return np.sum(np.log(1 + evidence.here.code**2), axis=-1)


PENALTIES: dict[str, PenaltyCase] = {
    "contraction": PenaltyCase(Contraction(0.3), lambda known: _squares(known.here.jacobian)),
    "contraction probed": PenaltyCase(
        Contraction(0.3, "hutchinson", n_probes=3), lambda known: _probed(known.here.jacobian, known.keys, 3)
    ),
    "reconstruction": PenaltyCase(ReconstructionContraction(0.2), lambda known: _squares(known.here.of_reconstruction)),
    "reconstruction probed": PenaltyCase(
        ReconstructionContraction(0.2, "hutchinson"),
        lambda known: _probed(known.here.of_reconstruction, known.keys, 1),
    ),
    "higher order": PenaltyCase(
        HigherOrder(0.4, std=0.3, n_samples=2), lambda known: _higher_order(known, std=0.3, n_samples=2)
    ),
    "spectral": PenaltyCase(
        SpectralContraction(0.5, n_iterations=1000),
        lambda known: np.linalg.svd(known.here.jacobian, compute_uv=False)[..., 0],
    ),
    "weight decay": PenaltyCase(WeightDecay(0.02), _decay),
    "sum": PenaltyCase(
        Contraction(0.1) + WeightDecay(0.02) + Sparsity(0.3),
        lambda known: 0.1 * _squares(known.here.jacobian) + 0.02 * _decay(known) + 0.3 * _sparsity(known),
    ),
    "a user's own": PenaltyCase(Sparsity(0.6), _sparsity),
}

CORRUPTIONS: dict[str, Corruption] = {
    "masking": Masking(0.3),
    "gaussian": Gaussian(0.2),
    "salt and pepper": SaltAndPepper(0.4, low=-1.0, high=2.0),
}


class KeyWord(Penalty):
    """A penalty that tells one word of its key."""

    coefficient: float | Float[Array, ""]
    number: int = eqx.field(static=True)

    def term(self, model, forward, prepared, *, key):
        return jax.random.key_data(key)[self.number].astype(forward.x.dtype)


@partial(jit_for_once, static_argnames="term")
def keys_of_rows(key: Any, x: Any, term: int = 0) -> Any:
    """What a term of an objective draws from at each row, in float64; found by a penalty that tells it."""
    model = AutoEncoder(jnp.zeros((1, x.shape[1])), jnp.zeros(1), jnp.zeros(x.shape[1]))

    def word(number: int, row: Any) -> Any:
        objective = Objective((*[WeightDecay(0.0)] * term, KeyWord(1.0, number)))
        cost, _ = objective(model, row[None], jnp.ones(1), key)
        return jnp.round(cost - jnp.sum(row**2)).astype(jnp.uint32)

    words = [jax.vmap(partial(word, number))(x) for number in (0, 1)]
    return jax.random.wrap_key_data(jnp.stack(words, axis=1))
