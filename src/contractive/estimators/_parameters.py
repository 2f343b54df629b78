"""From the parameters of an estimator to checked values and to the pieces that they name."""

from typing import Any

import numpy as np

from .._validation import check_choice, check_count, check_flag, check_interval, check_seed, shown
from ..activations import ACTIVATIONS
from ..corruption import CORRUPTIONS, Corruption, Gaussian, Masking, SaltAndPepper
from ..losses import LOSSES
from ..objectives import Objective
from ..penalties import Contraction, HigherOrder, Penalty, ReconstructionContraction, SpectralContraction, WeightDecay
from ..sources import RowReader
from ..training import DECAYS, ENGINES, OPTIMIZERS
from ._streams import range_of

__all__ = [
    "DEFAULT_BATCH",
    "PENALTY_NAMES",
    "SMOOTHNESS_NAMES",
    "batch_size",
    "check_architecture",
    "check_corruption",
    "check_fine_tuning",
    "check_penalties",
    "check_training",
    "make_contraction",
    "make_corruption",
    "make_objective",
    "value_range",
]

DEFAULT_BATCH = 128

PENALTY_NAMES = (
    "auto",
    "closed_form",
    "exact",
    "hutchinson",
    "reconstruction",
    "reconstruction_hutchinson",
    "spectral",
)
"""What `penalty` may name: which Jacobian is penalised, and how its norm is had."""

SMOOTHNESS_NAMES = ("spectral",)
"""What `smoothness` may name: in which direction the output is held still."""


def check_training(estimator: Any) -> None:
    """Refuse wrong values among the parameters that say how to train.

    Raises:
        TypeError: if one is of the wrong type.
        ValueError: if one is out of its range.
    """
    if not callable(estimator.learning_rate):
        check_interval("learning_rate", estimator.learning_rate, low=0, strict=True)
    if isinstance(estimator.optimizer, str):
        check_choice("optimizer", estimator.optimizer, OPTIMIZERS)
    elif not all(hasattr(estimator.optimizer, name) for name in ("init", "update")):
        raise TypeError(
            f"`optimizer` must be one of {', '.join(map(repr, sorted(OPTIMIZERS)))} or an optax transformation; "
            f"got {shown(estimator.optimizer)}."
        )
    batch_size(estimator.batch_size, 1, at_most_rows=False)  # how many rows there are is not known yet
    check_flag("shuffle", estimator.shuffle)
    check_interval("validation_fraction", estimator.validation_fraction, low=0, high=1, strict=True)
    check_flag("early_stopping", estimator.early_stopping)
    check_count("n_iter_no_change", estimator.n_iter_no_change)
    check_interval("tol", estimator.tol, low=0)
    check_flag("warm_start", getattr(estimator, "warm_start", False))
    check_seed("random_state", estimator.random_state)
    callbacks = estimator.callbacks or ()
    if not isinstance(callbacks, list | tuple) or not all(map(callable, callbacks)):
        raise TypeError(f"`callbacks` must be a list of functions of (estimator, event); got {shown(callbacks)}.")


def check_architecture(estimator: Any) -> None:
    """Refuse wrong values among the parameters that say what is trained; errors as for `check_training`."""
    check_count("n_components", estimator.n_components)
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, str) or not hasattr(sizes, "__len__"):
        raise TypeError(f"`hidden_layer_sizes` must be a sequence of whole numbers >= 1; got {shown(sizes)}.")
    for size in sizes:
        check_count("hidden_layer_sizes", size)
    if not callable(estimator.activation):
        check_choice("activation", estimator.activation, ACTIVATIONS)
    check_choice("loss", estimator.loss, LOSSES)
    check_flag("tied_weights", estimator.tied_weights)
    check_choice("engine", estimator.engine, ENGINES)
    check_interval("uint8_scale", estimator.uint8_scale, low=0, strict=True)
    check_count("max_epochs", estimator.max_epochs)
    for name in ("encoder", "decoder"):
        own = getattr(estimator, name)
        if own is not None and not callable(own):
            raise TypeError(f"`{name}` must be an Equinox module or a function of one example; got {shown(own)}.")
    if estimator.decoder is not None and estimator.encoder is None:
        raise ValueError("`encoder` must be given where `decoder` is; got None.")
    check_closed_form(estimator.penalty, one_layer=not len(sizes) and estimator.encoder is None)


def check_closed_form(penalty: object, *, one_layer: bool) -> None:
    """Refuse the closed form of one layer where the encoder is not a single dense one.

    Raises:
        ValueError: if it is asked for there.
    """
    if penalty == "closed_form" and not one_layer:
        raise ValueError("`penalty` must be 'auto' or 'exact' for more than one dense layer; got 'closed_form'.")


def check_penalties(estimator: Any) -> None:
    """Refuse wrong values among the parameters of the penalties; errors as for `check_training`."""
    check_interval("contraction", estimator.contraction, low=0)
    check_count("n_probes", estimator.n_probes)
    check_interval("hessian_weight", estimator.hessian_weight, low=0)
    check_interval("hessian_std", estimator.hessian_std, low=0, strict=True)
    check_count("n_hessian_samples", estimator.n_hessian_samples)
    check_interval("weight_decay", estimator.weight_decay, low=0)
    _check_penalty(estimator.penalty)


def _check_penalty(penalty: object) -> None:
    if isinstance(penalty, Penalty):
        return
    if not isinstance(penalty, str):
        raise TypeError(
            f"`penalty` must be one of {', '.join(map(repr, PENALTY_NAMES))} or a Penalty; got {shown(penalty)}."
        )
    check_choice("penalty", penalty, PENALTY_NAMES)


def check_fine_tuning(estimator: Any) -> None:
    """Refuse wrong values among the parameters of fine-tuning; errors as for `check_training`."""
    for name in ("dropout", "input_dropout"):
        share = check_interval(name, getattr(estimator, name), low=0, high=1)
        if share == 1:
            raise ValueError(f"`{name}` must be below 1, as something must be left; got 1.")
    if estimator.max_norm is not None:
        check_interval("max_norm", estimator.max_norm, low=0, strict=True)
    check_interval("contraction", estimator.contraction, low=0)
    check_count("n_probes", estimator.n_probes)
    _check_penalty(estimator.penalty)
    if isinstance(estimator.penalty, str) and estimator.penalty != "auto" and not estimator.contraction:
        raise ValueError(f"`contraction` must be > 0 for `penalty` to count; got 0 and {estimator.penalty!r}.")
    check_interval("weight_decay", estimator.weight_decay, low=0)
    if estimator.smoothness is not None:
        check_choice("smoothness", estimator.smoothness, SMOOTHNESS_NAMES)
    check_interval("smoothness_weight", estimator.smoothness_weight, low=0)
    check_interval("smoothness_radius", estimator.smoothness_radius, low=0, strict=True)
    check_count("smoothness_warmup", estimator.smoothness_warmup, low=0)
    check_count("n_power_iterations", estimator.n_power_iterations)
    decay = check_choice("learning_rate_decay", estimator.learning_rate_decay, DECAYS)
    if decay != "none" and (callable(estimator.learning_rate) or not isinstance(estimator.optimizer, str)):
        raise ValueError(
            "`learning_rate_decay` must be 'none' where `learning_rate` is a schedule or `optimizer` brings its own; "
            f"got {decay!r}."
        )


def check_corruption(estimator: Any) -> None:
    """Refuse wrong values among the parameters of the corruption; errors as for `check_training`."""
    check_interval("corruption_level", estimator.corruption_level, low=0, high=1)
    check_interval("corruption_std", estimator.corruption_std, low=0)
    if not isinstance(estimator.corruption, Corruption):
        check_choice("corruption", estimator.corruption, CORRUPTIONS)


def make_corruption(estimator: Any, low: float, high: float) -> Corruption:
    """The corruption that the parameters name; `low` and `high` are the extremes of the training data."""
    if isinstance(estimator.corruption, Corruption):
        return estimator.corruption
    if estimator.corruption == "gaussian":
        return Gaussian(float(estimator.corruption_std))
    if estimator.corruption == "masking":
        return Masking(float(estimator.corruption_level))
    return SaltAndPepper(float(estimator.corruption_level), float(low), float(high))


def make_objective(estimator: Any, corruption: Corruption | None) -> Objective:
    """Reconstruction plus the penalties whose coefficient is not zero."""
    penalties: list[Penalty] = []
    if isinstance(estimator.penalty, Penalty):
        penalties.append(estimator.penalty)
    elif estimator.contraction:
        penalties.append(make_contraction(estimator.penalty, float(estimator.contraction), int(estimator.n_probes)))
    if estimator.hessian_weight:
        std, samples = float(estimator.hessian_std), int(estimator.n_hessian_samples)
        penalties.append(HigherOrder(float(estimator.hessian_weight), std, samples))
    if estimator.weight_decay:
        penalties.append(WeightDecay(float(estimator.weight_decay)))
    return Objective(tuple(penalties), corruption)


def make_contraction(name: str | Penalty, coefficient: float, n_probes: int) -> Penalty:
    """What `penalty` names, with its coefficient; a `Penalty` brings its own."""
    if isinstance(name, Penalty):
        return name
    if name == "spectral":
        return SpectralContraction(coefficient)
    kind = ReconstructionContraction if name.startswith("reconstruction") else Contraction
    return kind(coefficient, "hutchinson", n_probes) if name.endswith("hutchinson") else kind(coefficient)


def batch_size(choice: object, n_rows: int, *, at_most_rows: bool) -> int:
    """Rows a minibatch: as asked for, or `DEFAULT_BATCH` for "auto"; never more than there are rows.

    Args:
        choice: a whole number >= 1 or "auto".
        n_rows: rows to train on.
        at_most_rows: whether more than `n_rows` is refused; else it means all of them.

    Raises:
        TypeError: if `choice` is of another type.
        ValueError: if it is out of its range.
    """
    if isinstance(choice, str):
        check_choice("batch_size", choice, ("auto",))
        return min(DEFAULT_BATCH, n_rows)
    size = check_count("batch_size", choice)
    if size > n_rows and at_most_rows:
        raise ValueError(f"`batch_size` must be at most the number of rows trained on, {n_rows}; got {size}.")
    return min(size, n_rows)


def value_range(rows: Any, scale: float) -> tuple[float, float]:
    """The least and the greatest value of data as the model sees it; 0 is among those of sparse data."""
    low, high = range_of(rows) if isinstance(rows, RowReader) else (float(rows.min()), float(rows.max()))
    return (low / scale, high / scale) if rows.dtype == np.uint8 else (low, high)
