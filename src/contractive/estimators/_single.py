"""Estimators that train one model: what `fit` and `partial_fit` do."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils import check_random_state

from .._typing import Visible
from ..batched import map_rows
from ..corruption import Corruption
from ..losses import LOSSES
from ..models import AutoEncoder, CallableAutoEncoder, Model, Stack, initialize, wrap_callables
from ..sources import RowReader
from ._base import BaseAutoencoder, arithmetic, precision
from ._fitting import checked_weights, draw_seed, train_estimator
from ._parameters import check_architecture, check_penalties, check_training, make_objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..training import EpochRecord

__all__ = ["SingleAutoencoder"]

_TRIED_ROWS = 16  # that a user's own encoder is tried on before training


class SingleAutoencoder(BaseAutoencoder):
    """An estimator of one auto-encoder; a subclass adds its parameters and what it corrupts."""

    n_components: int
    hidden_layer_sizes: Sequence[int]
    activation: Any
    loss: str
    tied_weights: bool
    encoder: Any
    decoder: Any
    max_epochs: int
    early_stopping: bool
    uint8_scale: float
    engine: str
    random_state: Any
    warm_start: bool

    @abc.abstractmethod
    def _check_own_parameters(self) -> None:
        """Refuse wrong values among the parameters that only this class has."""

    @abc.abstractmethod
    def _make_corruption(self, rows: Any) -> Corruption | None:
        """What changes a row before it is encoded."""

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on the rows of X.

        Args:
            X: data of shape (n_samples, n_features), n_samples >= 2, finite; in [0, 1] for the cross-entropy. Dense,
                sparse or a `sources.RowReader`; of sparse data only some minibatches are dense at a time, of a reader
                only some windows are in memory, see `training.stream_order`, and its values are checked as they are
                read. uint8 stays uint8 on the device; float64 is computed in float64, everything else in float32.
            y: ignored.
            sample_weight: what each row counts, of shape (n_samples,), >= 0; a row of weight 2 counts as two, one of
                weight 0 not at all. None for all the same.

        Returns:
            The estimator itself.

        Raises:
            TypeError: if X or a parameter is of the wrong type.
            ValueError: if X, sample_weight or a parameter is out of its range; if a reader's file has changed.
            OSError: if a reader cannot read.
            FloatingPointError: if the cost is not finite; what the finished epochs learned stays.
        """
        going_on = "_resumed" in vars(self) or (bool(self.warm_start) and "model_" in vars(self))
        self._fit(X, sample_weight, max_epochs=self.max_epochs, min_rows=2, going_on=going_on)
        return self

    def partial_fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Go once through the rows of X, from where the estimator is; the first call starts afresh.

        Args:
            X: as for `fit`, but one row is enough. For "salt_and_pepper" the extremes are those of these rows.
            y: ignored.
            sample_weight: as for `fit`.

        Returns:
            The estimator itself.

        Raises:
            TypeError: as for `fit`.
            ValueError: as for `fit`; if X has other features than before, or early stopping is asked for.
            FloatingPointError: as for `fit`.
        """
        if self.early_stopping:
            raise ValueError("`early_stopping` must be False for partial_fit, which holds no rows out; got True.")
        vars(self).pop("_resumed", None)
        self._fit(X, sample_weight, max_epochs=1, min_rows=1, going_on="model_" in vars(self), partial_fit=True)
        return self

    def _fit(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        max_epochs: int,
        min_rows: int,
        going_on: bool,
        partial_fit: bool = False,
    ) -> None:
        self._check_parameters()
        unit_interval = LOSSES[self.loss].unit_interval
        dtype = self.model_.dtype if going_on else None
        rows = self._checked(X, reset=not going_on, dtype=dtype, min_rows=min_rows, unit_interval=unit_interval)
        self._warn_of_bits(rows)
        weights = checked_weights(sample_weight, rows.shape[0])
        if going_on:
            self._check_same_model()
            model = self.model_
        else:
            rng = check_random_state(self.random_state)
            dtype = arithmetic(rows.dtype)
            with precision(dtype):
                model = self._make_model(rows, rng, dtype)
            self._forget()
            self.history_: list[EpochRecord] = []
            self._seed, self._optimizer_state = draw_seed(rng), None
        train_estimator(
            self,
            model,
            make_objective(self, self._make_corruption(rows)),
            rows,
            weights,
            seed=self._seed,
            max_epochs=int(max_epochs),
            uint8_scale=float(self.uint8_scale),
            engine=self.engine,
            partial_fit=partial_fit,
        )

    def _check_parameters(self) -> None:
        check_architecture(self)
        check_training(self)
        check_penalties(self)
        self._check_own_parameters()

    def _make_model(self, rows: Any, rng: np.random.RandomState, dtype: np.dtype) -> Model:
        if self.encoder is None:
            return initialize(
                rows.shape[1],
                int(self.n_components),
                rng=rng,
                hidden_layer_sizes=tuple(map(int, self.hidden_layer_sizes)),
                activation=self.activation,
                loss=self.loss,
                tied_weights=bool(self.tied_weights),
                dtype=dtype,
            )
        model = wrap_callables(
            self.encoder, self.decoder, n_features=rows.shape[1], rng=rng, loss=self.loss, dtype=dtype
        )
        self._try_on(model, rows[:_TRIED_ROWS])
        return model

    def _check_same_model(self) -> None:
        """Refuse to go on with a model that the parameters no longer describe.

        Raises:
            ValueError: if layers, nonlinearity, loss or the tying of the weights are others than those fitted.
        """
        model = self.model_
        own = "an encoder of the user's own"
        asked: tuple[str, Any] = self.loss, own
        fitted: tuple[str, Any] = model.reconstruction_loss.name, own
        if self.encoder is None:
            sizes = (model.n_features, *map(int, self.hidden_layer_sizes), int(self.n_components))
            asked = self.loss, [(*pair, self.activation, bool(self.tied_weights)) for pair in pairwise(sizes)]
        if not isinstance(model, CallableAutoEncoder):
            layers = model.layers if isinstance(model, Stack) else (model,)
            fitted = (
                model.reconstruction_loss.name,
                [
                    (layer.n_features, layer.n_hidden, layer.activation, layer.tied_weights)
                    for layer in layers
                    if isinstance(layer, AutoEncoder)
                ],
            )
        if asked != fitted:
            raise ValueError(
                f"`warm_start` and `partial_fit` must go on with the model that was fitted, {fitted}; "
                f"got parameters for {asked}. Fit a new estimator, or pass warm_start=False."
            )

    def _try_on(self, model: CallableAutoEncoder, rows: Any) -> None:
        """Refuse a user's own functions that make NaN or infinity of the first rows.

        Raises:
            ValueError: if they do.
        """
        made = map_rows(_code_and_output, model, rows, uint8_scale=float(self.uint8_scale))
        for name, part in {"encoder": made[:, : model.n_hidden], "decoder": made[:, model.n_hidden :]}.items():
            wrong = ~np.isfinite(part).all(axis=1)
            if wrong.any():
                raise ValueError(f"`{name}` must return finite numbers; got NaN or infinity for row {wrong.argmax()}.")

    @property
    def _uint8_scale(self) -> float:
        return self.uint8_scale

    def _warn_of_bits(self, rows: Any) -> None:
        if isinstance(rows, RowReader):  # known only when all are read
            return
        if rows.dtype == np.uint8 and self.uint8_scale > 1 and rows.max() <= 1:
            warnings.warn(
                f"X is uint8 and holds only 0 and 1, which are read as 0 and 1/{self.uint8_scale:g}; "
                "pass uint8_scale=1 to take them by value.",
                stacklevel=4,
            )


def _code_and_output(model: Model, x: Visible) -> jax.Array:
    forward = model.forward(x)
    return jnp.concatenate([forward.hidden, forward.output])
