"""Nearest neighbours by the distance of tangent planes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._typing import Array, Float, Rows
from .._validation import check_count, check_rows, check_seed
from ..batched import MAX_BLOCK_FLOATS, as_floats
from ..supervised import two_sided_tangent_distance_sq
from ._base import BaseAutoencoder, largest_number, precision
from ._base_classifier import chosen_representation, fit_representation
from ._contractive import ContractiveAutoencoder
from ._fitting import draw_seed
from ._labels import encode_labels
from ._tangent_planes import check_n_tangents, resolve_n_tangents, tangent_planes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["TangentNeighborsClassifier"]

_MIN_PLANES = 256  # rows whose planes are found together, if as many are asked for


class TangentNeighborsClassifier(ClassifierMixin, BaseEstimator):
    """Votes of the nearest neighbours, where near means that the tangent planes at two rows come close.

    The distance of x and y is the two-sided tangent distance, min over a, b of ||(x + A^T a) - (y + B^T b)||, with the
    tangent planes A at x and B at y by the encoder of `representation`. All pairs are compared.

    Args:
        representation: as for `ContractiveClassifier`. None for a `ContractiveAutoencoder`.
        n_neighbors: rows that vote, from 1 to the number of labelled rows. Among classes with as many votes the first
            of `classes_` wins.
        n_tangents: directions of the tangent plane at each row, from 1 to the highest rank that the encoder's Jacobian
            can have and fewer than half of the features, as planes of more always meet; or "auto": 15, or fewer where
            that asks for it.
        unlabeled: the value in y that stands for no label: such rows take part in the training of the representation
            only. None takes every value for a class.
        random_state: draws the seed of a representation that has none.

    Attributes:
        representation_: the fitted auto-encoder.
        classes_: the classes, sorted.
        n_features_in_: features of the data.

    Example:
        >>> from contractive import ContractiveAutoencoder, TangentNeighborsClassifier
        >>> from contractive.datasets import load_digits
        >>> (X, y), _, (X_test, y_test) = load_digits()
        >>> cae = ContractiveAutoencoder(64, loss="cross_entropy", max_epochs=5)
        >>> neighbors = TangentNeighborsClassifier(cae, n_tangents=3, random_state=0).fit(X[:300], y[:300])
        >>> bool(neighbors.score(X_test, y_test) > 0.8)
        True

    References:
        Rifai et al., The Manifold Tangent Classifier, NIPS 2011, table 1. Simard, LeCun and Denker, Efficient pattern
        recognition using a new transformation distance, NIPS 1993.
    """

    representation_: BaseAutoencoder
    classes_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        representation: Any = None,
        *,
        n_neighbors: int = 1,
        n_tangents: int | str = "auto",
        unlabeled: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.representation = representation
        self.n_neighbors = n_neighbors
        self.n_tangents = n_tangents
        self.unlabeled = unlabeled
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the representation on all rows of X, and keep the labelled ones with their tangent planes.

        Args:
            X: data of shape (n_samples, n_features), n_samples >= 2; dense or sparse.
            y: labels of shape (n_samples,), as for `ContractiveClassifier`.

        Returns:
            The estimator itself.

        Raises:
            TypeError: if X or a parameter is of the wrong type.
            ValueError: if X, y or a parameter is out of its range.
        """
        check_count("n_neighbors", self.n_neighbors)
        check_n_tangents(self.n_tangents)
        check_seed("random_state", self.random_state)
        rows = check_rows(X, min_rows=2)
        validate_data(self, X, y, reset=True, skip_check_array=True)  # type: ignore[arg-type]
        classes, encoded = encode_labels(rows, y, self.unlabeled)
        known = encoded >= 0
        if self.n_neighbors > known.sum():
            raise ValueError(
                f"`n_neighbors` must be at most the number of labelled rows, {known.sum()}; got {self.n_neighbors}."
            )
        chosen = chosen_representation(self, X, ContractiveAutoencoder())
        # Two planes whose directions together fill the space always meet.
        n_tangents = resolve_n_tangents(self.n_tangents, chosen, rows.shape[1], most=(rows.shape[1] - 1) // 2)
        seed = draw_seed(check_random_state(self.random_state))
        representation = fit_representation(self, chosen, X, None, seed=seed)
        # Where planes nearly share directions, distances between them are what rounding to float16 makes of them.
        planes = tangent_planes(representation, rows[known], n_tangents, is_mapped=False)
        self.representation_, self.classes_ = representation, classes
        self._numbers, self._rows = encoded[known], self._floats(rows[known])
        self._planes, self._n_tangents = planes, n_tangents
        return self

    def kneighbors(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The nearest labelled training rows.

        Args:
            X: data of shape (n_samples, n_features), in the units of the training data; dense or sparse.

        Returns:
            Distances, in units of X (uint8 data: k / uint8_scale), and places among the labelled training rows, both of
            shape (n_samples, n_neighbors), nearest first.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers.
            ValueError: if X is not finite or has other features than the training data.
        """
        check_is_fitted(self, "classes_")
        rows = check_rows(X, largest=largest_number(self.representation_.model_.dtype))
        validate_data(self, X, reset=False, skip_check_array=True)  # type: ignore[arg-type]
        floats = self._floats(rows)
        n_tangents, n_features = self._planes.shape[1:]
        block = max(1, MAX_BLOCK_FLOATS // (len(self._rows) * (2 * n_features + n_tangents**2)))
        found = []
        with precision(floats.dtype):
            reference = jnp.asarray(self._rows), jnp.asarray(self._planes, floats.dtype)
            for own, planes in self._with_planes(rows, floats, block):
                # The last block is filled up, so that it compiles nothing of its own.
                missing = min(block, len(floats)) - len(planes)
                filled = np.pad(own, ((0, missing), (0, 0))), np.pad(planes, ((0, missing), (0, 0), (0, 0)))
                squares = np.asarray(_distances_sq(*map(jnp.asarray, filled), *reference))[: len(planes)]
                places = np.argsort(squares, axis=1, kind="stable")[:, : self.n_neighbors]
                found.append((np.sqrt(np.take_along_axis(squares, places, axis=1)), places))
        distances, places = zip(*found, strict=True)
        return np.concatenate(distances), np.concatenate(places)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The class with the most votes; arguments and errors as for `kneighbors`.

        Returns:
            Array of shape (n_samples,), of the type of the labels.
        """
        numbers = self.predict_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The share of the votes for each class; arguments and errors as for `kneighbors`.

        Returns:
            float64 of shape (n_samples, n_classes), in the order of `classes_`.
        """
        _, places = self.kneighbors(X)
        votes = self._numbers[places][:, :, None] == np.arange(len(self.classes_))
        return votes.mean(axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _with_planes(self, rows: Any, floats: np.ndarray, block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks of rows as the model sees them, with their planes, which are found fastest for many rows together."""
        together = block * -(-_MIN_PLANES // block)
        for start in range(0, len(floats), together):
            some = slice(start, start + together)
            planes = tangent_planes(self.representation_, rows[some], self._n_tangents, is_mapped=False)
            for place in range(0, len(planes), block):
                yield floats[some][place : place + block], planes[place : place + block]

    def _floats(self, rows: Any) -> np.ndarray:
        """Rows as the model sees them."""
        dtype = self.representation_.model_.dtype
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        with precision(dtype):
            scale = jnp.asarray(np.asarray(self.representation_._uint8_scale, dtype))
            return np.asarray(as_floats(jnp.asarray(rows), scale, dtype))


@jax.jit
def _distances_sq(
    x: Rows, x_planes: Float[Array, "batch tangents features"], y: Array, y_planes: Array
) -> Float[Array, "batch others"]:
    """The squared tangent distance of each row of x to each row of y."""
    to_all = jax.vmap(two_sided_tangent_distance_sq, in_axes=(None, None, 0, 0))
    return jax.vmap(lambda row, planes: to_all(row, planes, y, y_planes))(x, x_planes)
