"""What trains on a chunk: JAX on rows in memory or on sparse rows, or the compiled kernel."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._typing import StoredRows
from ..models import AutoEncoder, Model
from ..native import MAX_BATCH, Kernel, build_kernel
from ..objectives import Objective
from ..penalties import Contraction
from ._optimizers import plain_rate
from ._step import TrainingState, run_chunk

__all__ = ["ENGINES", "ChunkRunner", "chunk_runner", "native_kernel", "run_kernel"]

ENGINES = ("auto", "jax", "native")
"""What may run the loop; "auto" is "native" where that can do the job."""

_SPARSE_BLOCK_ENTRIES = 1 << 22  # of sparse rows made dense at a time: 16 MiB in float32

_KERNEL_JOBS = (
    "the native kernel does plain SGD by name, tied sigmoid, cross-entropy, no penalty but the exact contraction, "
    f"no corruption, no sample weights, float32, dense rows, batches up to {MAX_BATCH}, on Linux and a CPU, with a C "
    "compiler"
)


@runtime_checkable
class ChunkRunner(Protocol):
    """Trains on the minibatches from `bounds[0]` to `bounds[1]` of an epoch's order."""

    def __call__(
        self, state: TrainingState, *, order: np.ndarray, bounds: tuple[int, int], keys: np.ndarray
    ) -> TrainingState:
        """The state after the last of them; the one given is given up."""
        ...


def native_kernel(
    model: Model,
    objective: Objective,
    transformation: optax.GradientTransformation,
    rows: Any,
    batch_size: int,
) -> Kernel | None:
    """The compiled kernel for a job, or None where it does not compute what is asked for or cannot be compiled.

    It does plain SGD on the tied sigmoid auto-encoder with cross-entropy and no penalty but the exact contraction,
    without corruption, in float32, for batches up to `MAX_BATCH`, on Linux and a CPU, with a C compiler.
    """
    fits = (
        plain_rate(transformation) is not None
        and type(model) is AutoEncoder
        and (model.tied_weights, model.activation, model.loss, model.output) == (True, "sigmoid", "cross_entropy", None)
        and type(objective) is Objective
        and objective.corruption is None
        and all(type(term) is Contraction and not term.is_random for term in objective.terms)
        and model.dtype == np.float32
        and rows.dtype in (np.uint8, np.float32, np.float64)
        and not hasattr(rows, "toarray")
        and batch_size <= MAX_BATCH
        and jax.default_backend() == "cpu"
    )
    return build_kernel(rows.shape[1], batch_size, _kernel_row_type(rows)) if fits else None


def _kernel_row_type(rows: StoredRows | np.ndarray) -> np.dtype:
    return np.dtype(np.uint8 if rows.dtype == np.uint8 else np.float32)


def chunk_runner(
    model: Model,
    objective: Objective,
    transformation: optax.GradientTransformation,
    rows: Any,
    *,
    batch_size: int,
    uint8_scale: float = 1,
    engine: str = "auto",
    sample_weight: np.ndarray | None = None,
) -> tuple[ChunkRunner, str]:
    """What trains on a chunk, and the name of the engine that it is.

    Args:
        model: for its shape; training starts from the state.
        objective: what is minimised.
        transformation: an optax optimiser.
        rows: the data, of shape (n_rows, n_features), dense or scipy's CSR; it is put where the engine wants it.
            Of sparse rows only some are dense at any time.
        batch_size: rows a minibatch.
        uint8_scale: what a uint8 value is divided by.
        engine: one of `ENGINES`.
        sample_weight: what each row counts, of shape (n_rows,), 1 on average; None for all the same.

    Returns:
        The runner, and "jax" or "native".

    Raises:
        ValueError: if `engine` is "native" and the kernel cannot do the job.
    """
    kernel = None
    if engine != "jax" and sample_weight is None:
        kernel = native_kernel(model, objective, transformation, rows, batch_size)
    if kernel is not None:
        runner = partial(
            run_kernel,
            kernel=kernel,
            rows=np.ascontiguousarray(rows, dtype=_kernel_row_type(rows)),
            contraction=float(sum(penalty.coefficient for penalty in objective.terms)),
            learning_rate=plain_rate(transformation),
            scale=uint8_scale if rows.dtype == np.uint8 else 1.0,
        )
        return runner, "native"
    if engine == "native":
        raise ValueError(f"`engine` must be 'jax' or 'auto' for this job: {_KERNEL_JOBS}; got 'native'.")
    run = partial(
        run_chunk,
        objective=objective,
        transformation=transformation,
        scale=jnp.asarray(np.asarray(uint8_scale, model.dtype)),
    )
    weights = None if sample_weight is None else np.asarray(sample_weight, model.dtype)
    if hasattr(rows, "toarray"):
        return partial(_run_sparse, run=run, rows=rows, weights=weights), "jax"
    weights = None if weights is None else jnp.asarray(weights)
    return partial(_run_dense, run=run, stored=jnp.asarray(rows), weights=weights), "jax"


def _run_dense(
    state: TrainingState,
    *,
    run: Any,
    order: np.ndarray,
    bounds: tuple[int, int],
    stored: Any,
    weights: Any,
    keys: np.ndarray,
) -> TrainingState:
    """Rows in memory: one chunk is one call."""
    limits = np.array([*bounds, len(stored), 0], np.int32)
    return run(
        state,
        stored=stored,
        weights=weights,
        order=jnp.asarray(order),
        bounds=jnp.asarray(limits),
        keys=jnp.asarray(keys),
    )


def _run_sparse(
    state: TrainingState,
    *,
    run: Any,
    order: np.ndarray,
    bounds: tuple[int, int],
    rows: Any,
    weights: Any,
    keys: np.ndarray,
) -> TrainingState:
    """Sparse rows: some minibatches at a time are made dense, always as many, so that one compiled step does."""
    n_rows, n_features = rows.shape
    n_minibatches, batch_size = order.shape
    together = min(n_minibatches, max(1, _SPARSE_BLOCK_ENTRIES // (batch_size * n_features)))
    places = jnp.arange(together * batch_size, dtype=jnp.uint32).reshape(together, batch_size)
    for start in range(bounds[0], bounds[1], together):
        stop = min(together, bounds[1] - start)
        chosen = order[start : start + stop].ravel()
        padding = together * batch_size - len(chosen)
        stored = np.pad(rows[chosen].toarray(), ((0, padding), (0, 0)))
        own = None if weights is None else jnp.asarray(np.pad(weights[chosen], (0, padding)))
        limits = np.array([0, stop, n_rows - start * batch_size, start], np.int32)
        state = run(
            state,
            stored=jnp.asarray(stored),
            weights=own,
            order=places,
            bounds=jnp.asarray(limits),
            keys=jnp.asarray(keys),
        )
    return state


def run_kernel(
    state: TrainingState,
    *,
    kernel: Kernel,
    rows: np.ndarray,
    order: np.ndarray,
    bounds: tuple[int, int],
    keys: Any = None,
    **settings: Any,
) -> TrainingState:
    """What `run_chunk` does, by the compiled kernel; the settings are those of `Kernel.run`, nothing is random."""
    model, costs = state.model, np.array(state.costs)
    assert isinstance(model, AutoEncoder)
    parameters = (np.asarray(model.weight), np.asarray(model.hidden_bias), np.asarray(model.visible_bias))
    parameters = kernel.run(parameters, rows, np.ascontiguousarray(order), costs, bounds, **settings)
    weight, hidden_bias, visible_bias = map(jnp.array, parameters)
    model = AutoEncoder(weight, hidden_bias, visible_bias, activation=model.activation, loss=model.loss)
    return TrainingState(model, state.optimizer_state, jnp.array(costs))
