"""What every fitted auto-encoder does: transform, reconstruct, score, differentiate; arrays in, arrays out."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._typing import Scalar, Visible
from .._validation import check_count, check_interval, check_rows, check_seed
from ..batched import Example, map_rows
from ..geometry import (
    NeighborContraction,
    effective_dimension,
    map_spectra,
    map_tangents,
    neighbor_contraction,
    singular_values,
)
from ..jacobian import floats_for_frobenius_sq, jacobian, jacobian_frobenius_sq
from ..models import AutoEncoder, Model, Stack
from ..sampling import sample_walk
from ..serialization import write_model
from ..sources import CheckedRows, RowReader
from ..training import EpochRecord
from ._describe import model_arrays, model_outline, plain_parameters
from ._parameters import DEFAULT_BATCH

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["BaseAutoencoder", "arithmetic", "precision"]


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The fitted half of an estimator; how it is fitted is each class's own.

    Attributes:
        model_: the trained auto-encoder, a pytree of NumPy arrays; see `contractive.models`.
        history_: one `EpochRecord` an epoch.
        engine_: what trained: "jax" or "native".
        best_epoch_: the epoch whose weights were kept; with early stopping only.
        n_features_in_: features of the data.
        feature_names_in_: their names, where the data had any.
    """

    model_: Model
    history_: list[EpochRecord]
    engine_: str
    n_features_in_: int
    best_epoch_: int
    _seed: int

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The codes h = f(x).

        Args:
            X: data of shape (n_samples, n_features), in the units of the training data; dense, sparse, or a
                `sources.RowReader`, of which a block is in memory at a time.

        Returns:
            Array of shape (n_samples, n_components), of the model's float dtype.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers.
            ValueError: if X is not finite or has other features than the training data.
        """
        return self._map_rows(Model.encode, X)

    def inverse_transform(self, H: ArrayLike) -> np.ndarray:
        """The reconstructions r = g(h) of codes.

        Args:
            H: codes of shape (n_samples, n_components); floats, taken by value.

        Returns:
            Array of shape (n_samples, n_features), in the units of the training data (uint8 data: k / uint8_scale).

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if H does not hold numbers.
            ValueError: if H is not finite or is not of n_components columns.
        """
        check_is_fitted(self, "model_")
        codes = check_rows(H, name="H")
        if codes.shape[1] != self.model_.n_hidden:
            raise ValueError(f"`H` must have {self.model_.n_hidden} columns, one a component; got {codes.shape[1]}.")
        with precision(self.model_.dtype):
            return map_rows(Model.decode, self.model_, codes.astype(self.model_.dtype, copy=False))

    def reconstruct(self, X: ArrayLike) -> np.ndarray:
        """The reconstructions r = g(f(x)); arguments, units and errors as for `transform`.

        Returns:
            Array of shape (n_samples, n_features).
        """
        return self._map_rows(Model.reconstruct, X)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """How normal each row is: minus its reconstruction error -L(x, r), so higher is more normal.

        Args:
            X: as for `transform`, in [0, 1] for the cross-entropy.

        Returns:
            Array of shape (n_samples,): minus a sum over features, in nats (cross-entropy) or squared units of X.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers.
            ValueError: as for `transform`, or if X is outside [0, 1] for the cross-entropy.
        """
        check_is_fitted(self, "model_")
        return -self._map_rows(reconstruction_error, X, unit_interval=self.model_.reconstruction_loss.unit_interval)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean over the rows of `score_samples(X)`; y is ignored."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def jacobian(self, X: ArrayLike) -> np.ndarray:
        """The Jacobians dh/dx of the code, exactly; arguments and errors as for `transform`.

        Returns:
            Array of shape (n_samples, n_components, n_features): n_samples times the memory of such a matrix.
        """
        return self._map_rows(jacobian, X)

    def contraction_norm(self, X: ArrayLike) -> np.ndarray:
        """The norms ||J_f(x)||_F, exact and not squared, in blocks of rows; arguments and errors as for `transform`.

        Returns:
            Array of shape (n_samples,), in units of the code over units of X.
        """
        check_is_fitted(self, "model_")
        return self._map_rows(_contraction_norm, X, floats=floats_for_frobenius_sq(self.model_, DEFAULT_BATCH) or None)

    def effective_dimension(self, X: ArrayLike) -> np.ndarray:
        """In how many directions the code changes at each row, each counted by its share; arguments as `transform`.

        The participation ratio of the Jacobian's spectrum, (sum sigma^2)^2 / sum sigma^4.

        Returns:
            Array of shape (n_samples,), from 1 to the rank of the Jacobian; 0 where that is 0.
        """
        check_is_fitted(self, "model_")
        layers = self.model_.encoder_layers
        held = None if layers is not None and len(layers) == 1 else 3 * self.model_.n_features * self.model_.n_hidden
        return self._map_rows(effective_dimension, X, floats=held)

    def tangents(self, X: ArrayLike, n_tangents: int = 15) -> np.ndarray:
        """The tangent plane at each row: the orthonormal directions in which the code changes most.

        Of a large encoder they are found approximately; `geometry.tangents` says how, and finds them exactly if asked.

        Args:
            X: as for `transform`.
            n_tangents: from 1 to the rank of the Jacobian: components, features or units of a layer between.

        Returns:
            Array of shape (n_samples, n_tangents, n_features), the direction of the largest singular value first. Of
            more than 1 GiB a memory map of float16: delete its `filename` when done.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers, or `n_tangents` is no whole number.
            ValueError: as for `transform`, or if `n_tangents` is out of range.
        """
        rows = self._checked_rows(X)
        with precision(self.model_.dtype):
            return map_tangents(self.model_, rows, n_tangents, uint8_scale=self._uint8_scale)

    def spectrum(self, X: ArrayLike, n_values: int | None = None) -> np.ndarray:
        """The singular values of the Jacobians dh/dx: how much the code changes in how many directions.

        Args:
            X: as for `transform`.
            n_values: how many, the largest ones, from 1 to the rank of the Jacobian. Of a large encoder a few are found
                much faster than all, and approximately; `geometry.map_spectra` says how. None for all of them, exactly.

        Returns:
            Array of shape (n_samples, n_values or min(n_components, n_features)), of each row the largest first.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers, or `n_values` is no whole number.
            ValueError: as for `transform`, or if `n_values` is out of range.
        """
        if n_values is not None:
            rows = self._checked_rows(X)
            with precision(self.model_.dtype):
                return map_spectra(self.model_, rows, n_values, uint8_scale=self._uint8_scale)
        check_is_fitted(self, "model_")
        # J and what LAPACK makes of it.
        return self._map_rows(singular_values, X, floats=4 * self.model_.n_features * self.model_.n_hidden)

    def neighbor_contraction(
        self, X: ArrayLike, *, n_rows: int = 256, n_neighbors: int = 5, n_bins: int = 12, random_state: int = 0
    ) -> NeighborContraction:
        """How much the code brings rows together, against how far apart they are: neighbours, and random pairs.

        Args:
            X: as for `transform`, at least 2 different rows.
            n_rows: how many are drawn, >= 1, to be paired with others of X.
            n_neighbors: pairs of either kind for each, >= 1.
            n_bins: of the distance, >= 1.
            random_state: what the draws depend on, >= 0.

        Returns:
            Distances, mean ratios, quantiles and counts, an entry a bin that holds any pair.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers, or a parameter is no whole number.
            ValueError: as for `transform`, if no two rows are different, or if a parameter is out of range.
        """
        rows = self._checked_rows(X)
        seed = check_count("random_state", random_state, low=0)
        with precision(self.model_.dtype):
            return neighbor_contraction(
                self.model_,
                rows,
                seed=seed,
                n_rows=n_rows,
                n_neighbors=n_neighbors,
                n_bins=n_bins,
                uint8_scale=self._uint8_scale,
            )

    def sample(
        self,
        n_samples: int = 100,
        *,
        n_steps: int = 20,
        std: float = 0.1,
        X: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """New examples: the ends of as many walks along the tangents of the code.

        Args:
            n_samples: how many, >= 1.
            n_steps: steps of each walk, >= 1: the more, the further from where it began.
            std: standard deviation of the noise in the code, >= 0, before J J^T takes it along the manifold.
            X: rows to begin at, as for `transform`; each walk draws one. None to begin at reconstructions of codes
                drawn uniformly from [0, 1], as an estimator keeps no data: it then takes more steps to forget them.
            random_state: what all draws depend on.

        Returns:
            Array of shape (n_samples, n_features), in the units of the training data (uint8 data: k / uint8_scale).

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers, or a parameter is of another type.
            ValueError: as for `transform`, or if a parameter is out of range.

        References:
            Rifai et al., A Generative Process for Sampling Contractive Auto-Encoders, ICML 2012, algorithm 1.
        """
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        check_count("n_steps", n_steps)
        check_interval("std", std, low=0)
        check_seed("random_state", random_state)
        rng = check_random_state(random_state)
        if X is None:
            starts = self.inverse_transform(rng.uniform(size=(n_samples, self.model_.n_hidden)))
        else:
            rows = self._checked_rows(X)
            chosen = rows[rng.randint(rows.shape[0], size=n_samples)]
            chosen = chosen.toarray() if hasattr(chosen, "toarray") else chosen
            starts = chosen / self._uint8_scale if chosen.dtype == np.uint8 else chosen
        seed = int(rng.randint(np.iinfo(np.int32).max))
        with precision(self.model_.dtype):
            return sample_walk(self.model_, starts, n_steps=n_steps, thinning=n_steps, std=std, seed=seed)[:, 0]

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into one file: safetensors weights and JSON metadata.

        Of an encoder of the user's own the arrays are written, not the code: `load` wants it again.

        Args:
            path: the file to make or replace.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if a parameter is an object that JSON cannot hold, such as an optax transformation.
            OSError: if the file cannot be written; what was there stays.
        """
        check_is_fitted(self, "model_")
        write_model(path, model_arrays(self.model_), {**self._description(), "model": model_outline(self.model_)})

    def _description(self) -> dict[str, Any]:
        """All that a model file says of an estimator, but the model."""
        return {
            **self._facts(),
            "parameters": plain_parameters(self, callables=True),
            "best_epoch": vars(self).get("best_epoch_"),
            "layers": [layer._description() for layer in vars(self).get("layers_", ())],
        }

    def _facts(self) -> dict[str, Any]:
        """What is to be written down of a fitted estimator, or of one that is being fitted."""
        return {
            "class": type(self).__name__,
            "engine": vars(self).get("engine_"),  # not known before the first epoch
            "history": list(self.history_),  # which may grow while this is written
            "seed": self._seed,
            "n_features": self.n_features_in_,
            "feature_names": [*map(str, vars(self).get("feature_names_in_", ()))],
        }

    @property
    def components_(self) -> np.ndarray:
        """W of the first layer, the filters, of shape (units, n_features)."""
        return np.asarray(self._first_layer("components_").weight)

    @property
    def intercept_(self) -> np.ndarray:
        """The hidden bias b of the first layer, of shape (units,)."""
        return np.asarray(self._first_layer("intercept_").hidden_bias)

    @property
    def visible_intercept_(self) -> np.ndarray:
        """The visible bias b' of the first layer, of shape (n_features,)."""
        return np.asarray(self._first_layer("visible_intercept_").visible_bias)

    @property
    def decoder_components_(self) -> np.ndarray | None:
        """The decoder's own weight V of the first layer, of shape (n_features, units); None when tied."""
        weight = self._first_layer("decoder_components_").decoder_weight
        return None if weight is None else np.asarray(weight)

    @property
    def loss_curve_(self) -> list[float]:
        """Mean reconstruction error of each epoch, over the training rows."""
        return [record.reconstruction_error for record in self.history_]

    @property
    def validation_loss_curve_(self) -> list[float]:
        """Mean reconstruction error of the held-out rows after each epoch; empty without early stopping."""
        return [record.validation_error for record in self.history_ if record.validation_error is not None]

    @property
    def jacobian_norm_curve_(self) -> list[float]:
        """Mean ||J_f(x)||_F of each epoch, over the training rows; `objectives.Parts` says where it is estimated."""
        return [record.jacobian_norm for record in self.history_]

    @property
    def n_epochs_(self) -> int:
        """Epochs trained."""
        return len(self.history_)

    @property
    def _n_features_out(self) -> int:
        return self.model_.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _first_layer(self, name: str) -> AutoEncoder:
        """The dense layer next to the input.

        Raises:
            AttributeError: if the estimator is not fitted, or its encoder does not begin with a dense layer.
        """
        layer = vars(self).get("model_")
        while isinstance(layer, Stack):
            layer = layer.layers[0]
        if not isinstance(layer, AutoEncoder):
            why = "is not fitted yet" if layer is None else "has an encoder of the user's own; see `model_`"
            raise AttributeError(f"{type(self).__name__} has no {name!r}: it {why}.")
        return layer

    def _checked(self, X: Any, *, reset: bool, dtype: np.dtype | None = None, **rules: Any) -> Any:
        """The rows of X, once values, features and their names are as they must be; those of a reader when it reads."""
        dtype = arithmetic(np.dtype(np.float64)) if dtype is None else dtype
        rules |= {"uint8_scale": self._uint8_scale, "largest": largest_number(dtype)}
        rows = CheckedRows(X, **rules) if isinstance(X, RowReader) else check_rows(X, **rules)
        # With no names and the right width, scikit-learn takes half as long to find nothing as one row takes to encode.
        is_nameless = isinstance(X, np.ndarray | RowReader) and "feature_names_in_" not in vars(self)
        if reset or not (is_nameless and rows.shape[1] == self.n_features_in_):
            validate_data(self, cast(Any, X), reset=reset, skip_check_array=True)
        return rows

    def _checked_rows(self, X: Any, **rules: Any) -> Any:
        """The rows of X for a fitted model.

        Raises:
            NotFittedError: if `fit` was not called.
        """
        check_is_fitted(self, "model_")
        return self._checked(X, reset=False, dtype=self.model_.dtype, **rules)

    def _forget(self) -> None:
        """Drop what an earlier fit learned."""
        for attribute in ("model_", "layers_", "best_epoch_"):
            vars(self).pop(attribute, None)

    @abc.abstractmethod
    def _check_parameters(self) -> None:
        """Refuse wrong values among the parameters.

        Raises:
            TypeError: if one is of the wrong type.
            ValueError: if one is out of its range.
        """

    @property
    @abc.abstractmethod
    def _uint8_scale(self) -> float:
        """What a uint8 value is divided by."""

    def _map_rows(self, function: Example, X: ArrayLike, *, floats: int | None = None, **rules: Any) -> np.ndarray:
        """Apply a function of (model, one example) to every row of checked data."""
        rows = self._checked_rows(X, **rules)
        with precision(self.model_.dtype):
            return map_rows(function, self.model_, rows, uint8_scale=self._uint8_scale, floats=floats)


def precision(dtype: np.dtype) -> AbstractContextManager[object]:
    """JAX with 64 bits within the context, in this thread, where the dtype needs them; else JAX as it is."""
    if np.dtype(dtype).itemsize < 8 or jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        return nullcontext()
    return jax.enable_x64(True)


def arithmetic(dtype: np.dtype) -> np.dtype:
    """The float dtype of a model for data of a dtype: float64 for float64, else float32."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def largest_number(dtype: np.dtype) -> float:
    """The largest number of an arithmetic."""
    return float(jnp.finfo(dtype).max)


def reconstruction_error(model: Model, x: Visible) -> Scalar:
    """L(x, g(f(x))) of one example."""
    return model.reconstruction_loss.error(x, model.forward(x).output)


def _contraction_norm(model: Model, x: Visible) -> Scalar:
    return jnp.sqrt(jacobian_frobenius_sq(model, x))
