"""The tangent plane at one example: the leading right singular vectors of the Jacobian, exactly or by block Krylov."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .._typing import Array, Float, Visible
from .._validation import check_choice, check_count
from ..jacobian import Differential, encoder_differential, jacobian, matrix
from ..models import Model

__all__ = [
    "METHODS",
    "Method",
    "cheapest_method",
    "check_tangents",
    "count_flops",
    "leading_singular_values",
    "max_tangents",
    "resolve_method",
    "scaled",
    "singular_values",
    "start_of_chain",
    "tangents",
]


class Method(StrEnum):
    """How tangents are found: from J itself, or by products with J alone."""

    EXACT = "exact"
    KRYLOV = "krylov"


METHODS = ("auto", *map(str, Method))
"""What `method` may be."""

OVERSAMPLING = 5
"""Directions in a block of the Krylov space beyond those asked for."""

STEPS = range(3, 7)
"""Blocks of the Krylov space: the first number, or more as long as an example stays within `ENOUGH_FLOPS`."""

ENOUGH_FLOPS = 0.5e9
"""Operations an example up to which the Krylov space grows."""

_START_STEPS = 4

Block = Float[Array, "_ _"]  # directions on either side of J, one a row

_EIGH = 25  # operations a cubed row of a symmetric eigenproblem, in those of a matrix product of the same duration


class _Maps(NamedTuple):
    """The derivative as two maps of blocks of directions, one direction a row: V -> V J^T and U -> U J."""

    push: Callable[[Block], Block]
    pull: Callable[[Block], Block]


def tangents(
    model: Model,
    x: Visible,
    n_tangents: int,
    *,
    method: str = "auto",
    oversampling: int = OVERSAMPLING,
    n_steps: int | None = None,
) -> Float[Array, "tangents features"]:
    """The tangent plane of the manifold at x: the leading right singular vectors of J = dh/dx.

    They are the directions in which the code changes most. "exact" takes them from the eigenvectors of the smaller of
    J J^T and J^T J; "krylov" from the best approximation of J within the span of J W, (J J^T) J W, ..., with `n_steps`
    blocks of `n_tangents` + `oversampling` directions from a fixed W, without ever forming J; "auto" takes whichever
    needs fewer of the operations that `count_flops` counts.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.
        n_tangents: from 1 to `max_tangents(model)`.
        method: "auto", "exact" or "krylov".
        oversampling: >= 0; more of them is more exact. For "krylov" alone.
        n_steps: >= 1; more of them is more exact. None for what `default_steps` says. For "krylov" alone.

    Returns:
        Orthonormal rows, the one with the largest singular value first; of each row the entry of the largest magnitude
        is positive. Where singular values are equal, or lower than the largest by the square root of the arithmetic's
        precision, the rows are some orthonormal ones.

    Raises:
        TypeError: if a count is no whole number.
        ValueError: if a count is out of range, or the method is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.diag(jnp.array([1.0, 3.0, 2.0])), jnp.zeros(3), jnp.zeros(3))
        >>> print(tangents(model, jnp.zeros(3), 2))
        [[0. 1. 0.]
         [0. 0. 1.]]

    References:
        Rifai et al., The Manifold Tangent Classifier, NIPS 2011, section 3.1. Musco and Musco, Randomized Block Krylov
        Methods, NIPS 2015, algorithm 2. Halko et al., Finding Structure with Randomness, SIAM Review 2011.
    """
    check_tangents(model, n_tangents)
    check_count("oversampling", oversampling, low=0)
    n_steps = default_steps(model, n_tangents + oversampling) if n_steps is None else check_count("n_steps", n_steps)
    method = resolve_method(method, model, n_tangents, oversampling=oversampling, n_steps=n_steps)
    differential = encoder_differential(model, model.forward(x))
    if method == Method.EXACT:
        found = _exact(matrix(differential), n_tangents)
    else:
        found = _krylov(differential, n_tangents, min(n_tangents + oversampling, *differential.shape), n_steps)
    return _with_signs(_orthonormal(found))


def singular_values(model: Model, x: Visible) -> Float[Array, " rank"]:
    """The spectrum of J = dh/dx at x: in how many directions the code changes, and how much.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.

    Returns:
        All min(hidden, features) singular values, the largest first.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.diag(jnp.array([4.0, 8.0])), jnp.zeros(2), jnp.zeros(2))
        >>> print(singular_values(model, jnp.zeros(2)))
        [2. 1.]

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 5.2 and figure 2.
    """
    return jnp.linalg.svd(jacobian(model, x), compute_uv=False)


def leading_singular_values(
    model: Model, x: Visible, n_values: int, *, method: str = "auto"
) -> Float[Array, " values"]:
    """The largest singular values of J = dh/dx at x, for encoders whose whole spectrum is dear.

    They are the lengths ||J u|| of the images of the tangents u at x: none is above the true one, and their errors are
    those of the tangents, squared.

    Args:
        model: the auto-encoder, whose encoder is differentiated.
        x: one example.
        n_values: from 1 to `max_tangents(model)`.
        method: how the tangents are found, see `tangents`.

    Returns:
        `n_values` singular values, the largest first.

    Raises:
        TypeError: if `n_values` is no whole number.
        ValueError: if it is out of range, or the method is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.diag(jnp.array([4.0, 8.0, 2.0])), jnp.zeros(3), jnp.zeros(3))
        >>> print(leading_singular_values(model, jnp.zeros(3), 2))
        [2. 1.]

    References:
        Halko et al., Finding Structure with Randomness, SIAM Review 2011, section 5.1.
    """
    directions = tangents(model, x, n_values, method=method)
    images = _maps(encoder_differential(model, model.forward(x))).push(directions)
    return -jnp.sort(-jnp.linalg.norm(images, axis=1))


def max_tangents(model: Model) -> int:
    """The highest rank that J = dh/dx can have: features, code or the narrowest layer between, whichever is least."""
    return min(_sizes(model))


def check_tangents(model: Model, n_tangents: int, *, name: str = "n_tangents") -> None:
    """Refuse a number of tangents that no Jacobian of the model has.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is below 1 or beyond `max_tangents`.
    """
    check_count(name, n_tangents)
    rank = max_tangents(model)
    if n_tangents > rank:
        sizes = "-".join(map(str, _sizes(model)))
        raise ValueError(f"`{name}` must be <= {rank}, the rank of the Jacobian of {sizes} units; got {n_tangents}.")


def default_steps(model: Model, block: int) -> int:
    """How many blocks of the Krylov space there are, by what they cost: the most of `STEPS` that are cheap."""
    cheap = [steps for steps in STEPS if count_flops(model, Method.KRYLOV, block, steps) <= ENOUGH_FLOPS]
    return max(cheap, default=STEPS[0])


def cheapest_method(
    model: Model, n_tangents: int, *, oversampling: int = OVERSAMPLING, n_steps: int | None = None
) -> Method:
    """The method with the least `count_flops`; `EXACT` where the Krylov space would be as large as the whole."""
    block = n_tangents + oversampling
    n_steps = default_steps(model, block) if n_steps is None else n_steps
    if block * n_steps >= max_tangents(model):
        return Method.EXACT
    return min(Method, key=lambda method: count_flops(model, method, block, n_steps))


def resolve_method(
    method: str, model: Model, n_tangents: int, *, oversampling: int = OVERSAMPLING, n_steps: int | None = None
) -> Method:
    """The method of a name; for "auto" the cheapest.

    Raises:
        ValueError: if the name is not known.
    """
    check_choice("method", method, METHODS)
    if method == "auto":
        return cheapest_method(model, n_tangents, oversampling=oversampling, n_steps=n_steps)
    return Method(method)


def count_flops(model: Model, method: Method, block: int, n_steps: int) -> float:
    """Floating-point operations an example of `tangents`, elementwise ones left out.

    Eigenproblems count by their duration: as much as 25 n^3 operations of a matrix product. An encoder that is no
    chain of dense layers is taken for a single one.

    Args:
        model: the auto-encoder.
        method: one of both.
        block: directions in a block, `n_tangents` + `oversampling`.
        n_steps: blocks of the Krylov space.
    """
    sizes = _sizes(model)
    features, hidden, small = sizes[0], sizes[-1], min(sizes[0], sizes[-1])
    through = 2 * sum(below * above for below, above in pairwise(sizes))
    if method == Method.EXACT:
        up, down = (
            2 * sum(end * below * above for below, above in pairwise(part))
            for end, part in ((features, sizes[1:]), (hidden, sizes[:-1]))
        )
        form = min(up, down) if model.encoder_layers is not None else small * through
        return form + 2 * small * prod((features, hidden)) + _EIGH * small**3
    space = block * n_steps
    # The first product of all with the fixed start is shared by all rows.
    passes = 2 * n_steps * block * through - 2 * block * features * sizes[1]
    return passes + 2 * space**2 * (2 * hidden + features) + _EIGH * (space**3 + 2 * n_steps * block**3)


def _sizes(model: Model) -> tuple[int, ...]:
    layers = model.encoder_layers
    between = () if layers is None else tuple(layer.weight.shape[0] for layer in layers[:-1])
    return (model.n_features, *between, model.n_hidden)


def _exact(J: Float[Array, "hidden features"], n_tangents: int) -> Float[Array, "tangents features"]:
    """The right singular vectors, not normalized: U^T J from J J^T = U S^2 U^T, or V from J^T J = V S^2 V^T."""
    J = scaled(J)
    hidden, features = J.shape
    if hidden <= features:
        return jnp.linalg.eigh(J @ J.T)[1][:, ::-1][:, :n_tangents].T @ J
    return jnp.linalg.eigh(J.T @ J)[1][:, ::-1][:, :n_tangents].T


def _krylov(
    differential: Differential, n_tangents: int, n_block: int, n_steps: int
) -> Float[Array, "tangents features"]:
    """The right singular vectors of P J, not normalized, for rows P that span the left Krylov space of J."""
    push, pull = _maps(differential)
    directions = _start(differential, n_block)
    left: list[Block] = []
    images: list[Block] = []
    for step in range(n_steps):
        left.append(_whitened_beside(left, _whitened(push(directions))))
        images.append(pull(left[-1]))
        if step + 1 < n_steps:
            directions = _whitened(images[-1])
    B = scaled(jnp.concatenate(images))  # P J, at hand without another product
    _, U = jnp.linalg.eigh(B @ B.T)
    return U[:, ::-1][:, :n_tangents].T @ B


def _start(differential: Differential, n_block: int) -> Block:
    """The first directions: a function of the weights alone, so that a row's tangents are one of what it holds.

    Of a chain of dense layers about the leading right singular vectors of the product of its weights, J for slopes
    of 1: computed once for many examples, they spare each of them a step. Else random ones.
    """
    block = jax.random.normal(jax.random.key(0), (n_block, differential.shape[1]), differential.x.dtype)
    return block if differential.weights is None else start_of_chain(differential.weights, block)


def start_of_chain(weights: Sequence[Float[Array, "_ _"]], block: Block) -> Block:
    """About the leading right singular vectors of the product of a chain's weights, by powers from a block."""
    for _ in range(_START_STEPS):
        block = _whitened(block)
        for weight in weights:
            block = block @ weight.T
        for weight in reversed(weights):
            block = block @ weight
    return _orthonormal(block)


def _maps(differential: Differential) -> _Maps:
    if differential.weights is None:
        _, push = jax.linearize(differential.function, differential.x)
        pull = jax.linear_transpose(push, differential.x)
        return _Maps(jax.vmap(push), lambda U: jax.vmap(pull)(U)[0])
    links = tuple(zip(differential.weights, differential.slopes, strict=True))

    # A direction a row: over many examples each product is one of two matrices, with no axis moved.
    def push(V: Block) -> Block:
        for weight, slope in links:
            V = (V @ weight.T) * slope
        return V

    def pull(U: Block) -> Block:
        for weight, slope in reversed(links):
            U = (U * slope) @ weight
        return U

    return _Maps(push, pull)


def _whitened(block: Block) -> Block:
    """Orthonormal rows with the same span; what depends on other rows becomes rows of zeros.

    By the eigenvectors of the Gram matrix of the scaled rows: products of matrices and one small eigenproblem, which
    for many examples is several times as fast as a QR decomposition and, other than Cholesky's, has no rank to fail at.

    References:
        Stathopoulos and Wu, A block orthogonalization procedure, SIAM J. Sci. Comput. 2002, section 3 (SVQB).
    """
    block = scaled(block)
    gram = block @ block.T
    lengths = _positive(jnp.sqrt(jnp.diagonal(gram)))
    values, vectors = jnp.linalg.eigh(gram / lengths / lengths[:, None])
    return (vectors * _inverse_roots(values, len(block)) / lengths[:, None]).T @ block


def _whitened_beside(earlier: list[Block], block: Block) -> Block:
    """Orthonormal rows with the span of rows that nearly are, less that of the earlier ones.

    What is left of a row must be some 100 times as long as its rounding errors: made longer, these would lie in the
    earlier span again and count there twice.
    """
    if earlier:
        before = jnp.concatenate(earlier)
        block = block - (block @ before.T) @ before
    values, vectors = jnp.linalg.eigh(block @ block.T)
    return (vectors * _inverse_roots(values, 1000)).T @ block


def _inverse_roots(values: Float[Array, " _"], margin: float) -> Float[Array, " _"]:
    """1 / sqrt(value), 0 where the value is within the rounding errors of 1 times the margin."""
    kept = values > margin * jnp.finfo(values.dtype).eps
    return jnp.where(kept, jax.lax.rsqrt(jnp.where(kept, values, 1)), 0)


def scaled(block: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The largest entry is 1 in magnitude, so that squares are numbers of the arithmetic, too; zeros stay."""
    return block / _positive(jnp.max(jnp.abs(block)))


def _positive(lengths: Float[Array, "..."]) -> Float[Array, "..."]:
    """What one may divide by: 1 in the place of 0."""
    return jnp.where(lengths > 0, lengths, 1)


def _orthonormal(rows: Float[Array, "tangents features"]) -> Float[Array, "tangents features"]:
    """Orthonormal rows of which the first k span what the given first k do.

    In the place of a row that depends on those before it, zero included, comes what is left of a fixed one. By
    Gram and Schmidt, with each projection twice: for many examples faster than Householder's QR decomposition.
    """
    n_rows, n_features = rows.shape
    spare = jax.random.normal(jax.random.key(1), rows.shape, rows.dtype)
    none = n_rows * jnp.finfo(rows.dtype).eps

    def step(number: Any, done: Float[Array, "tangents features"]) -> Float[Array, "tangents features"]:
        def left_of(row: Visible) -> tuple[Visible, Float[Array, ""]]:
            row = _unit(row)
            once = row - (done @ row) @ done
            unit = _unit(once)
            return _unit(unit - (done @ unit) @ done), jnp.linalg.norm(once)

        own, length = left_of(rows[number])
        other, _ = left_of(spare[number])
        return done.at[number].set(jnp.where(length > none, own, other))

    return jax.lax.fori_loop(0, n_rows, step, jnp.zeros_like(rows))


def _unit(row: Visible) -> Visible:
    row = scaled(row)
    return row / _positive(jnp.linalg.norm(row))


def _with_signs(rows: Float[Array, "tangents features"]) -> Float[Array, "tangents features"]:
    largest = jnp.take_along_axis(rows, jnp.argmax(jnp.abs(rows), axis=1)[:, None], axis=1)
    return jnp.where(largest < 0, -rows, rows)
