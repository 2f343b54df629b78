"""Training: the one loop, its compiled step, its engines and its optimisers."""

from ._engines import ENGINES, ChunkRunner, chunk_runner, native_kernel, run_kernel
from ._loop import EpochRecord, Progress, Trained, epoch_keys, epoch_order, train
from ._optimizers import DECAYS, OPTIMIZERS, decayed_rate, resolve_optimizer
from ._step import TrainingState, initial_state, run_chunk, update

__all__ = [
    "DECAYS",
    "ENGINES",
    "OPTIMIZERS",
    "ChunkRunner",
    "EpochRecord",
    "Progress",
    "Trained",
    "TrainingState",
    "chunk_runner",
    "decayed_rate",
    "epoch_keys",
    "epoch_order",
    "initial_state",
    "native_kernel",
    "resolve_optimizer",
    "run_chunk",
    "run_kernel",
    "train",
    "update",
]
