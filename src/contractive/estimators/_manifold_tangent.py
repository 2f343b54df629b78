"""The manifold tangent classifier: fine-tuning that holds the output still along the tangent planes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._validation import check_count, check_interval, shown
from ..penalties import Penalty
from ._base_classifier import BaseClassifier
from ._contractive import ContractiveAutoencoder
from ._fitting import Callback, reporter
from ._stacked import StackedAutoencoder
from ._tangent_planes import check_n_tangents, check_named, resolve_n_tangents, tangent_planes

__all__ = ["ManifoldTangentClassifier"]


class ManifoldTangentClassifier(BaseClassifier):
    """Classifier whose output holds still along the directions in which the data varies, which the encoder knows.

    Trains `representation` on all rows; at each row takes the leading right singular vectors of its Jacobian for the
    tangent plane B_x; then minimises, as `ContractiveClassifier` does, the mean over labelled rows of -log o_y plus
    tangent_weight times the mean over all rows of sum_{u in B_x} ||(do/dx) u||^2.

    Args:
        representation: an auto-encoder of this package, unfitted: it is cloned and trained on all rows, whatever their
            labels. Or `sklearn.frozen.FrozenEstimator(fitted)`, which is used as it is, so that one pre-training serves
            many fits. None for a `StackedAutoencoder` of two
            higher-order contractive layers, CAE+H.
        n_tangents: directions of the tangent plane at each row, from 1 to the highest rank that the encoder's Jacobian
            can have, or "auto": 15, or that rank, or fewer than half of the features, where these are less.
        tangent_weight: beta >= 0, the coefficient of sum_u ||(do/dx) u||^2.
        tangent_radius: None for that sum; r > 0, in units of x, puts KL(o(x) || o(x + r d)) in its place, with d in the
            tangent plane the direction in which the output changes most: a step along the manifold instead of a slope.
        n_tangent_probes: of that sum: 0 for all directions, exactly; n >= 1 for n random combinations of them an
            update, an unbiased estimate that costs n / n_tangents as much.
        tangent_cache: a folder that keeps the tangent planes, as float16, so that other fits with the same rows, frozen
            representation and `n_tangents` need not find them again; None keeps none. 2 bytes a row, tangent and
            feature; nothing is ever removed from it.
        dropout: share of the hidden units of every layer that is left out, anew for every update and row (equal rows
            of a minibatch share it), in [0, 1); of an encoder of the user's own, of the code.
        input_dropout: likewise of the entries of x.
        max_norm: the largest Euclidean norm of a unit's incoming weights, > 0; None for no limit.
        contraction: lambda >= 0 of what `penalty` names, kept on during fine-tuning, on all rows.
        penalty: as for `ContractiveAutoencoder`; for several layers "hutchinson" is the affordable one.
        n_probes: likewise.
        weight_decay: coefficient >= 0 of the sum of the squared weights, output layer included, not halved.
        smoothness: None, or "spectral": the mean over all rows of KL(o(x) || o(x + r d)) is added, with d the direction
            in which the output changes most, found by power iteration.
        smoothness_weight: its coefficient, >= 0.
        smoothness_radius: r > 0, in units of x.
        smoothness_warmup: epochs in which the radius grows linearly to r, >= 0: with few labels the first guesses are
            poor, and holding them still far around every row would keep them.
        n_power_iterations: steps of the power iteration an update, >= 1.
        unlabeled: the value in y that stands for no label, such as -1; None takes every value for a class.
        optimizer: "adam", "momentum" (0.9), "sgd", or an optax transformation, which brings its own learning rate.
        learning_rate: step size > 0, or an optax schedule, a function of the number of updates so far.
        learning_rate_decay: "linear" or "cosine": the step size falls to zero at the last of `max_epochs`; or "none".
        batch_size: rows a minibatch, from 1 to n_samples, or "auto": 128, or n_samples where that is less. Where rows
            without labels take part, it is the size of both the minibatch of all rows and that of labelled ones.
        max_epochs: how often to go through the rows in fine-tuning, >= 1.
        shuffle: whether each epoch has an order of its own.
        validation_fraction: share of the labelled rows of each class, in (0, 1), that early stopping holds out.
        early_stopping: whether to stop once the error rate of held-out rows does not fall any more. Those are
            `validation_data` of `fit`, or else held out of X for fine-tuning.
        n_iter_no_change: epochs without an improvement by `tol` after which it stops, >= 1.
        tol: the least improvement that counts, >= 0, a share of the held-out rows.
        random_state: an int, a `RandomState` or None: draws the seed of a representation that has none, and that of the
            order of the rows, of dropout and of random terms.
        verbose: 1 prints a line an epoch.
        callbacks: functions `callback(estimator, event)`, called in the training of the representation with its events,
            with a `TangentProgress` while the tangent planes are found, and in fine-tuning with a `FineTuningRecord`
            after each epoch and a `FineTuningProgress` in between; returning True ends the training that the event is
            of.

    Attributes:
        classifier_: the fine-tuned encoder and output layer, a `contractive.models.Classifier`.
        representation_: the auto-encoder as it was before fine-tuning.
        classes_: the classes, sorted.
        history_: one `FineTuningRecord` an epoch; `loss_curve_` and `validation_error_curve_` are taken from it.
        best_epoch_: the epoch whose weights were kept; with held-out rows only.
        n_epochs_: epochs of fine-tuning.
        n_features_in_: features of the data.

    The tangent planes are kept in memory up to 1 GiB; beyond, in a float16 memory map in the cache folder, which goes
    when `fit` ends.

    Example:
        >>> from contractive import ContractiveAutoencoder, ManifoldTangentClassifier
        >>> from contractive.datasets import load_digits
        >>> (X, y), _, (X_test, y_test) = load_digits()
        >>> cae = ContractiveAutoencoder(64, loss="cross_entropy", hessian_weight=0.1, max_epochs=5)
        >>> classifier = ManifoldTangentClassifier(cae, n_tangents=5, max_epochs=20, random_state=0).fit(X, y)
        >>> classifier.predict(X_test).shape, classifier.predict_proba(X_test).shape
        ((250,), (250, 10))

    References:
        Rifai, Dauphin, Vincent, Bengio and Muller, The Manifold Tangent Classifier, NIPS 2011, algorithm 1 and
        equations (6) and (7). Its output layer is sigmoid; here it is the soft-max. Yu, Wu, Ma and Zhu, Tangent-Normal
        Adversarial Regularization for Semi-supervised Learning, CVPR 2019, for `tangent_radius`.
    """

    def __init__(
        self,
        representation: Any = None,
        *,
        n_tangents: int | str = "auto",
        tangent_weight: float = 0.1,
        tangent_radius: float | None = None,
        n_tangent_probes: int = 0,
        tangent_cache: str | os.PathLike[str] | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        contraction: float = 0.0,
        penalty: str | Penalty = "auto",
        n_probes: int = 1,
        weight_decay: float = 0.0,
        smoothness: str | None = None,
        smoothness_weight: float = 1.0,
        smoothness_radius: float = 1.0,
        smoothness_warmup: int = 0,
        n_power_iterations: int = 1,
        unlabeled: Any = None,
        optimizer: Any = "adam",
        learning_rate: float | Callable[[Any], Any] = 1e-3,
        learning_rate_decay: str = "none",
        batch_size: int | str = "auto",
        max_epochs: int = 50,
        shuffle: bool = True,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.representation = representation
        self.n_tangents = n_tangents
        self.tangent_weight = tangent_weight
        self.tangent_radius = tangent_radius
        self.n_tangent_probes = n_tangent_probes
        self.tangent_cache = tangent_cache
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.max_norm = max_norm
        self.contraction = contraction
        self.penalty = penalty
        self.n_probes = n_probes
        self.weight_decay = weight_decay
        self.smoothness = smoothness
        self.smoothness_weight = smoothness_weight
        self.smoothness_radius = smoothness_radius
        self.smoothness_warmup = smoothness_warmup
        self.n_power_iterations = n_power_iterations
        self.unlabeled = unlabeled
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.shuffle = shuffle
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def _default_representation(self) -> StackedAutoencoder:
        return StackedAutoencoder(
            [ContractiveAutoencoder(hessian_weight=0.1), ContractiveAutoencoder(hessian_weight=0.1)]
        )

    def _check_own_parameters(self) -> None:
        """Refuse wrong values among the parameters of the tangents."""
        check_n_tangents(self.n_tangents)
        check_interval("tangent_weight", self.tangent_weight, low=0)
        check_count("n_tangent_probes", self.n_tangent_probes, low=0)
        if self.tangent_radius is not None:
            check_interval("tangent_radius", self.tangent_radius, low=0, strict=True)
            if self.n_tangent_probes:
                raise ValueError(
                    f"`n_tangent_probes` must be 0 with a tangent_radius, for which one direction is looked for; got "
                    f"{self.n_tangent_probes}."
                )
        if not isinstance(self.tangent_cache, str | os.PathLike | None):
            raise TypeError(f"`tangent_cache` must be the path of a folder, or None; got {shown(self.tangent_cache)}.")
        if self.tangent_cache is not None:
            _check_folder(os.fspath(self.tangent_cache))

    def _check_representation(self, representation: Any, n_features: int) -> None:
        """Refuse more tangents than there can be, or a cache of what has no name, before anything is trained."""
        self._n_tangents = resolve_n_tangents(self.n_tangents, representation, n_features)
        if self.tangent_cache is not None:
            check_named(representation)

    def _tangents(self, rows: Any) -> np.ndarray | None:
        """The tangent plane at each row by the representation, in memory or mapped."""
        if not self.tangent_weight:
            return None
        report = reporter(self) if self.callbacks else None
        cache = None if self.tangent_cache is None else Path(self.tangent_cache)
        return tangent_planes(self.representation_, rows, self._n_tangents, cache=cache, report=report)


def _check_folder(path: str) -> None:
    """Refuse what is no folder, and can become none, before anything is trained."""
    folder = Path(path).absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not path or not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"`tangent_cache` must be a folder that can be written to, or made; got {path!r}.")
