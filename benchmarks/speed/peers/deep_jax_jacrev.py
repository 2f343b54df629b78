"""JAX without this package: `vmap(jacrev(encode))` in a jitted step.

Short trials on two cores, least milliseconds a step at 784 features, two runs each: weights kept as (inputs, outputs)
722 and 758, code and Jacobian from one pass 719 and 747; weights as (outputs, inputs) 703 and 679, both 662 and 666,
which is what this does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from deep_job import CONTRACTION, LEARNING_RATE, DeepContender, initial_parameters
from protocol import Totals, main

LAYERS = 3


def code_twice(parameters: list[Any], x: Any) -> tuple[Any, Any]:
    """One row's code, twice: `jacrev` differentiates the first and hands on the second."""
    h = x
    for weight, bias in zip(parameters[:LAYERS], parameters[LAYERS : 2 * LAYERS], strict=True):
        h = jnp.tanh(weight @ h + bias)
    return h, h


def reconstruction(parameters: list[Any], code: Any) -> Any:
    """What the decoder makes of codes, of shape (rows, 100)."""
    third, second, first = parameters[2 * LAYERS :]
    h = jnp.tanh(code @ parameters[2] + third)
    h = jnp.tanh(h @ parameters[1] + second)
    return h @ parameters[0] + first


def cost_with_jacobian(parameters: list[Any], x: Any) -> tuple[Any, Any]:
    """The cost and its two parts; weights are (outputs, inputs)."""
    jacobian, code = jax.vmap(jax.jacrev(partial(code_twice, parameters), has_aux=True))(x)
    error = jnp.sum((x - reconstruction(parameters, code)) ** 2) / len(x)
    frobenius_sq = jnp.sum(jacobian**2) / len(x)
    return error + CONTRACTION * frobenius_sq, jnp.stack([error, frobenius_sq])


def plain_cost(parameters: list[Any], x: Any) -> tuple[Any, Any]:
    """The same without the penalty."""
    code = jax.vmap(partial(code_twice, parameters))(x)[0]
    error = jnp.sum((x - reconstruction(parameters, code)) ** 2) / len(x)
    return error, jnp.stack([error, jnp.zeros(())])


class DeepJaxJacrev(DeepContender):
    """`jax.grad`, nine updates, one jitted function with the parameters donated."""

    cost = staticmethod(cost_with_jacobian)

    def prepare(self) -> dict[str, str]:
        self._train = jax.jit(self._step, donate_argnums=(0, 1))
        self.reset()
        return {"jax": jax.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        self._parameters = [jnp.array(array.T) for array in initial_parameters(self.n_features)]

    def _step(self, parameters: list[Any], totals: Any, x: Any) -> tuple[list[Any], Any]:
        gradients, parts = jax.grad(self.cost, has_aux=True)(parameters, x)
        updated = [p - LEARNING_RATE * g for p, g in zip(parameters, gradients, strict=True)]
        return updated, totals + parts

    def run_span(self, start: int, stop: int) -> Totals:
        totals, n = jnp.zeros(2), self.batch_size
        for index in range(start, stop):
            rows = self.data[index * n : (index + 1) * n]
            self._parameters, totals = self._train(self._parameters, totals, rows)
        jax.block_until_ready(self._parameters)
        error, frobenius_sq = totals.tolist()
        return error, frobenius_sq

    def parameters(self) -> list[np.ndarray]:
        return [np.asarray(parameter).T for parameter in self._parameters]


if __name__ == "__main__":
    main(DeepJaxJacrev)
