"""The same loop for the plain auto-encoder, compiled without any trace of the Jacobian: what the penalty costs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from contractive_cae import ContractiveAutoEncoder
from protocol import main

from contractive.objectives import Objective, Parts


class WithoutJacobian(Objective):
    """The mean reconstruction error alone; the Jacobian's norm is not even measured."""

    def __call__(self, model, x, row_weights):
        """The cost is its only part."""

        def error(x):
            return model.reconstruction_loss.error(x, model.forward(x).output)

        cost = row_weights @ jax.vmap(error)(x)
        return cost, Parts(cost, jnp.zeros_like(cost))


class PlainAutoEncoder(ContractiveAutoEncoder):
    """Everything as in `ContractiveAutoEncoder` but the objective."""

    objective = WithoutJacobian()


if __name__ == "__main__":
    main(PlainAutoEncoder)
