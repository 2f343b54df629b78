"""Small estimators on a few digits, shared by the tests so that their compiled steps are shared, too."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from contractive import ContractiveAutoencoder
from contractive.datasets import load_digits
from contractive.sources import RowReader

X = load_digits()[0][0][:200]

# As `XLA_FLAGS` of another process: the settings of `routes.jit_for_once`.
QUICK_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)


def small(kind: Any = ContractiveAutoencoder, **parameters: Any) -> Any:
    """An estimator of 7 components and 2 epochs from seed 0, unless said otherwise."""
    return kind(**({"n_components": 7, "loss": "cross_entropy", "max_epochs": 2, "random_state": 0} | parameters))


def bits(estimator: Any) -> list[bytes]:
    """All arrays of a fitted model, to the bit."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(estimator.model_)]


def assert_same_training(one: Any, other: Any) -> None:
    """Two fits have left the same bits and, but for the clock, the same records."""
    assert bits(one) == bits(other)
    for curve in ("loss_curve_", "jacobian_norm_curve_", "validation_loss_curve_"):
        assert getattr(one, curve) == getattr(other, curve)
    assert [record.epoch for record in one.history_] == [record.epoch for record in other.history_]


class Convolution(eqx.Module):
    """An encoder of 8 x 8 pictures, with an array of whole numbers that is no parameter."""

    filters: eqx.nn.Conv2d
    readout: eqx.nn.Linear
    places: Any

    def __init__(self, n_components: int = 5, *, seed: int = 0):
        one, two = jax.random.split(jax.random.key(seed))
        self.filters = eqx.nn.Conv2d(1, 3, kernel_size=3, stride=2, key=one)
        self.readout = eqx.nn.Linear(27, n_components, key=two)
        self.places = jnp.arange(27)[::-1]

    def __call__(self, x):
        return self.readout(jnp.tanh(self.filters(x.reshape(1, 8, 8))).reshape(-1)[self.places])


class ArrayRows(RowReader):
    """An array as if it lay in a file; `reads` are the bounds of what was read, `unreadable` the row that fails.

    Args:
        array: of shape (n_rows, n_features).
        bounds: of its blocks, or None for even ones.
    """

    def __init__(self, array: np.ndarray, bounds: list[int] | None = None):
        self.name, self.shape, self.dtype = "rows", array.shape, array.dtype
        self.array, self.bounds, self.unreadable = array, bounds, -1
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads.append((start, stop))
        if start <= self.unreadable < stop:
            raise OSError(5, "Input/output error", self.name)
        return self.array[start:stop].copy()

    def block_bounds(self, n_rows: int) -> np.ndarray:
        return super().block_bounds(n_rows) if self.bounds is None else np.array(self.bounds)
