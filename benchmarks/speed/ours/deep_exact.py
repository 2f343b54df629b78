"""This package's own training loop on the deep job, the penalty exact."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from deep_job import (
    CONTRACTION,
    HIDDEN_SIZES,
    LEARNING_RATE,
    DeepContender,
    check_values,
    initial_parameters,
)
from protocol import Totals, main

from contractive.batched import map_rows
from contractive.jacobian import jacobian_frobenius_sq
from contractive.models import AutoEncoder, Stack, initialize
from contractive.objectives import Objective
from contractive.penalties import Contraction
from contractive.training import Chunk, epoch_keys, epoch_order, initial_state, make_engine, resolve_optimizer


class DeepExact(DeepContender):
    """Chunk by chunk with the rows in memory, as the estimators train."""

    objective = Objective((Contraction(CONTRACTION),))

    def prepare(self) -> dict[str, str]:
        """Put the data where it is wanted; compiling happens in the warm-up."""
        self._sgd = resolve_optimizer("sgd", LEARNING_RATE)
        self._order = epoch_order(len(self.data), self.batch_size, shuffle=False, seed=0, epoch=1)
        self._keys = epoch_keys(self.n_batches, seed=0, epoch=1)
        self.reset()
        model = self._state.model
        self._engine = make_engine(model, self.objective, self._sgd, self.data, batch_size=self.batch_size)
        self._loaded = self._engine.load(self.data, None)
        return {"jax": jax.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        """Put the initial state back, drawn by the package itself."""
        *upper, n_hidden = HIDDEN_SIZES
        model = initialize(
            self.n_features, n_hidden, rng=np.random.RandomState(123), hidden_layer_sizes=upper, activation="tanh"
        )
        self._state = initial_state(model, self._sgd, self.n_batches)
        starts = zip(self.parameters(), initial_parameters(self.n_features), strict=True)
        assert all(np.array_equal(ours, theirs) for ours, theirs in starts)

    def run_span(self, start: int, stop: int) -> Totals:
        """Train on some minibatches; the second number is the sum of the squares of the reported mean norms."""
        chunk = Chunk(self._order, (start, stop), len(self.data), self._keys)
        self._state = self._engine.run(self._state, self._loaded, chunk)
        error, norm = np.array(self._state.costs, np.float64)[start:stop].T
        return float(error.sum()), float((norm**2).sum())

    def parameters(self) -> list[np.ndarray]:
        """The nine arrays now."""
        model = self._state.model
        assert isinstance(model, Stack)
        layers = [layer for layer in model.layers if isinstance(layer, AutoEncoder)]
        weights = [layer.weight.T for layer in layers]
        biases = [layer.hidden_bias for layer in layers] + [layer.visible_bias for layer in reversed(layers)]
        return [np.array(parameter) for parameter in weights + biases]

    def check(self, minibatches: int) -> dict[str, Any]:
        """Train from the initial state, one minibatch at a time, and measure the squared norms before each."""
        self.reset()
        error = square = 0.0
        for index in range(minibatches):
            rows = self.data[index * self.batch_size : (index + 1) * self.batch_size]
            square += float(map_rows(jacobian_frobenius_sq, self._state.model, rows).mean())
            error += self.run_span(index, index + 1)[0]
        return check_values((error, square), minibatches, self.parameters())


if __name__ == "__main__":
    main(DeepExact)
