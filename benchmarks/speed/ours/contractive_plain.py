"""The same loop for the plain auto-encoder, compiled without any trace of the Jacobian: what the penalty costs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from contractive_cae import SCALE, ContractiveAutoEncoder
from protocol import main

from contractive.models import AutoEncoder
from contractive.native import MAX_BATCH, build_kernel
from contractive.objectives import Objective, Parts
from contractive.training import Engine, NativeEngine, make_engine


class WithoutJacobian(Objective):
    """The mean reconstruction error alone; the Jacobian's norm is not even measured."""

    def __call__(self, model, x, row_weights, key=None):
        """The cost is its only part."""

        def error(x):
            return model.reconstruction_loss.error(x, model.forward(x).output)

        cost = row_weights @ jax.vmap(error)(x)
        return cost, Parts(cost, jnp.zeros_like(cost))


class PlainAutoEncoder(ContractiveAutoEncoder):
    """Everything as in `ContractiveAutoEncoder`, engine included, but the objective."""

    def make_engine(self, model: AutoEncoder) -> Engine:
        """What trains."""
        n_features = model.weight.shape[1]
        small = self.batch_size <= MAX_BATCH
        kernel = build_kernel(n_features, self.batch_size, np.dtype(np.uint8), jacobian=False) if small else None
        if kernel is None:
            return make_engine(
                model, WithoutJacobian(), self._sgd, self._rows, batch_size=self.batch_size, uint8_scale=SCALE
            )
        settings = {"contraction": 0.0, "learning_rate": self.learning_rate, "scale": SCALE}
        return NativeEngine(kernel, self._rows.dtype, **settings)


if __name__ == "__main__":
    main(PlainAutoEncoder)
