"""What trains on rows in memory, some minibatches at a time: JAX, or the compiled kernel."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..models import AutoEncoder, Model
from ..native import MAX_BATCH, Kernel, build_kernel
from ..objectives import Objective
from ..penalties import Contraction
from ._local import Exchange, LocalEngine
from ._optimizers import plain_rate
from ._shared import SharedEngine, own_places
from ._step import Chunk, TrainingState, on_device, run_chunk

__all__ = ["ENGINES", "Engine", "NativeEngine", "make_engine", "native_kernel"]

ENGINES = ("auto", "jax", "native")
"""What may run the loop; "auto" is "native" where that can do the job."""

_KERNEL_JOBS = (
    "the native kernel does plain SGD by name, tied sigmoid, cross-entropy, no penalty but the exact contraction, "
    f"no corruption, no sample weights, float32, dense rows, batches up to {MAX_BATCH}, on Linux and a CPU, with a C "
    "compiler"
)


@runtime_checkable
class Engine(Protocol):
    """Trains on rows in memory: all of them, or a window of more."""

    name: str

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        """Rows where the engine wants them, with what each counts, 1 on average; None for all the same."""
        ...

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """Train on some minibatches.

        Args:
            state: where to start; given up.
            loaded: the rows, as `load` gave them.
            chunk: which minibatches, and of which rows.
        """
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


def _kernel_row_type(rows: Any) -> np.dtype:
    return np.dtype(np.uint8 if rows.dtype == np.uint8 else np.float32)


def make_engine(
    model: Model,
    objective: Objective,
    transformation: optax.GradientTransformation,
    rows: Any,
    *,
    batch_size: int,
    uint8_scale: float = 1,
    engine: str = "auto",
    weighted: bool = False,
    shared: bool = False,
    exchange: Exchange | None = None,
) -> Engine:
    """What trains.

    Args:
        model: for its shape; training starts from the state.
        objective: what is minimised.
        transformation: an optax optimiser.
        rows: the data, for its kind, width and dtype.
        batch_size: rows a minibatch.
        uint8_scale: what a uint8 value is divided by.
        engine: one of `ENGINES`.
        weighted: whether rows have weights.
        shared: whether all devices of all processes train together, which JAX does.
        exchange: what shows all processes, which have a device each, the arrays of each; None where nothing does.

    Raises:
        ValueError: if `engine` is "native" and the kernel cannot do the job.
    """
    if shared:
        if engine == "native":
            raise ValueError("`engine` must be 'jax' or 'auto' where several devices train together; got 'native'.")
        if exchange is not None:
            scale, [place] = np.asarray(uint8_scale, model.dtype), own_places()
            return LocalEngine(objective, transformation, scale, batch_size, place, exchange)
        return SharedEngine(objective, transformation, np.asarray(uint8_scale, model.dtype), batch_size)
    kernel = None
    if engine != "jax" and not weighted:
        kernel = native_kernel(model, objective, transformation, rows, batch_size)
    if kernel is not None:
        return NativeEngine(
            kernel,
            _kernel_row_type(rows),
            contraction=float(sum(penalty.coefficient for penalty in objective.terms)),
            learning_rate=plain_rate(transformation),
            scale=uint8_scale if rows.dtype == np.uint8 else 1.0,
        )
    if engine == "native":
        raise ValueError(f"`engine` must be 'jax' or 'auto' for this job: {_KERNEL_JOBS}; got 'native'.")
    return JaxEngine(objective, transformation, np.asarray(uint8_scale, model.dtype))


class JaxEngine:
    """`run_chunk`: every objective and optimiser, in the dtype of the model.

    Args:
        objective: what is minimised.
        transformation: an optax optimiser.
        scale: what a uint8 value is divided by, in the dtype of the model.
    """

    name = "jax"

    def __init__(self, objective: Objective, transformation: optax.GradientTransformation, scale: np.ndarray):
        self._dtype = scale.dtype
        self._run = partial(run_chunk, objective=objective, transformation=transformation, scale=jnp.asarray(scale))

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> Any:
        """As for `Engine`: on the device."""
        return on_device(rows, weights, self._dtype)

    def run(self, state: TrainingState, loaded: Any, chunk: Chunk) -> TrainingState:
        """As for `Engine`: one call."""
        stored, weights = loaded
        return self._run(
            state,
            stored=stored,
            weights=weights,
            order=jnp.asarray(chunk.order),
            bounds=jnp.asarray(chunk.limits),
            keys=jnp.asarray(chunk.keys),
        )


class NativeEngine:
    """What `run_chunk` does, by the compiled kernel; nothing is random.

    Args:
        kernel: for the shape of the job.
        row_type: what rows are stored as.
        settings: those of `Kernel.run`.
    """

    name = "native"

    def __init__(self, kernel: Kernel, row_type: np.dtype, **settings: Any):
        self._kernel, self._row_type, self._settings = kernel, row_type, settings

    def load(self, rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """As for `Engine`; there are no weights."""
        return np.ascontiguousarray(rows, dtype=self._row_type)

    def run(self, state: TrainingState, loaded: np.ndarray, chunk: Chunk) -> TrainingState:
        """As for `Engine`."""
        model, costs = state.model, np.array(state.costs)
        assert isinstance(model, AutoEncoder)
        parameters = (np.asarray(model.weight), np.asarray(model.hidden_bias), np.asarray(model.visible_bias))
        own = costs[chunk.offset : chunk.offset + len(chunk.order)]
        rows, order = loaded[: chunk.n_rows], np.ascontiguousarray(chunk.order)
        parameters = self._kernel.run(parameters, rows, order, own, chunk.bounds, **self._settings)
        weight, hidden_bias, visible_bias = map(jnp.array, parameters)
        model = AutoEncoder(weight, hidden_bias, visible_bias, activation=model.activation, loss=model.loss)
        return TrainingState(model, state.optimizer_state, jnp.array(costs))
