"""The package `rapidae` on TensorFlow: its `CAE` with an encoder and a decoder of its own, of the tutorial's sizes.

Its encoder has ReLU units, its penalty the sigmoid's derivative. Otherwise than in the tutorial: as in
`rapidae_sigmoid.py`, and a decoder of its own weight.
"""

from __future__ import annotations

from typing import Any

from protocol import N_FEATURES, N_HIDDEN, main
from rapidae_sigmoid import RapidaeSigmoid

from rapidae.models.base import VanillaDecoder, VanillaEncoder  # isort: skip  # after Keras has its backend


class RapidaeRelu(RapidaeSigmoid):
    """Everything as in `RapidaeSigmoid` but the two layers."""

    def layers(self) -> tuple[Any, Any]:
        return (
            VanillaEncoder(N_FEATURES, N_HIDDEN, layers_conf=[]),
            VanillaDecoder(N_FEATURES, N_HIDDEN, layers_conf=[]),
        )


if __name__ == "__main__":
    main(RapidaeRelu)
