"""Training: the one loop, its compiled step, its engines and its optimisers."""

from ._engines import ENGINES, Engine, NativeEngine, make_engine, native_kernel
from ._feeds import Feed, epoch_keys, epoch_order, make_feed
from ._loop import EpochRecord, Position, Progress, Trained, train
from ._optimizers import DECAYS, OPTIMIZERS, decayed_rate, resolve_optimizer
from ._shared import Peers
from ._step import Chunk, TrainingState, fresh_state, initial_state, run_chunk, update
from ._stream import stream_order

__all__ = [
    "DECAYS",
    "ENGINES",
    "OPTIMIZERS",
    "Chunk",
    "Engine",
    "EpochRecord",
    "Feed",
    "NativeEngine",
    "Peers",
    "Position",
    "Progress",
    "Trained",
    "TrainingState",
    "decayed_rate",
    "epoch_keys",
    "epoch_order",
    "fresh_state",
    "initial_state",
    "make_engine",
    "make_feed",
    "native_kernel",
    "resolve_optimizer",
    "run_chunk",
    "stream_order",
    "train",
    "update",
]
