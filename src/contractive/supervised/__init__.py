"""The supervised side: fine-tuning, tangent propagation, smoothness in the worst direction, tangent distance."""

from ._distance import two_sided_tangent_distance_sq
from ._loop import FineTuningProgress, FineTuningRecord, SupervisedRows, fine_tune, minibatches_an_epoch
from ._objective import Batch, SupervisedObjective, SupervisedParts
from ._step import FineTuningState, limit_norms, run_supervised_chunk, supervised_update
from ._terms import (
    dropout,
    logits_with_dropout,
    smoothness,
    softmax_cross_entropy,
    tangent_propagation,
    tangent_propagation_estimate,
    worst_direction,
)

__all__ = [
    "Batch",
    "FineTuningProgress",
    "FineTuningRecord",
    "FineTuningState",
    "SupervisedObjective",
    "SupervisedParts",
    "SupervisedRows",
    "dropout",
    "fine_tune",
    "limit_norms",
    "logits_with_dropout",
    "minibatches_an_epoch",
    "run_supervised_chunk",
    "smoothness",
    "softmax_cross_entropy",
    "supervised_update",
    "tangent_propagation",
    "tangent_propagation_estimate",
    "two_sided_tangent_distance_sq",
    "worst_direction",
]
