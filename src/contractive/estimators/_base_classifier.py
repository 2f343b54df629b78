"""What every classifier of the family does: learn a representation of all rows, then fine-tune it on labels."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from .._validation import check_count, check_rows, shown
from ..batched import map_rows
from ..models import AutoEncoder, Classifier
from ..serialization import write_model
from ..supervised import FineTuningRecord, SupervisedRows, fine_tune, minibatches_an_epoch
from ..training import decayed_rate, resolve_optimizer
from ._base import BaseAutoencoder, arithmetic, largest_number, precision
from ._describe import model_arrays, model_outline, plain_parameters
from ._fine_tuning import (
    FineTuningWatch,
    HeldOut,
    log_probabilities,
    make_supervised_objective,
    with_output_layer,
)
from ._fitting import call_all, checked_weights, draw_seed
from ._labels import encode_labels, is_unlabeled, known_labels, split_stratified
from ._parameters import batch_size, check_closed_form, check_fine_tuning, check_training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["BaseClassifier", "fit_representation"]


def chosen_representation(owner: Any, X: Any, default: Any) -> Any:
    """The auto-encoder that a classifier stands on, before it is trained: unfitted, or frozen.

    Args:
        owner: the classifier; its `representation` says which.
        X: the data as it was given, checked before but for what a frozen one asks of it.
        default: an unfitted estimator for `representation=None`.

    Raises:
        TypeError: if `representation` is no auto-encoder of this package.
        ValueError: if a frozen one has other features than the data, or the data are beyond its arithmetic.
    """
    chosen = default if owner.representation is None else owner.representation
    own = chosen.estimator if isinstance(chosen, FrozenEstimator) else chosen
    if not isinstance(own, BaseAutoencoder):
        raise TypeError(
            "`representation` must be an auto-encoder of this package, fitted ones inside a FrozenEstimator; "
            f"got {shown(own)}."
        )
    if not isinstance(chosen, FrozenEstimator):
        try:
            own._check_parameters()
        except (TypeError, ValueError) as error:
            raise type(error)(f"`representation`: {error}") from error
    else:
        check_is_fitted(own, "model_")
        if own.n_features_in_ != owner.n_features_in_:
            raise ValueError(
                f"`representation` must have been fitted on {owner.n_features_in_} features, as X has; "
                f"got {own.n_features_in_}."
            )
        own._checked_rows(X)  # their names, and the range of its arithmetic
    return chosen


def _is_one_dense_layer(chosen: Any) -> bool:
    """Whether the encoder of a chosen representation is a single dense layer."""
    if isinstance(chosen, FrozenEstimator):
        return isinstance(chosen.estimator.model_, AutoEncoder)
    layers = getattr(chosen, "layers", [chosen])
    return len(layers) == 1 and not len(layers[0].hidden_layer_sizes) and layers[0].encoder is None


def fit_representation(owner: Any, chosen: Any, X: Any, sample_weight: Any, *, seed: int) -> BaseAutoencoder:
    """The fitted auto-encoder that a classifier stands on: its own, trained on all rows, or a frozen one as it is.

    Args:
        owner: the classifier; its callbacks hear of the training.
        chosen: what `chosen_representation` returned.
        X: the data as it was given.
        sample_weight: what each row counts, or None.
        seed: of a representation that has none.

    Raises:
        TypeError: what its training raises, the representation named.
        ValueError: likewise.
    """
    if isinstance(chosen, FrozenEstimator):
        return chosen.estimator
    representation: Any = clone(chosen)
    if representation.random_state is None:
        representation.set_params(random_state=seed)
    own = representation.callbacks
    if getattr(owner, "callbacks", None):
        heard = [*(own or ()), lambda _, event: call_all(owner.callbacks, owner, event)]
        representation.set_params(callbacks=heard)
    try:
        return representation.fit(X, sample_weight=sample_weight)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`representation`: {error}") from error
    finally:
        representation.set_params(callbacks=own)


class BaseClassifier(ClassifierMixin, BaseEstimator):
    """An encoder trained without labels on all rows, then fine-tuned with an output layer on the labelled ones.

    Attributes:
        classifier_: the fine-tuned encoder and output layer, a `contractive.models.Classifier` of NumPy arrays.
        representation_: the auto-encoder as it was before fine-tuning.
        classes_: the classes, sorted.
        history_: one `FineTuningRecord` an epoch.
        best_epoch_: the epoch whose weights were kept; with held-out rows only.
        n_features_in_: features of the data.
    """

    representation: Any
    optimizer: Any
    learning_rate: Any
    learning_rate_decay: str
    batch_size: int | str
    max_epochs: int
    shuffle: bool
    max_norm: float | None
    smoothness_warmup: int
    penalty: Any
    unlabeled: Any
    early_stopping: bool
    validation_fraction: float
    random_state: Any
    callbacks: Sequence[Any] | None
    classifier_: Classifier
    representation_: BaseAutoencoder
    classes_: np.ndarray
    history_: list[FineTuningRecord]
    best_epoch_: int
    n_features_in_: int
    _uint8_scale: float

    @abc.abstractmethod
    def _default_representation(self) -> BaseAutoencoder:
        """What `representation=None` stands for, unfitted."""

    def _check_own_parameters(self) -> None:
        """Refuse wrong values among the parameters that only this class has."""

    def _check_representation(self, representation: Any, n_features: int) -> None:
        """Refuse a representation that does not go with the parameters, before it is trained."""

    def _tangents(self, rows: Any) -> np.ndarray | None:
        """The tangent plane at each row, where fine-tuning uses it."""
        return None

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Train the representation on all rows of X, then fine-tune it on those that have a label.

        Args:
            X: data of shape (n_samples, n_features), n_samples >= 2, as for the representation; dense or sparse.
            y: labels of shape (n_samples,): numbers, strings or booleans; `unlabeled` where there is none.
            sample_weight: what each row counts, of shape (n_samples,), >= 0. None for all the same.
            validation_data: rows and labels, (X_valid, y_valid), that are not trained on: the weights of the epoch with
                the least error rate on them are kept; rows without a label do not count. None for the last epoch's, or
                for rows held out of X with `early_stopping`.

        Returns:
            The estimator itself.

        Raises:
            TypeError: if X or a parameter is of the wrong type.
            ValueError: if X, y, sample_weight or a parameter is out of its range; if y has no labels or one class only.
            FloatingPointError: if a cost is not finite; what the finished epochs learned stays.
        """
        self._check_parameters()
        rows = check_rows(X, min_rows=2)
        validate_data(self, X, y, reset=True, skip_check_array=True)  # type: ignore[arg-type]
        classes, encoded = encode_labels(rows, y, self.unlabeled)
        weights = checked_weights(sample_weight, rows.shape[0])
        rng = check_random_state(self.random_state)
        seed, self._seed = draw_seed(rng), draw_seed(rng)
        chosen = chosen_representation(self, X, self._default_representation())
        dtype = chosen.estimator.model_.dtype if isinstance(chosen, FrozenEstimator) else arithmetic(rows.dtype)
        held_out, kept = self._held_out(rows, encoded, weights, classes, dtype, validation_data)
        numbers = np.arange(len(encoded)) if kept is None else kept
        size = batch_size(self.batch_size, len(numbers), at_most_rows=True)
        if weights is not None and not weights[numbers[encoded[numbers] >= 0]].any():
            raise ValueError("`sample_weight` must have a value > 0 among the labelled rows; got zeros only.")
        check_closed_form(self.penalty, one_layer=_is_one_dense_layer(chosen))
        self._check_representation(chosen, rows.shape[1])
        for attribute in ("classifier_", "representation_", "best_epoch_"):
            vars(self).pop(attribute, None)
        self.classes_, self.history_ = classes, []
        self.representation_ = fit_representation(self, chosen, X, sample_weight, seed=seed)
        self._uint8_scale = float(self.representation_._uint8_scale)
        if kept is not None:
            rows, encoded = rows[kept], encoded[kept]
            weights = None if weights is None else weights[kept]
        self._fine_tune(rows, encoded, weights, held_out, size)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class of each row.

        Args:
            X: data of shape (n_samples, n_features), in the units of the training data; dense or sparse.

        Returns:
            Array of shape (n_samples,), of the type of the labels.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers.
            ValueError: if X is not finite or has other features than the training data.
        """
        numbers = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """The probability of each class, a soft-max; arguments and errors as for `predict`.

        Returns:
            float64 of shape (n_samples, n_classes), rows that sum to 1, in the order of `classes_`.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """The logarithms of the probabilities, in nats, finite also where these round to 0; otherwise the same."""
        check_is_fitted(self, "classifier_")
        rows = check_rows(X, largest=largest_number(self.classifier_.dtype))
        validate_data(self, X, reset=False, skip_check_array=True)  # type: ignore[arg-type]
        with precision(self.classifier_.dtype):
            scores = map_rows(log_probabilities, self.classifier_, rows, uint8_scale=self._uint8_scale)
        scores = scores.astype(np.float64)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))  # float32's rounding taken out of the sum

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier into one file: safetensors weights and JSON metadata.

        The fine-tuned weights are written, not the representation as it was before.

        Args:
            path: the file to make or replace.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if a parameter is an object that JSON cannot hold, such as an optax transformation, or if the
                encoder is the user's own.
            OSError: if the file cannot be written; what was there stays.
        """
        check_is_fitted(self, "classifier_")
        if self.classifier_.autoencoder.encoder_layers is None:
            raise TypeError("`representation` must be dense to be written down; its encoder is the user's own.")
        description = {
            "class": type(self).__name__,
            "parameters": plain_parameters(self, callables=True),
            "history": self.history_,
            "seed": self._seed,
            "n_features": self.n_features_in_,
            "feature_names": [*map(str, vars(self).get("feature_names_in_", ()))],
            "best_epoch": vars(self).get("best_epoch_"),
            "uint8_scale": self._uint8_scale,
            "classes": {"dtype": self.classes_.dtype.str, "values": self.classes_.tolist()},
            "model": model_outline(self.classifier_),
        }
        write_model(path, model_arrays(self.classifier_), description)

    @property
    def n_epochs_(self) -> int:
        """Epochs of fine-tuning."""
        return len(self.history_)

    @property
    def loss_curve_(self) -> list[float]:
        """Mean cross-entropy of each epoch in nats, over the labelled training rows, with dropout."""
        return [record.log_loss for record in self.history_]

    @property
    def validation_error_curve_(self) -> list[float]:
        """Error rate of the held-out rows after each epoch, in [0, 1]; empty without such rows."""
        rates = (record.validation_error_rate for record in self.history_)
        return [rate for rate in rates if rate is not None]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        check_count("max_epochs", self.max_epochs)
        check_training(self)
        check_fine_tuning(self)
        self._check_own_parameters()

    def _fine_tune(
        self, rows: Any, encoded: np.ndarray, weights: np.ndarray | None, held_out: HeldOut | None, size: int
    ) -> None:
        """Train encoder and output layer, and leave in the estimator what has been learned after each epoch."""
        dtype = self.representation_.model_.dtype
        watch = FineTuningWatch(self, held_out, self._uint8_scale)
        tangents = self._tangents(rows)
        try:
            with precision(dtype):
                objective = make_supervised_objective(self, dtype)
                supervised = SupervisedRows(rows, encoded, weights, tangents)
                rate = self._rate(minibatches_an_epoch(supervised, objective, size))
                fine_tune(
                    with_output_layer(self.representation_.model_, len(self.classes_), dtype),
                    objective,
                    supervised,
                    resolve_optimizer(self.optimizer, rate),
                    batch_size=size,
                    max_epochs=int(self.max_epochs),
                    shuffle=bool(self.shuffle),
                    seed=self._seed,
                    uint8_scale=self._uint8_scale,
                    max_norm=None if self.max_norm is None else float(self.max_norm),
                    smoothness_warmup=int(self.smoothness_warmup),
                    validate=watch.validate,
                    on_epoch=watch.finish_epoch,
                    on_chunk=watch.report if self.callbacks else None,
                )
        finally:
            watch.keep_best()

    def _rate(self, n_minibatches: int) -> Any:
        """The step size or its schedule, where an epoch has so many minibatches."""
        if callable(self.learning_rate):
            return self.learning_rate
        return decayed_rate(self.learning_rate_decay, float(self.learning_rate), int(self.max_epochs) * n_minibatches)

    def _held_out(
        self,
        rows: Any,
        encoded: np.ndarray,
        weights: np.ndarray | None,
        classes: np.ndarray,
        dtype: np.dtype,
        validation_data: tuple[Any, Any] | None,
    ) -> tuple[HeldOut | None, np.ndarray | None]:
        """The rows by which the best epoch is chosen, and which of the others are trained on where not all are."""
        if validation_data is not None:
            if not isinstance(validation_data, list | tuple) or len(validation_data) != 2:
                raise TypeError(f"`validation_data` must be a pair (X, y); got {shown(validation_data)}.")
            own = check_rows(validation_data[0], name="validation_data", largest=largest_number(dtype))
            if own.shape[1] != rows.shape[1]:
                raise ValueError(f"`validation_data` must have {rows.shape[1]} features; got {own.shape[1]}.")
            validate_data(self, validation_data[0], reset=False, skip_check_array=True)  # the features' names
            labels = column_or_1d(validation_data[1])
            missing = is_unlabeled(labels, self.unlabeled)
            if missing.all():
                raise ValueError(f"`validation_data` must have labels; got {len(labels)} rows without.")
            if missing.any() and len(labels) == own.shape[0]:
                own, labels = own[~missing], labels[~missing]
            return HeldOut(own, known_labels(classes, labels, own.shape[0], name="validation_data")), None
        if not self.early_stopping:
            return None, None
        kept, chosen = split_stratified(encoded, classes, float(self.validation_fraction), self._seed)
        own_weights = None if weights is None or not weights[chosen].any() else weights[chosen]
        return HeldOut(rows[chosen], encoded[chosen], own_weights), kept
