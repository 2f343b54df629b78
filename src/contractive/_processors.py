"""The processors that this process may use, and which threads compute on them."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import jax

__all__ = ["computing_in_callers", "n_callers", "n_processors"]

_FEW = 4  # processors that threads of Python keep busy: they take turns at what is Python
_THREADS_BESIDE_A_POOL = 3


def n_processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_callers() -> int:
    """How many threads should ask JAX for something at a time within `computing_in_callers`."""
    return max(2, n_processors()) if n_processors() <= _FEW else _THREADS_BESIDE_A_POOL


@contextmanager
def computing_in_callers() -> Generator[None]:
    """Have JAX, if it has not begun yet, compute in the threads that ask it for something.

    Else XLA shares each computation out among a pool of a thread for each processor, and threads that ask for many
    small ones at a time wait for each other: on two processors for a tenth of the time that `encode` takes. Where there
    are more than a few, the pool stays.
    """
    was_asynchronous = jax.config.read("jax_cpu_enable_async_dispatch")
    keeps_pool = "NPROC" in os.environ or n_processors() > _FEW
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if not keeps_pool:
        os.environ["NPROC"] = "1"  # threads of XLA's pool, which it makes when JAX begins
    try:
        yield
    finally:
        jax.config.update("jax_cpu_enable_async_dispatch", was_asynchronous)
        if not keeps_pool:
            del os.environ["NPROC"]
