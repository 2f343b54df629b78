"""JAX without this package: `vmap(jacrev)` of the encoder in a jitted step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from protocol import (
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)


def code_twice(parameters: Any, x: Any) -> tuple[Any, Any]:
    """One row's code, twice: `jacrev` differentiates the first and hands on the second."""
    weight, hidden_bias, _ = parameters
    h = jax.nn.sigmoid(weight @ x + hidden_bias)
    return h, h


class JaxJacrev(Contender):
    """`jax.grad`, three updates, one jitted function with the parameters donated; the weight is (hidden, features)."""

    def prepare(self) -> dict[str, str]:
        self._train = jax.jit(self._step, donate_argnums=(0, 1))
        self.reset()
        return {"jax": jax.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._parameters = [jnp.array(initial_weight().T), jnp.zeros(N_HIDDEN), jnp.zeros(N_FEATURES)]

    def _cost(self, parameters: Any, x: Any) -> tuple[Any, Any]:
        weight, _, visible_bias = parameters
        jacobian, h = jax.vmap(jax.jacrev(code_twice, argnums=1, has_aux=True), in_axes=(None, 0))(parameters, x)
        logits = h @ weight + visible_bias
        error = jnp.sum(jax.nn.softplus(logits) - x * logits) / len(x)
        frobenius_sq = jnp.sum(jacobian**2) / len(x)
        return error + self.contraction * frobenius_sq, jnp.stack([error, frobenius_sq])

    def _step(self, parameters: Any, totals: Any, x: Any) -> tuple[Any, Any]:
        gradients, parts = jax.grad(self._cost, has_aux=True)(parameters, x)
        updated = [p - self.learning_rate * g for p, g in zip(parameters, gradients, strict=True)]
        return updated, totals + parts

    def run_span(self, start: int, stop: int) -> Totals:
        totals, n = jnp.zeros(2), self.batch_size
        for index in range(start, stop):
            self._parameters, totals = self._train(self._parameters, totals, self.data[index * n : (index + 1) * n])
        jax.block_until_ready(self._parameters)
        reconstruction_error, jacobian_frobenius_sq = totals.tolist()
        return reconstruction_error, jacobian_frobenius_sq

    def weight(self) -> np.ndarray:
        return np.asarray(self._parameters[0]).T


if __name__ == "__main__":
    main(JaxJacrev)
