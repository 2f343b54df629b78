"""The objective of a minibatch: reconstruction plus weighted penalties. The only place that averages over rows."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ._typing import Array, Float, RandomKey, RandomKeys, Rows, RowWeights, Scalar, UInt32, Visible
from .batched import MAX_BLOCK_FLOATS
from .corruption import Corruption
from .jacobian import encoder_differential, frobenius_sq, hutchinson_frobenius_sq, prepare_frobenius_sq
from .models import Forward, Model
from .penalties import Contraction, Penalty, PenaltySum

__all__ = ["Objective", "Parts", "draw_key", "row_key"]

_CORRUPTION, _PROBE, _FIRST_TERM = range(3)  # what tells apart the uses of an example's key
_PROBED_ROWS = 16  # of a minibatch, for the Jacobian's norm where nothing else measures it


class Parts(NamedTuple):
    """The two numbers of the tutorial, each a weighted mean over the rows of a minibatch.

    Args:
        reconstruction_error: mean of L(x, r), itself a sum over features (nats, or squared units of x).
        jacobian_norm: mean of ||J_f(x)||_F, the norm and not its square. Exact for one layer, and wherever an exact
            `Contraction` is among the penalties; else the root of the mean square, estimated by random probes.
    """

    reconstruction_error: Scalar
    jacobian_norm: Scalar


class Objective(eqx.Module):
    """Mean over the rows of L(x, g(f(x~))) + sum of the penalties at x, with x~ the corrupted x.

    Args:
        penalties: the terms to add, each with its coefficient; empty for the plain auto-encoder.
        corruption: what changes x before it is encoded for the reconstruction; the penalties see the clean x. None
            for nothing.
        reconstruct: whether the reconstruction error counts; False leaves the penalties alone, as fine-tuning does.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> from contractive.penalties import Contraction
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> cost, parts = Objective((Contraction(0.1),))(model, jnp.zeros((4, 2)), jnp.full(4, 1 / 4))
        >>> print(f"{cost:.4f} = {parts.reconstruction_error:.4f} + 0.1 * {parts.jacobian_norm**2:.4f}")
        0.5125 = 0.5000 + 0.1 * 0.1250

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (7).
    """

    penalties: tuple[Penalty, ...] = ()
    corruption: Corruption | None = None
    reconstruct: bool = eqx.field(static=True, default=True)

    @property
    def terms(self) -> tuple[Penalty, ...]:
        """The penalties, with their sums taken apart."""
        parts = (penalty.terms if isinstance(penalty, PenaltySum) else (penalty,) for penalty in self.penalties)
        return tuple(term for part in parts for term in part)

    def error(self, model: Model, x: Visible, *, key: RandomKey) -> Scalar:
        """L(x, g(f(x~))) of one example."""
        seen = x if self.corruption is None else self.corruption(x, key=key)
        return model.reconstruction_loss.error(x, model.forward(seen).output)

    def __call__(
        self, model: Model, x: Rows, row_weights: RowWeights, key: RandomKey | None = None
    ) -> tuple[Scalar, Parts]:
        """The weighted mean of the cost over the rows of a minibatch, and its named parts.

        Penalties that hold many floats an example, such as the exact one of a deep encoder, are computed in blocks of
        rows, forward and gradient together, each within `MAX_BLOCK_FLOATS`. Their gradient exists with respect to
        the model only.

        Args:
            model: the auto-encoder.
            x: the minibatch.
            row_weights: what each row counts, >= 0, summing to 1 for a mean; 0 leaves a row out.
            key: what corruption and random penalties depend on; another one for every update. None draws always
                the same.
        """
        batch, terms = len(row_weights), self.terms
        keys = jax.vmap(partial(row_key, jax.random.key(0) if key is None else key))(x)
        prepared = tuple(term.prepare(model, batch) for term in terms)
        block = [_rows_a_block(term.floats(model, batch)) for term in terms]
        together = [number for number in range(len(terms)) if block[number] >= batch]

        def example(x: Visible, key: RandomKey) -> tuple[Scalar, dict[int, Scalar], Scalar | None]:
            forward = model.forward(x)
            if self.corruption is None:
                error = model.reconstruction_loss.error(x, forward.output)
            else:
                error = self.error(model, x, key=draw_key(key, _CORRUPTION))
            values = {
                i: _term((terms[i], model, prepared[i]), (x, draw_key(key, _FIRST_TERM + i)), forward) for i in together
            }
            return error, values, self._closed_square(model, forward)

        errors, values, squares = jax.vmap(example)(x, keys)
        error = row_weights @ errors
        cost = error if self.reconstruct else jnp.zeros_like(error)
        cost = cost + sum(terms[i].coefficient * (row_weights @ values[i]) for i in together)
        for i in sorted({*range(len(terms))} - {*together}):
            rows = x, jax.vmap(partial(draw_key, number=_FIRST_TERM + i))(keys)
            total, values[i] = _blocked_sum((terms[i], model, prepared[i]), rows, row_weights, block[i])
            cost = cost + terms[i].coefficient * total
        norm = self._jacobian_norm(model, x, row_weights, keys, values, squares)
        return cost, Parts(error, norm)

    def _closed_square(self, model: Model, forward: Forward) -> Scalar | None:
        """||J||_F^2 where it is a closed form, unless a penalty gives it anyway."""
        if self._measuring_term is not None or len(model.encoder_layers or ()) != 1:
            return None
        return frobenius_sq(encoder_differential(model, forward), prepare_frobenius_sq(model, 1))

    @property
    def _measuring_term(self) -> int | None:
        """Which term is ||J||_F^2 itself: an exact contraction before an estimated one."""
        found = [(term.is_random, i) for i, term in enumerate(self.terms) if type(term) is Contraction]
        return min(found)[1] if found else None

    def _jacobian_norm(
        self,
        model: Model,
        x: Rows,
        row_weights: RowWeights,
        keys: RandomKeys,
        values: dict[int, Float[Array, " batch"]],
        squares: Float[Array, " batch"] | None,
    ) -> Scalar:
        """The mean of ||J||_F, by what is known of it: values of a penalty, closed forms, or a few random probes."""
        term = self._measuring_term
        known = values[term] if term is not None else squares
        if known is not None and not (term is not None and self.terms[term].is_random):
            return row_weights @ jnp.sqrt(known)
        if known is None:
            some = slice(_PROBED_ROWS)
            known = jax.vmap(partial(_probed_square, jax.lax.stop_gradient(model)))(x[some], keys[some])
        # The root of a mean of estimates, as the mean of their roots would be too small.
        share = row_weights[: len(known)]
        counted = jnp.sum(share)
        mean = share @ jax.lax.stop_gradient(known) / jnp.where(counted > 0, counted, 1)
        return jnp.sum(row_weights) * jnp.sqrt(jnp.maximum(mean, 0))


def _rows_a_block(floats: int) -> int:
    """How many rows go together: a term that holds next to nothing an example has no blocks."""
    return max(1, MAX_BLOCK_FLOATS // floats) if floats else 1 << 62


def _row_words(x: Visible) -> UInt32[Array, " 2"]:
    """What an example holds, spread over 64 bits: random draws follow it, and not the place where it stands.

    So the order of the rows of a minibatch does not matter, and a row that is there twice counts as one of weight 2.
    """
    # To float32's digits, so that what float64 makes of the same rows in another order of summation is the same row.
    x = x.astype(jnp.float32)
    one_zero = jnp.where(x == 0, jnp.zeros_like(x), x)  # -0.0 is 0.0; compilers take x + 0 for x
    words = jax.lax.bitcast_convert_type(one_zero, jnp.uint32).ravel()
    places = jnp.arange(1, words.size + 1, dtype=jnp.uint32)

    def digest(factor: int) -> UInt32[Array, ""]:
        spread = (words ^ (words >> 15)) * (places * jnp.uint32(factor) | jnp.uint32(1))
        return jnp.sum(spread ^ (spread >> 13), dtype=jnp.uint32)

    return jnp.stack([digest(0x9E3779B1), digest(0x85EBCA77)])


def draw_key(own: RandomKey, number: int) -> RandomKey:
    """The key of one use of randomness at one example."""
    # By exclusive or, and not by `fold_in`, whose rounds of mixing take long to compile; each draw mixes by itself.
    return _wrapped(jax.random.key_data(own) ^ jnp.array([(number * 0xC2B2AE35) % 2**32, 0], jnp.uint32))


def row_key(key: RandomKey, x: Visible) -> RandomKey:
    """The key of an example, by the minibatch's key and what the example holds."""
    return _wrapped(jax.random.key_data(key).ravel()[:2] ^ _row_words(x))


def _wrapped(words: UInt32[Array, " 2"]) -> RandomKey:
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def _probed_square(model: Model, x: Visible, key: RandomKey) -> Scalar:
    differential = encoder_differential(model, model.forward(x))
    return hutchinson_frobenius_sq(differential, n_probes=1, key=draw_key(key, _PROBE))


Arguments = tuple[Penalty, Model, Any]


def _term(arguments: Arguments, row: tuple[Visible, RandomKey], forward: Forward | None = None) -> Scalar:
    """A penalty's term at one example."""
    penalty, model, prepared = arguments
    x, key = row
    return penalty.term(model, model.forward(x) if forward is None else forward, prepared, key=key)


@eqx.filter_custom_vjp
def _blocked_sum(
    arguments: Arguments, rows: tuple[Rows, RandomKeys], row_weights: RowWeights, block: int
) -> tuple[Scalar, Float[Array, " batch"]]:
    """sum_n w_n term(x_n) and the terms, by blocks of rows; the gradient is with respect to the arguments only."""

    def body(_: None, part: Any) -> tuple[None, Any]:
        values = jax.vmap(partial(_term, arguments))(part[0])
        return None, (part[1] @ values, values)

    _, (totals, values) = jax.lax.scan(body, None, _in_blocks(rows, row_weights, block))
    return jnp.sum(totals), values.reshape(-1)[: len(row_weights)]


@_blocked_sum.def_fwd
def _blocked_sum_forward(perturbed: Any, arguments: Arguments, rows: Any, row_weights: RowWeights, block: int) -> Any:
    """The value with its gradient, block after block, so that no more than one block's products are ever held."""

    def cost(arguments: Arguments, part: Any) -> tuple[Scalar, Array]:
        values = jax.vmap(partial(_term, arguments))(part[0])
        return part[1] @ values, values

    def body(gradient: Arguments, part: Any) -> tuple[Arguments, Any]:
        (total, values), more = eqx.filter_value_and_grad(cost, has_aux=True)(arguments, part)
        return jax.tree.map(jnp.add, gradient, more), (total, values)

    zero = jax.tree.map(jnp.zeros_like, eqx.filter(arguments, eqx.is_inexact_array))
    gradient, (totals, values) = jax.lax.scan(body, zero, _in_blocks(rows, row_weights, block))
    return (jnp.sum(totals), values.reshape(-1)[: len(row_weights)]), gradient


@_blocked_sum.def_bwd
def _blocked_sum_backward(gradient: Arguments, change: Any, perturbed: Any, *arguments: Any) -> Arguments:
    return jax.tree.map(lambda leaf: change[0] * leaf, gradient)


def _in_blocks(rows: tuple[Rows, RandomKeys], row_weights: RowWeights, block: int) -> Any:
    """Rows, keys and weights with a leading axis of blocks; the last is filled up with the last row at weight 0."""
    padding = -len(row_weights) % block

    def cut(leaf: Array) -> Array:
        filled = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], padding, axis=0)]) if padding else leaf
        return filled.reshape(-1, block, *leaf.shape[1:])

    weights = jnp.pad(row_weights, (0, padding)).reshape(-1, block)
    return jax.tree.map(cut, rows), weights
