"""This package's own training loop on the tutorial's job."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from protocol import (
    N_FEATURES,
    N_HIDDEN,
    Check,
    Contender,
    Totals,
    check_values,
    main,
)

from contractive.batched import map_rows
from contractive.jacobian import jacobian_frobenius_sq
from contractive.models import AutoEncoder, initialize
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.training import Chunk, Engine, epoch_keys, epoch_order, initial_state, make_engine, resolve_optimizer

PRODUCT_SIDE = 4096
SCALE = 256


class ContractiveAutoEncoder(Contender):
    """Chunk by chunk with bytes in memory, as `contractive train mnist --preset tutorial` runs them."""

    engine = "auto"

    def prepare(self) -> dict[str, str]:
        """Put the data where it is wanted; compiling happens here and in the warm-up."""
        self._rows = np.round(self.data * SCALE).astype(np.uint8)
        self._sgd = resolve_optimizer("sgd", self.learning_rate)
        self._order = epoch_order(len(self.data), self.batch_size, shuffle=False, seed=0, epoch=1)
        self._keys = epoch_keys(self.n_batches, seed=0, epoch=1)
        self._square = jnp.ones((PRODUCT_SIDE, PRODUCT_SIDE))
        self._product = jax.jit(jnp.matmul).lower(self._square, self._square).compile()
        self.reset()
        self._engine = self.make_engine(self.model())
        self._loaded = self._engine.load(self._rows, None)
        return {"jax": jax.__version__, "numpy": np.__version__}

    def model(self) -> AutoEncoder:
        """The model now."""
        assert isinstance(self._state.model, AutoEncoder)
        return self._state.model

    def make_engine(self, model: AutoEncoder) -> Engine:
        """What trains."""
        objective = Objective((Contraction(self.contraction),))
        return make_engine(
            model,
            objective,
            self._sgd,
            self._rows,
            batch_size=self.batch_size,
            uint8_scale=SCALE,
            engine=self.engine,
        )

    def reset(self) -> None:
        """Put the initial state back."""
        model = initialize(N_FEATURES, N_HIDDEN, rng=np.random.RandomState(123), loss="cross_entropy")
        self._state = initial_state(model, self._sgd, self.n_batches)

    def run_span(self, start: int, stop: int) -> Totals:
        """Train on some minibatches; the second number is left to `check`, as the loop reports norms, not squares."""
        chunk = Chunk(self._order, (start, stop), len(self._rows), self._keys)
        self._state = self._engine.run(self._state, self._loaded, chunk)
        return float(np.array(self._state.costs)[start:stop, 0].sum(dtype=np.float64)), 0.0

    def check(self, minibatches: int) -> Check:
        """Train from the initial state, one minibatch at a time, and measure the squared norms before each."""
        self.reset()
        error = square = 0.0
        for index in range(minibatches):
            rows = self._rows[index * self.batch_size : (index + 1) * self.batch_size]
            square += map_rows(jacobian_frobenius_sq, self._state.model, rows, uint8_scale=SCALE).mean()
            error += self.run_span(index, index + 1)[0]
        return check_values((error, square), minibatches, self.weight())

    def weight(self) -> np.ndarray:
        """The weight now, of shape (features, hidden)."""
        return np.array(self.model().weight).T

    def matrix_product_gflops(self) -> dict[str, float]:
        """What this process reaches in one square float32 product."""
        start = time.perf_counter()
        self._product(self._square, self._square).block_until_ready()
        return {"gflops": 2 * PRODUCT_SIDE**3 / (time.perf_counter() - start) / 1e9}


if __name__ == "__main__":
    main(ContractiveAutoEncoder)
