"""The contractive classifier: a contractive representation, fine-tuned as a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..penalties import Penalty
from ._base_classifier import BaseClassifier
from ._contractive import ContractiveAutoencoder
from ._fitting import Callback
from ._stacked import StackedAutoencoder

__all__ = ["ContractiveClassifier"]


class ContractiveClassifier(BaseClassifier):
    """Classifier that starts from a contractive representation: a stack of auto-encoders, fine-tuned as a whole.

    Trains `representation` on all rows, puts a soft-max layer on top, o = softmax(V f(x) + c), and minimises the mean
    over the labelled rows of -log o_y, encoder and output layer together, plus the mean over all rows of what needs no
    label: lambda ||J_f(x)||_F^2 and the change of o in its worst direction, where they are asked for.

    Args:
        representation: an auto-encoder of this package, unfitted: it is cloned and trained on all rows, whatever their
            labels. Or `sklearn.frozen.FrozenEstimator(fitted)`, which is used as it is, so that one pre-training serves
            many fits. None for a `StackedAutoencoder` of two contractive layers.
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
        callbacks: functions `callback(estimator, event)`, called in the training of the representation with its events
            and in fine-tuning with a `FineTuningRecord` after each epoch and a `FineTuningProgress` in between;
            returning True ends the training that the event is of.

    Attributes:
        classifier_: the fine-tuned encoder and output layer, a `contractive.models.Classifier`.
        representation_: the auto-encoder as it was before fine-tuning.
        classes_: the classes, sorted.
        history_: one `FineTuningRecord` an epoch; `loss_curve_` and `validation_error_curve_` are taken from it.
        best_epoch_: the epoch whose weights were kept; with held-out rows only.
        n_epochs_: epochs of fine-tuning.
        n_features_in_: features of the data.

    Example:
        >>> from contractive import ContractiveAutoencoder, ContractiveClassifier
        >>> from contractive.datasets import load_digits
        >>> (X, y), (X_valid, y_valid), (X_test, y_test) = load_digits()
        >>> cae = ContractiveAutoencoder(64, loss="cross_entropy", max_epochs=5)
        >>> classifier = ContractiveClassifier(cae, max_epochs=20, random_state=0).fit(X, y)
        >>> classifier.predict(X_test).shape, classifier.predict_proba(X_test).shape
        ((250,), (250, 10))

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, section 5 (table 1). Srivastava et al., Dropout, JMLR 2014.
        Miyato et al., Distributional Smoothing with Virtual Adversarial Training, ICLR 2016 (smoothness).
    """

    def __init__(
        self,
        representation: Any = None,
        *,
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
        return StackedAutoencoder([ContractiveAutoencoder(), ContractiveAutoencoder()])
