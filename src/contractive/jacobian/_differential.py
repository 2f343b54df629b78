"""The derivative of the encoder, or of the reconstruction, at one example: as a matrix, a norm, a linear map."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from .._typing import Array, Float, JacobianMatrix, RandomKey, Scalar, Visible
from ..activations import ACTIVATIONS
from ..batched import floats_held
from ..models import DenseLayer, Forward, Model
from ._chain import Plan, cheapest_plan, factor, factor_frobenius_sq, floats_of_plan, multiply, prepare

__all__ = [
    "Differential",
    "Prepared",
    "encoder_differential",
    "frobenius_sq",
    "hutchinson_frobenius_sq",
    "largest_singular_value",
    "matrix",
    "prepare_frobenius_sq",
    "reconstruction_differential",
    "squared_distance",
]

Output = Float[Array, " hidden"]


class Differential(NamedTuple):
    """The derivative of a function at one example.

    Args:
        function: x -> h or x -> r.
        x: the example.
        shape: entries of the function's value and of x.
        weights: of the chain of dense layers that the function is; None where it is none.
        slopes: s'(a) of each of them.
    """

    function: Callable[[Visible], Output]
    x: Visible
    shape: tuple[int, int]
    weights: tuple[Array, ...] | None
    slopes: tuple[Array, ...]

    def push(self, v: Visible) -> Output:
        """J v."""
        if self.weights is None:
            return jax.jvp(self.function, (self.x,), (v,))[1]
        for weight, slope in zip(self.weights, self.slopes, strict=True):
            v = slope * (weight @ v)
        return v

    def pull(self, u: Output) -> Visible:
        """J^T u."""
        if self.weights is None:
            return jax.vjp(self.function, self.x)[1](u)[0]
        for weight, slope in zip(reversed(self.weights), reversed(self.slopes), strict=True):
            u = (slope * u) @ weight
        return u


class Prepared(eqx.Module):
    """What ||J||_F^2 needs of the weights alone, with the plan that it belongs to; the plan is None for autodiff."""

    value: Array | None
    plan: Plan | None = eqx.field(static=True)


def encoder_differential(model: Model, forward: Forward) -> Differential:
    """J_f(x), the derivative of the code, from what the forward pass knows."""
    return _differential(model.encode, forward, model.n_hidden, model.encoder_layers, forward.preactivations)


def reconstruction_differential(model: Model, forward: Forward) -> Differential:
    """J_{g o f}(x), the derivative of the reconstruction, output nonlinearity included."""
    encoder, decoder = model.encoder_layers, model.decoder_layers
    if encoder is None or decoder is None:
        return _differential(model.reconstruct, forward, model.n_features, None, ())
    preactivations, h = [*forward.preactivations], forward.hidden
    for layer in decoder[:-1]:
        preactivations.append(layer.preactivation(h))
        h = layer.activation.function(preactivations[-1])
    preactivations.append(forward.output)
    return _differential(model.reconstruct, forward, model.n_features, encoder + decoder, tuple(preactivations))


def _differential(
    function: Callable[[Visible], Output],
    forward: Forward,
    n_outputs: int,
    layers: tuple[DenseLayer, ...] | None,
    preactivations: tuple[Array, ...],
) -> Differential:
    shape = n_outputs, forward.x.shape[0]
    if layers is None:
        return Differential(function, forward.x, shape, None, ())
    slopes = tuple(layer.activation.derivative(a) for layer, a in zip(layers, preactivations, strict=True))
    return Differential(function, forward.x, shape, tuple(layer.weight for layer in layers), slopes)


def chain_of(model: Model, *, reconstruction: bool) -> tuple[DenseLayer, ...] | None:
    """The dense layers from x to the code or to the reconstruction; None where there is another function between."""
    encoder, decoder = model.encoder_layers, model.decoder_layers
    if encoder is None or not reconstruction:
        return encoder
    return None if decoder is None else encoder + decoder


def plan_of(layers: tuple[DenseLayer, ...] | None, batch: int) -> Plan | None:
    """The cheapest plan for a chain; None where there is none."""
    if layers is None:
        return None
    return cheapest_plan(_sizes(layers), linear_top=layers[-1].activation is ACTIVATIONS["linear"], batch=batch)


def _sizes(layers: tuple[DenseLayer, ...]) -> tuple[int, ...]:
    return (layers[0].weight.shape[1], *(layer.weight.shape[0] for layer in layers))


def prepare_frobenius_sq(model: Model, batch: int, *, reconstruction: bool = False) -> Prepared:
    """Choose how ||J||_F^2 is computed, and compute what is the same for all examples of a minibatch.

    Args:
        model: the auto-encoder.
        batch: rows a minibatch.
        reconstruction: whether J is that of the reconstruction g o f instead of the code's.
    """
    layers = chain_of(model, reconstruction=reconstruction)
    plan = plan_of(layers, batch)
    if layers is None or plan is None:
        return Prepared(None, None)
    return Prepared(prepare(plan, tuple(layer.weight for layer in layers)), plan)


def floats_for_frobenius_sq(model: Model, batch: int, *, reconstruction: bool = False) -> int:
    """About how many floats ||J||_F^2 and its gradient hold for one example; arguments as `prepare_frobenius_sq`."""
    layers = chain_of(model, reconstruction=reconstruction)
    plan = plan_of(layers, batch)
    if layers is not None and plan is not None:
        return floats_of_plan(plan, _sizes(layers))
    # By automatic differentiation: as many tangents as the smaller side has entries, each with all that f makes.
    function, n_outputs = (
        (type(model).reconstruct, model.n_features) if reconstruction else (type(model).encode, model.n_hidden)
    )
    return 3 * min(n_outputs, model.n_features) * floats_held(function, model)


def matrix(differential: Differential) -> JacobianMatrix:
    """J, of shape (entries of the value, features): a product of layers, or by automatic differentiation."""
    if differential.weights is not None:
        return multiply(differential.weights, differential.slopes)
    n_outputs, n_features = differential.shape
    transform = jax.jacrev if n_outputs <= n_features else jax.jacfwd
    return transform(differential.function)(differential.x)


def frobenius_sq(differential: Differential, prepared: Prepared) -> Scalar:
    """||J||_F^2, the sum of the squared entries, exactly: a square, not a norm."""
    return _factor_square(differential, _factor(differential, prepared), prepared)


def squared_distance(one: Differential, other: Differential, prepared: Prepared) -> Scalar:
    """||J - J'||_F^2 of the derivatives of the same function at two examples."""
    return _factor_square(one, _factor(one, prepared) - _factor(other, prepared), prepared)


def _factor(differential: Differential, prepared: Prepared) -> Array:
    if differential.weights is None or prepared.plan is None:
        return matrix(differential)
    return factor(prepared.plan, differential.weights, differential.slopes)


def _factor_square(differential: Differential, factor: Array, prepared: Prepared) -> Scalar:
    if differential.weights is None or prepared.plan is None:
        return jnp.sum(factor**2)
    return factor_frobenius_sq(prepared.plan, factor, differential.weights, prepared.value)


def hutchinson_frobenius_sq(differential: Differential, *, n_probes: int, key: RandomKey) -> Scalar:
    """An unbiased estimate of ||J||_F^2: the mean over random signs v of ||J^T v||^2, or of ||J v||^2.

    The signs are drawn on the side with fewer entries, where the variance is the lower one: with M = J J^T or J^T J
    it is 2 (||M||_F^2 - sum_i M_ii^2) / n_probes.

    Args:
        differential: the derivative at an example.
        n_probes: how many, >= 1.
        key: what the signs depend on.

    References:
        Hutchinson, A stochastic estimator of the trace of the influence matrix, 1989, section 2.
    """
    n_outputs, n_features = differential.shape
    through, entries = (differential.pull, n_outputs) if n_outputs <= n_features else (differential.push, n_features)
    signs = jax.random.rademacher(key, (n_probes, entries), differential.x.dtype)
    return jnp.sum(jax.vmap(through)(signs) ** 2) / n_probes


def largest_singular_value(differential: Differential, *, n_iterations: int) -> Scalar:
    """sigma_1(J), by power iteration on J^T J from a fixed start.

    The gradient is that of u^T J v with the last singular vectors held fixed, which is sigma_1's own where the
    iteration has converged; after k steps the value is too small by about a factor 1 - (sigma_2 / sigma_1)^(4 k).

    Args:
        differential: the derivative at an example.
        n_iterations: k >= 1.
    """
    held = jax.lax.stop_gradient

    def step(_: Any, v: Visible) -> Visible:
        v = held(differential.pull(differential.push(v)))
        return v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny)

    start = jax.random.normal(jax.random.key(0), differential.x.shape, differential.x.dtype)
    image = differential.push(held(jax.lax.fori_loop(0, n_iterations, step, start / jnp.linalg.norm(start))))
    square = jnp.sum(image**2)
    # At J = 0 every direction is as good: the value is 0 and so is its gradient.
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
