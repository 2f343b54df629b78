"""The package `rapidae` on JAX, where it does not train: Keras asks JAX for the gradient of its vector of losses."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

from protocol import main  # noqa: E402
from rapidae_sigmoid import RapidaeSigmoid  # noqa: E402

if __name__ == "__main__":
    main(RapidaeSigmoid)
