"""Optimisers by name, or optax's own objects."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

__all__ = ["DECAYS", "OPTIMIZERS", "decayed_rate", "plain_rate", "resolve_optimizer", "resumed_state"]

LearningRate = float | Callable[[ArrayLike], ArrayLike]

OPTIMIZERS = MappingProxyType(
    {
        "sgd": optax.sgd,
        "momentum": partial(optax.sgd, momentum=0.9),
        "adam": optax.adam,
    }
)
"""Every optimiser by name; momentum is 0.9, Adam has the defaults of its paper."""


DECAYS: Mapping[str, Callable[[float, int], LearningRate]] = MappingProxyType(
    {
        "none": lambda rate, n_updates: rate,
        "linear": lambda rate, n_updates: optax.linear_schedule(rate, 0.0, n_updates),
        "cosine": lambda rate, n_updates: optax.cosine_decay_schedule(rate, n_updates),
    }
)
"""How a step size may fall over a run, by name: to zero at the last update, unless it stays."""


@lru_cache
def decayed_rate(name: str, learning_rate: float, n_updates: int) -> LearningRate:
    """A step size that falls from `learning_rate` to zero in `n_updates`, or stays.

    Args:
        name: a key of `DECAYS`.
        learning_rate: > 0.
        n_updates: of the whole run, >= 1.

    Returns:
        The same optax schedule for the same arguments, so that compiled steps are shared; the number itself for "none".

    Example:
        >>> print(decayed_rate("linear", 0.1, 10)(5))
        0.05
    """
    return DECAYS[name](learning_rate, n_updates)


class NamedOptimizer(optax.GradientTransformation):
    """An optimiser by name, its step size a part of its state.

    All of one name are equal whatever their step size, so that they share one compiled step.
    """

    name: str
    learning_rate: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedOptimizer) and self.update is other.update

    def __hash__(self) -> int:
        return hash(self.update)


@lru_cache
def _with_rate_in_state(name: str) -> optax.GradientTransformation:
    return optax.inject_hyperparams(OPTIMIZERS[name])(learning_rate=1.0)


def _named_optimizer(name: str, learning_rate: float) -> NamedOptimizer:
    shared: Any = _with_rate_in_state(name)

    def init(parameters: Any) -> Any:
        dtype = next((leaf.dtype for leaf in jax.tree.leaves(parameters)), None)
        return _with_rate(shared.init(parameters), learning_rate, dtype)

    optimizer = NamedOptimizer(init, shared.update)  # type: ignore[arg-type]
    optimizer.name, optimizer.learning_rate = name, learning_rate
    return optimizer


def _with_rate(state: Any, learning_rate: float, dtype: Any) -> Any:
    rate = jnp.asarray(np.asarray(learning_rate, dtype))
    return state._replace(hyperparams=state.hyperparams | {"learning_rate": rate})


def resumed_state(transformation: optax.GradientTransformation, state: Any) -> Any:
    """The state that an earlier run left, with the step size that is asked for now."""
    if not isinstance(transformation, NamedOptimizer):
        return state
    return _with_rate(state, transformation.learning_rate, state.hyperparams["learning_rate"].dtype)


@lru_cache
def _scheduled_optimizer(name: str, schedule: Callable[[ArrayLike], ArrayLike]) -> optax.GradientTransformation:
    return OPTIMIZERS[name](schedule)


def resolve_optimizer(choice: object, learning_rate: LearningRate) -> optax.GradientTransformation:
    """The named optimiser, or the transformation itself, which brings its own learning rate.

    Args:
        choice: a key of `OPTIMIZERS`, or an optax transformation.
        learning_rate: the step size > 0, or an optax schedule: a function of the number of updates so far.

    Returns:
        An optax transformation. Equal ones, whose compiled steps are shared, for the same name and any step sizes, or
        for the same name and the same schedule.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(choice, str):
        make = _scheduled_optimizer if callable(learning_rate) else _named_optimizer
        return make(choice, learning_rate)  # type: ignore[arg-type]
    if not isinstance(choice, optax.GradientTransformation):
        raise TypeError(f"`optimizer` must be a name or an optax transformation; got {choice!r}.")
    return choice


def plain_rate(transformation: optax.GradientTransformation) -> float | None:
    """The step size where the transformation is plain SGD by name with a constant one, else None."""
    if isinstance(transformation, NamedOptimizer) and transformation.name == "sgd":
        return transformation.learning_rate
    return None
