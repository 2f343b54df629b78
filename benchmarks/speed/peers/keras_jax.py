"""An expert's Keras 3 on JAX: a Keras model and optimizer in a jitted stateless step.

Short trials on two cores, microseconds a minibatch at batch 10 / 100: `model.fit` with
`compute_loss` overridden 690 / 2980; the same with `steps_per_execution=32` 580 / 2680; this
loop 510 / 2510. A `lax.scan` around the step would make it 430 / 2440, but then the training
loop is plain JAX and nothing of Keras is left in it.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402
from protocol import (  # noqa: E402
    N_FEATURES,
    N_HIDDEN,
    Contender,
    Totals,
    initial_weight,
    main,
)


class AutoEncoder(keras.Model):
    """Tied sigmoid auto-encoder; the weight is (features, hidden), as in the tutorial."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(shape=(N_FEATURES, N_HIDDEN), name="kernel")
        self.hidden_bias = self.add_weight(shape=(N_HIDDEN,), initializer="zeros", name="hidden_bias")
        self.visible_bias = self.add_weight(shape=(N_FEATURES,), initializer="zeros", name="visible_bias")

    def call(self, x: Any) -> tuple[Any, Any]:
        """The logits of the reconstruction and each row's ||J||_F^2."""
        h = ops.sigmoid(ops.matmul(x, self.kernel) + self.hidden_bias)
        logits = ops.matmul(h, ops.transpose(self.kernel)) + self.visible_bias
        slope = h * (1 - h)
        frobenius_sq = ops.matmul(ops.square(slope), ops.sum(ops.square(self.kernel), axis=0))
        return logits, frobenius_sq


class KerasJax(Contender):
    """`stateless_call`, `stateless_apply`, `jax.jit` with the state donated."""

    def prepare(self) -> dict[str, str]:
        self._model = AutoEncoder()
        self._model.build((self.batch_size, N_FEATURES))
        self._optimizer = keras.optimizers.SGD(self.learning_rate)
        self._optimizer.build(self._model.trainable_variables)
        self._train = jax.jit(self._step, donate_argnums=0)
        self.reset()
        return {"keras": keras.__version__, "jax": jax.__version__, "numpy": np.__version__}

    def reset(self) -> None:
        weight = jnp.array(initial_weight())
        trainable = [weight, jnp.zeros(N_HIDDEN), jnp.zeros(N_FEATURES)]
        fixed = [jnp.array(v.value) for v in self._model.non_trainable_variables]
        optimizer = [jnp.array(v.value) for v in self._optimizer.variables]
        self._state = trainable, fixed, optimizer, jnp.zeros(2)

    def _loss(self, trainable: Any, fixed: Any, x: Any) -> tuple[Any, tuple[Any, Any]]:
        (logits, frobenius_sq), fixed = self._model.stateless_call(trainable, fixed, x)
        # Cross-entropy on logits; `keras.losses` would average over the pixels.
        error = ops.mean(ops.sum(ops.softplus(logits) - x * logits, axis=1))
        frobenius_sq = ops.mean(frobenius_sq)
        return error + self.contraction * frobenius_sq, (fixed, ops.stack([error, frobenius_sq]))

    def _step(self, state: Any, x: Any) -> Any:
        trainable, fixed, optimizer, totals = state
        gradient = jax.grad(self._loss, has_aux=True)
        gradients, (fixed, parts) = gradient(trainable, fixed, x)
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return trainable, fixed, optimizer, totals + parts

    def run_span(self, start: int, stop: int) -> Totals:
        state, n = (*self._state[:3], jnp.zeros(2)), self.batch_size
        for index in range(start, stop):
            state = self._train(state, self.data[index * n : (index + 1) * n])
        self._state = jax.block_until_ready(state)
        reconstruction_error, jacobian_frobenius_sq = state[3].tolist()
        return reconstruction_error, jacobian_frobenius_sq

    def weight(self) -> np.ndarray:
        return np.asarray(self._state[0][0])


if __name__ == "__main__":
    main(KerasJax)
