"""One update of a classifier, and the jitted loop of it over a chunk of minibatches that were gathered before."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from .._typing import Array, Float, Int, RandomKey, Scalar, UInt32
from ..batched import as_floats
from ..models import Classifier
from ._objective import Batch, SupervisedObjective, SupervisedParts

__all__ = ["FineTuningState", "limit_norms", "run_supervised_chunk", "supervised_update"]


class FineTuningState(NamedTuple):
    """All that changes in a run, as one pytree on the device.

    Args:
        classifier: encoder and output layer.
        optimizer_state: what optax keeps.
    """

    classifier: Classifier
    optimizer_state: optax.OptState


def limit_norms(classifier: Classifier, max_norm: Scalar) -> Classifier:
    """Scale the incoming weights of every unit down to a Euclidean norm of at most `max_norm`.

    Args:
        classifier: whose `weights` are limited, row by row; of an encoder that is no chain of dense layers only the
            output layer's.
        max_norm: the limit, > 0.

    Returns:
        The classifier with the limited weights; biases and decoder are as they were.

    References:
        Srivastava et al., Dropout, JMLR 2014, section 5.1 (max-norm regularization).
    """

    def limited(weight: Float[Array, "units incoming"]) -> Float[Array, "units incoming"]:
        norms = jnp.linalg.norm(weight, axis=1, keepdims=True)
        return weight * jnp.where(norms > max_norm, max_norm / jnp.where(norms > 0, norms, 1), 1)

    return eqx.tree_at(lambda classifier: classifier.weights, classifier, replace_fn=limited)


def supervised_update(
    state: FineTuningState,
    objective: SupervisedObjective,
    transformation: optax.GradientTransformation,
    labeled: Batch,
    everything: Batch,
    max_norm: Scalar | None = None,
    key: RandomKey | None = None,
) -> tuple[FineTuningState, SupervisedParts]:
    """One step of gradient descent on the objective of one minibatch; the parts are those before the step.

    Args:
        state: where to start.
        objective: what is minimised.
        transformation: an optax optimiser.
        labeled: the rows with labels.
        everything: the rows for the terms that need no label.
        max_norm: see `limit_norms`; None for no limit.
        key: what dropout and random terms depend on.
    """
    parameters, fixed = eqx.partition(state.classifier, eqx.is_inexact_array)

    def cost(parameters: Any) -> tuple[Scalar, SupervisedParts]:
        return objective(eqx.combine(parameters, fixed), labeled, everything, key)

    gradient, parts = jax.grad(cost, has_aux=True)(parameters)
    updates, optimizer_state = transformation.update(gradient, state.optimizer_state, parameters)
    classifier = eqx.combine(eqx.apply_updates(parameters, updates), fixed)
    if max_norm is not None:
        classifier = limit_norms(classifier, max_norm)
    return FineTuningState(classifier, optimizer_state), parts


@partial(jax.jit, static_argnames="transformation", donate_argnames="state")
def run_supervised_chunk(
    state: FineTuningState,
    objective: SupervisedObjective,
    transformation: optax.GradientTransformation,
    labeled: Batch,
    everything: Batch | None,
    scale: Scalar,
    max_norm: Scalar | None,
    keys: UInt32[Array, "minibatches 2"],
    n_minibatches: Int[Array, ""],
) -> tuple[FineTuningState, Float[Array, "minibatches 2"]]:
    """Train on the first `n_minibatches` of a chunk, whose arrays have a leading axis of minibatches.

    Args:
        state: where to start; given up.
        objective: what is minimised.
        transformation: an optax optimiser.
        labeled: the rows with labels, as they are stored.
        everything: the rows for the terms that need no label; None where they are the same.
        scale: what a uint8 value is divided by.
        max_norm: see `limit_norms`; None for no limit.
        keys: what each minibatch draws from, as the words of a key.
        n_minibatches: how many; any number runs the same compiled code.

    Returns:
        The state, and the parts of each minibatch.
    """
    dtype = state.classifier.dtype

    def floats(batch: Batch) -> Batch:
        tangents = None if batch.tangents is None else batch.tangents.astype(dtype)
        return batch._replace(x=as_floats(batch.x, scale, dtype), tangents=tangents)

    def step(number: Int[Array, ""], carried: tuple[FineTuningState, Array]) -> tuple[FineTuningState, Array]:
        state, costs = carried
        own = jax.tree.map(lambda leaf: leaf[number], (labeled, everything))
        first = floats(own[0])
        second = first if own[1] is None else floats(own[1])
        key = jax.random.wrap_key_data(keys[number], impl="threefry2x32")
        state, parts = supervised_update(state, objective, transformation, first, second, max_norm, key)
        return state, costs.at[number].set(jnp.stack(parts))

    return jax.lax.fori_loop(0, n_minibatches, step, (state, jnp.zeros((len(keys), 2), dtype)))
