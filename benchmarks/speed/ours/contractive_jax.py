"""This package's loop on JAX alone, without the compiled kernel."""

from __future__ import annotations

from contractive_cae import ContractiveAutoEncoder
from protocol import main


class OnJax(ContractiveAutoEncoder):
    """Everything as in `ContractiveAutoEncoder` but the engine."""

    engine = "jax"


if __name__ == "__main__":
    main(OnJax)
