"""The Jacobian of a chain of dense layers, J = diag(s_L) W_L ... diag(s_1) W_1, and ||J||_F^2 by the cheapest product.

A `Plan` names the order of the products. What it keeps of J at an example is the *factor*: an array that is linear in
J, so that the difference of two factors is the factor of the difference, and from which ||J||_F^2 follows.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from .._typing import Array, Float, JacobianMatrix, LayerUnits, Scalar

__all__ = [
    "Plan",
    "cheapest_plan",
    "count_flops",
    "factor",
    "factor_frobenius_sq",
    "floats_of_plan",
    "multiply",
    "prepare",
    "quadratic_form",
]

Weights = Sequence[Float[Array, "_ _"]]  # not one shape for all
Slopes = Sequence[LayerUnits]


class Plan(StrEnum):
    """How ||J||_F^2 of a chain is computed; the shape of the factor beside each.

    `LAYER` (units,): one layer, s; its sum of s_i^2 ||W_i||^2 needs no product.
    `TWO_GRAMS` (units,): two layers, the second without a nonlinearity; s_1, and (W_1 W_1^T) * (W_2^T W_2).
    `GRAM` (out, units): A with J = A W_1, from the last layer down, and W_1 W_1^T.
    `DOWN` (out, units): the same A, and A W_1.
    `UP` (out, in): J itself, from the first layer up.
    """

    LAYER = "layer"
    TWO_GRAMS = "two_grams"
    GRAM = "gram"
    DOWN = "down"
    UP = "up"


def cheapest_plan(sizes: tuple[int, ...], *, linear_top: bool, batch: int) -> Plan:
    """The plan with the least `count_flops` for ||J||_F^2 and its gradient over a minibatch.

    Args:
        sizes: units of the input and of each layer, first to last.
        linear_top: whether the last layer has no nonlinearity.
        batch: rows a minibatch, by which is divided what happens once for all of them.
    """
    if len(sizes) == 2:
        return Plan.LAYER
    plans = [Plan.GRAM, Plan.DOWN, Plan.UP] + [Plan.TWO_GRAMS] * (len(sizes) == 3 and linear_top)
    return min(plans, key=lambda plan: count_flops(plan, sizes, batch))


def count_flops(plan: Plan, sizes: tuple[int, ...], batch: int) -> float:
    """Floating-point operations an example of ||J||_F^2 with its gradient, elementwise ones left out.

    A product costs three times itself, once forward and twice back; the quadratic form of `GRAM` costs once forward,
    nothing for the factor's gradient, and 5/8 of itself for the symmetric gradient of the Gram matrix.
    """
    features, first, top = sizes[0], sizes[1], sizes[-1]
    down = sum(3 * 2 * top * above * below for above, below in pairwise(reversed(sizes[1:-1])))
    gram = 3 * 2 * first * first * features / batch
    return {
        Plan.LAYER: 0.0,
        Plan.TWO_GRAMS: 3 * 2 * first * first + gram + 3 * 2 * first * first * top / batch,
        Plan.GRAM: down + (2 + 5 / 4) * top * first * first + gram,
        Plan.DOWN: down + 3 * 2 * top * first * features,
        Plan.UP: sum(3 * 2 * features * below * above for below, above in pairwise(sizes[1:])),
    }[plan]


def floats_of_plan(plan: Plan, sizes: tuple[int, ...]) -> int:
    """About how many floats ||J||_F^2 and its gradient hold for one example, besides what is of the size of a layer."""
    features, first, top = sizes[0], sizes[1], sizes[-1]
    if plan in (Plan.LAYER, Plan.TWO_GRAMS):
        return 0
    if plan == Plan.UP:
        return 3 * features * sum(sizes[1:])
    return 3 * top * sum(sizes[1:-1]) + 2 * top * (features if plan == Plan.DOWN else first)


def multiply(weights: Weights, slopes: Slopes) -> JacobianMatrix:
    """J itself, from the end whose products are the cheaper ones."""
    sizes = (weights[0].shape[1], *(len(slope) for slope in slopes))
    down = sum(prod((sizes[-1], above, below)) for above, below in pairwise(reversed(sizes[:-1])))
    up = sum(prod((sizes[0], below, above)) for below, above in pairwise(sizes[1:]))
    if len(weights) == 1 or up <= down:
        return _from_below(weights, slopes)
    return _from_above(weights, slopes) @ weights[0]


def prepare(plan: Plan, weights: Weights) -> Array | None:
    """What `factor_frobenius_sq` needs of the weights alone: computed once a minibatch, not once an example."""
    first = weights[0]
    if plan == Plan.LAYER:
        return jnp.sum(first**2, axis=1)
    if plan == Plan.TWO_GRAMS:
        return (first @ first.T) * (weights[1].T @ weights[1])
    return first @ first.T if plan == Plan.GRAM else None


def factor(plan: Plan, weights: Weights, slopes: Slopes) -> Array:
    """What the plan keeps of J, of the shape that `Plan` says."""
    if plan in (Plan.LAYER, Plan.TWO_GRAMS):
        return slopes[0]
    return _from_below(weights, slopes) if plan == Plan.UP else _from_above(weights, slopes)


def factor_frobenius_sq(plan: Plan, factor: Array, weights: Weights, prepared: Any) -> Scalar:
    """||J||_F^2 from the factor of J, or ||J - J'||_F^2 from the difference of two."""
    if plan == Plan.LAYER:
        return jnp.sum(factor**2 * prepared)
    if plan == Plan.TWO_GRAMS:
        return factor @ (prepared @ factor)
    if plan == Plan.GRAM:
        return quadratic_form(factor, prepared)
    return jnp.sum((factor if plan == Plan.UP else factor @ weights[0]) ** 2)


def _from_above(weights: Weights, slopes: Slopes) -> Float[Array, "out units"]:
    """A = diag(s_L) W_L ... diag(s_2) W_2 diag(s_1), without the first weight."""
    product = weights[-1]
    for weight, slope in zip(reversed(weights[1:-1]), reversed(slopes[1:-1]), strict=True):
        product = (product * slope) @ weight
    return slopes[-1][:, None] * product * slopes[0]


def _from_below(weights: Weights, slopes: Slopes) -> JacobianMatrix:
    """J = diag(s_L) W_L ... diag(s_1) W_1, the first weight first."""
    product = slopes[0][:, None] * weights[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        product = slope[:, None] * (weight @ product)
    return product


@jax.custom_jvp
def quadratic_form(A: Float[Array, "rows units"], G: Float[Array, "units units"]) -> Scalar:
    """tr(A G A^T) for a symmetric G, with a gradient that costs 5/8 of a product more instead of two.

    d tr(A G A^T) = 2 <A G, dA> + <A^T A, dG>: the first product is at hand, and of the symmetric second one only the
    blocks on and above the diagonal are formed. The gradient with respect to G therefore is upper block triangular,
    the blocks above the diagonal doubled: right for every G that stays symmetric, such as W W^T.

    Args:
        A: any matrix.
        G: a symmetric matrix.
    """
    return jnp.vdot(A, A @ G)  # not a sum of products: on CPUs XLA sums within a lone A @ G, 15 times as slowly


_BLOCKS = 4  # of the units; 10 of the 16 blocks are formed
_WORTH_BLOCKS = 256  # units from which on smaller products are worth their overhead


@quadratic_form.defjvp
def _quadratic_form_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (A, G), (dA, dG) = primals, tangents
    product = A @ G
    size = -(-len(G) // _BLOCKS) if len(G) >= _WORTH_BLOCKS else len(G)
    cuts = [slice(start, start + size) for start in range(0, len(G), size)]
    change = 2 * jnp.sum(product * dA)
    for row, left in enumerate(cuts):
        for column, right in enumerate(cuts[row:], row):
            once = jnp.sum(A[:, left] * (A[:, right] @ dG[left, right].T))
            change += once if row == column else 2 * once
    return jnp.vdot(A, product), change
