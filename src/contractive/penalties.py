"""Penalties: small frozen objects that map (model, one example's forward pass) to a scalar, and add up."""

import abc
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._typing import Array, Float, RandomKey, Scalar
from ._validation import check_choice, check_count
from .jacobian import (
    Prepared,
    encoder_differential,
    floats_for_frobenius_sq,
    frobenius_sq,
    hutchinson_frobenius_sq,
    largest_singular_value,
    prepare_frobenius_sq,
    reconstruction_differential,
    squared_distance,
)
from .models import Forward, Model

__all__ = [
    "ESTIMATORS",
    "PENALTIES",
    "Contraction",
    "HigherOrder",
    "Penalty",
    "PenaltySum",
    "ReconstructionContraction",
    "SpectralContraction",
    "WeightDecay",
]

ESTIMATORS = ("exact", "hutchinson")
"""How a squared Jacobian norm may be had: exactly, or by random probes whose mean it is."""

Coefficient = float | Float[Array, ""]


class Penalty(eqx.Module):
    """A term of the objective; `penalty(model, model.forward(x))` is its value at one example, coefficient included.

    To write one of your own, give it a `coefficient` and a `term`; the other two methods only matter for speed and
    memory. A penalty joins others by `+`.
    """

    coefficient: eqx.AbstractVar[Coefficient]

    @abc.abstractmethod
    def term(self, model: Model, forward: Forward, prepared: Any, *, key: RandomKey) -> Scalar:
        """The term at one example, without its coefficient.

        Args:
            model: the auto-encoder.
            forward: one example's way through it, `model.forward(x)`.
            prepared: what `prepare` returned.
            key: what random draws depend on; another one for every example and update.
        """

    def prepare(self, model: Model, batch: int) -> Any:
        """What depends on the weights alone: computed once a minibatch of `batch` rows; any pytree of arrays."""

    def floats(self, model: Model, batch: int) -> int:
        """About how many floats the term and its gradient hold for one example; 0 for no more than the model's own.

        Terms that hold many are computed in blocks of rows.
        """
        return 0

    @property
    def is_random(self) -> bool:
        """Whether the term depends on its key."""
        return False

    def __call__(self, model: Model, forward: Forward, *, key: RandomKey | None = None) -> Scalar:
        """The coefficient times the term at one example; `key` is needed by random penalties only.

        Raises:
            ValueError: if the penalty is random and there is no key.
        """
        if self.is_random and key is None:
            raise ValueError(f"`key` must be given, because {type(self).__name__} draws at random; got None.")
        key = jax.random.key(0) if key is None else key
        return self.coefficient * self.term(model, forward, self.prepare(model, 1), key=key)

    def __add__(self, other: "Penalty") -> "PenaltySum":
        """Both terms."""
        if not isinstance(other, Penalty):
            return NotImplemented
        return PenaltySum(terms=(*_terms(self), *_terms(other)))  # type: ignore[call-arg]


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, PenaltySum) else (penalty,)


class PenaltySum(Penalty):
    """Several penalties as one; what `+` makes.

    Args:
        terms: the penalties, each with its coefficient.

    Example:
        >>> Contraction(0.1) + WeightDecay(0.01)
        PenaltySum(terms=(Contraction(coefficient=0.1), WeightDecay(coefficient=0.01)))
    """

    terms: tuple[Penalty, ...]

    @property
    def coefficient(self) -> float:  # type: ignore[override]
        """One: each term has its own."""
        return 1.0

    @property
    def is_random(self) -> bool:
        """Whether one of them is."""
        return any(penalty.is_random for penalty in self.terms)

    def prepare(self, model: Model, batch: int) -> tuple[Any, ...]:
        """What each of them prepares."""
        return tuple(penalty.prepare(model, batch) for penalty in self.terms)

    def floats(self, model: Model, batch: int) -> int:
        """What all of them hold together."""
        return sum(penalty.floats(model, batch) for penalty in self.terms)

    def term(self, model: Model, forward: Forward, prepared: tuple[Any, ...], *, key: RandomKey) -> Scalar:
        """The sum of the terms, each times its coefficient."""
        return sum(
            (
                penalty.coefficient * penalty.term(model, forward, own, key=jax.random.fold_in(key, number))
                for number, (penalty, own) in enumerate(zip(self.terms, prepared, strict=True))
            ),
            jnp.zeros((), forward.x.dtype),
        )


class Contraction(Penalty):
    """lambda ||J_f(x)||_F^2, the contractive penalty: exact for any encoder, or estimated.

    Exactly it costs next to nothing for one layer. For several it is a product of their Jacobians in the order that
    takes the fewest operations, and automatic differentiation for a user's own encoder; both take some tens of times
    a plain step. Hutchinson's estimate costs about half a plain step and is unbiased, but noisy: one probe's gradient
    is off by about 130 % of its length for a deep tanh encoder at batch 10, and by 1 / sqrt(n_probes) of that for
    more.

    Args:
        coefficient: lambda >= 0, called `contraction` by the estimators.
        estimator: "exact" or "hutchinson".
        n_probes: random signs an example and update, >= 1; for "hutchinson".

    Raises:
        ValueError: if `estimator` names nothing known or `n_probes` is below 1.
        TypeError: if `n_probes` is no whole number.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(Contraction(8.0)(model, model.forward(jnp.zeros(2))))
        1.0

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (7).
    """

    coefficient: Coefficient
    estimator: str = eqx.field(static=True, default="exact")
    n_probes: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        _check_estimator(self.estimator, self.n_probes)

    @property
    def is_random(self) -> bool:
        """Whether it is estimated."""
        return self.estimator == "hutchinson"

    def prepare(self, model: Model, batch: int) -> Prepared:
        """What the exact norm needs of the weights."""
        return Prepared(None, None) if self.is_random else prepare_frobenius_sq(model, batch)

    def floats(self, model: Model, batch: int) -> int:
        """What the exact norm holds."""
        return 0 if self.is_random else floats_for_frobenius_sq(model, batch)

    def term(self, model: Model, forward: Forward, prepared: Prepared, *, key: RandomKey) -> Scalar:
        """The sum of the squared entries of J_f(x), or its estimate."""
        differential = encoder_differential(model, forward)
        if self.is_random:
            return hutchinson_frobenius_sq(differential, n_probes=self.n_probes, key=key)
        return frobenius_sq(differential, prepared)


class ReconstructionContraction(Penalty):
    """lambda ||d r / d x||_F^2 with r = g(f(x)): the reconstruction contracted instead of the code.

    With the squared error and lambda = sigma^2 the best reconstruction is x + sigma^2 grad log p(x) + o(sigma^2).

    Args:
        coefficient: lambda >= 0; sigma^2 in the paper.
        estimator: "exact" or "hutchinson"; costs and noise as for `Contraction`.
        n_probes: random signs an example and update, >= 1; for "hutchinson".

    Raises:
        ValueError: if `estimator` names nothing known or `n_probes` is below 1.
        TypeError: if `n_probes` is no whole number.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.eye(2), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> print(ReconstructionContraction(1.0)(model, model.forward(jnp.ones(2))))  # r = x: the unit matrix
        2.0

    References:
        Alain and Bengio, What Regularized Auto-Encoders Learn from the Data-Generating Distribution, JMLR 2014,
        equation (6), theorem 1.
    """

    coefficient: Coefficient
    estimator: str = eqx.field(static=True, default="exact")
    n_probes: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        _check_estimator(self.estimator, self.n_probes)

    @property
    def is_random(self) -> bool:
        """Whether it is estimated."""
        return self.estimator == "hutchinson"

    def prepare(self, model: Model, batch: int) -> Prepared:
        """What the exact norm needs of the weights."""
        return Prepared(None, None) if self.is_random else prepare_frobenius_sq(model, batch, reconstruction=True)

    def floats(self, model: Model, batch: int) -> int:
        """What the exact norm holds."""
        return 0 if self.is_random else floats_for_frobenius_sq(model, batch, reconstruction=True)

    def term(self, model: Model, forward: Forward, prepared: Prepared, *, key: RandomKey) -> Scalar:
        """The sum of the squared entries of dr/dx, or its estimate."""
        differential = reconstruction_differential(model, forward)
        if self.is_random:
            return hutchinson_frobenius_sq(differential, n_probes=self.n_probes, key=key)
        return frobenius_sq(differential, prepared)


def _check_estimator(estimator: object, n_probes: object) -> None:
    check_choice("estimator", estimator, ESTIMATORS)
    check_count("n_probes", n_probes)


class HigherOrder(Penalty):
    """gamma E ||J_f(x) - J_f(x + e)||_F^2 with e ~ N(0, std^2 I), the expectation by a few samples at every update.

    The difference is taken exactly. For one layer it is sum_i (s'(a_i) - s'(a_i + W_i e))^2 ||W_i||^2, which forms no
    Jacobian. Divided by std^2 it tends to the squared norm of the Hessian of f as std goes to 0.

    Args:
        coefficient: gamma >= 0, called `hessian_weight` by the estimators.
        std: sigma > 0 of the noise, in units of x; `hessian_std`.
        n_samples: draws of e an example and update, >= 1; `n_hessian_samples`.

    Raises:
        ValueError: if `n_samples` is below 1.
        TypeError: if it is no whole number.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.eye(2), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> print(HigherOrder(1.0)(model, model.forward(jnp.ones(2)), key=jax.random.key(0)))  # no curvature
        0.0

    References:
        Rifai et al., Higher Order Contractive Auto-Encoder, ECML 2011; as quoted by Rifai et al., The Manifold
        Tangent Classifier, NIPS 2011, equation (4).
    """

    coefficient: Coefficient
    std: Coefficient = 0.1
    n_samples: int = eqx.field(static=True, default=4)

    def __check_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    @property
    def is_random(self) -> bool:
        """True: the noise is fresh every update."""
        return True

    def prepare(self, model: Model, batch: int) -> Prepared:
        """What a squared norm needs of the weights."""
        return prepare_frobenius_sq(model, batch)

    def floats(self, model: Model, batch: int) -> int:
        """What one squared norm holds, for each sample."""
        return self.n_samples * floats_for_frobenius_sq(model, batch)

    def term(self, model: Model, forward: Forward, prepared: Prepared, *, key: RandomKey) -> Scalar:
        """The mean over the samples of ||J_f(x) - J_f(x + e)||_F^2."""
        here = encoder_differential(model, forward)

        def distance(noise: Array) -> Scalar:
            moved = forward.x + self.std * noise
            preactivations, hidden = model.encode_with_preactivations(moved)
            there = encoder_differential(model, Forward(moved, preactivations, hidden, forward.output))
            return squared_distance(here, there, prepared)

        noise = jax.random.normal(key, (self.n_samples, *forward.x.shape), forward.x.dtype)
        return jnp.mean(jax.vmap(distance)(noise))


class SpectralContraction(Penalty):
    """lambda sigma_1(J_f(x)), the largest singular value of the Jacobian: how far the worst direction moves the code.

    By power iteration, with the gradient of the converged value; no Jacobian is formed.

    Args:
        coefficient: lambda >= 0.
        n_iterations: steps of the power iteration, >= 1. After k of them the value is too small by about
            a factor 1 - (sigma_2 / sigma_1)^(4 k).

    Raises:
        ValueError: if `n_iterations` is below 1.
        TypeError: if it is no whole number.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.diag(jnp.array([3.0, 1.0])), jnp.zeros(2), jnp.zeros(2), activation="linear")
        >>> print(SpectralContraction(1.0)(model, model.forward(jnp.ones(2))))
        3.0
    """

    coefficient: Coefficient
    n_iterations: int = eqx.field(static=True, default=20)

    def __check_init__(self) -> None:
        check_count("n_iterations", self.n_iterations)

    def term(self, model: Model, forward: Forward, prepared: None, *, key: RandomKey) -> Scalar:
        """sigma_1(J_f(x)), not squared."""
        return largest_singular_value(encoder_differential(model, forward), n_iterations=self.n_iterations)


class WeightDecay(Penalty):
    """alpha times the sum of the squared weights, not halved; a tied weight counts once, biases do not.

    For a user's own encoder every parameter with at least two axes is a weight.

    Args:
        coefficient: alpha >= 0, called `weight_decay` by the estimators.

    Example:
        >>> import jax.numpy as jnp
        >>> from contractive.models import AutoEncoder
        >>> model = AutoEncoder(jnp.ones((1, 2)), jnp.zeros(1), jnp.zeros(2))
        >>> print(WeightDecay(0.5)(model, model.forward(jnp.zeros(2))))
        1.0

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, equation (4) (the AE+wd baseline).
    """

    coefficient: Coefficient

    def prepare(self, model: Model, batch: int) -> Scalar:
        """The sum of the squared weights, the same for every example."""
        leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
        return sum((jnp.sum(leaf**2) for leaf in leaves if leaf.ndim > 1), jnp.zeros((), model.dtype))

    def term(self, model: Model, forward: Forward, prepared: Scalar, *, key: RandomKey) -> Scalar:
        """What `prepare` found."""
        return prepared


PENALTIES = MappingProxyType(
    {
        penalty.__name__: penalty
        for penalty in (Contraction, HigherOrder, ReconstructionContraction, SpectralContraction, WeightDecay)
    }
)
"""Every penalty by the name of its class."""
