"""Optimisers by their names, and those of the user's own."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contractive.training import (
    OPTIMIZERS,
    resolve_optimizer,
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_named_optimizers_are_optax_s_and_shared(name):
    assert resolve_optimizer(name, 0.1) == resolve_optimizer(name, 0.1)
    reference = {"sgd": optax.sgd(0.1), "momentum": optax.sgd(0.1, momentum=0.9), "adam": optax.adam(0.1)}[name]
    gradients = [jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])]
    ours, theirs = resolve_optimizer(name, 0.1), reference
    our_step: Any
    their_step: Any
    our_state, their_state = ours.init(gradients[0]), theirs.init(gradients[0])
    for gradient in gradients:
        our_step, our_state = ours.update(gradient, our_state)
        their_step, their_state = theirs.update(gradient, their_state)
        # With the settings in the state, Adam's corrections of its means are rounded once less.
        np.testing.assert_allclose(our_step, their_step, rtol=1e-5 if name == "adam" else 0)


def test_an_optimizer_of_the_users_own_is_taken_as_it_is():
    transformation = optax.rmsprop(0.01)
    assert resolve_optimizer(transformation, 1.0) is transformation


def test_something_that_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="`optimizer` must be a name or an optax transformation; got 3"):
        resolve_optimizer(3, 0.1)
