"""The contractive auto-encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..penalties import Penalty
from ._fitting import Callback
from ._single import SingleAutoencoder

__all__ = ["ContractiveAutoencoder"]


class ContractiveAutoencoder(SingleAutoencoder):
    """Auto-encoder whose code ignores small changes of the input: it penalises ||dh/dx||_F^2.

    Minimises the mean over the rows of L(x, g(f(x))) + contraction ||J_f(x)||_F^2 + weight_decay ||W||_F^2, for one
    layer with h = f(x) = s(W x + b) and r = g(h) = o(W^T h + b'); L and both norms are sums, not averages.

    Args:
        n_components: units of the code, >= 1.
        hidden_layer_sizes: units of the layers between input and code, first to last; the decoder mirrors them. `()`
            is one layer.
        contraction: lambda >= 0, the coefficient of what `penalty` names; 0 is the plain auto-encoder.
        penalty: what is penalised. "auto" and "exact": ||J_f(x)||_F^2, exactly, in the cheapest way there is;
            "closed_form": the same, and one layer is insisted on; "hutchinson": an unbiased, noisy estimate of it, for
            deep encoders; "reconstruction" and "reconstruction_hutchinson": the squared norm of the Jacobian of the
            reconstruction g(f(x)), exact or estimated; "spectral": the largest singular value of J_f(x). Or a
            `Penalty`, or a sum of them, that brings its own coefficient: `contraction` is not used then.
        n_probes: random signs an example and update for the two "hutchinson" names, >= 1.
        hessian_weight: gamma >= 0, the coefficient of E ||J_f(x) - J_f(x + e)||_F^2 with e ~ N(0, hessian_std^2 I);
            more than 0 makes it the higher-order auto-encoder, CAE+H.
        hessian_std: sigma > 0 of that noise, in units of x.
        n_hessian_samples: draws of e an example and update, >= 1.
        weight_decay: coefficient >= 0 of the sum of the squared weights, not halved.
        activation: hidden nonlinearity s: "sigmoid", "tanh", "relu", "softplus", "gelu" or "linear", or a function in
            `jax.numpy` of each entry by itself.
        loss: "squared_error" (sum over features, linear output, any data) or "cross_entropy" (in nats, sigmoid
            output, data in [0, 1]).
        tied_weights: whether the decoder uses the transposed encoder weights.
        encoder: an encoder of your own instead of dense layers: an Equinox module or a function in `jax.numpy` from
            one example, of shape (n_features,), to its code, 1-d. Its floating-point arrays are trained, starting from
            their values. `n_components`, `hidden_layer_sizes`, `activation` and `tied_weights` are not used then.
        decoder: the same from a code to z, of shape (n_features,), before the output nonlinearity (logits for the
            cross-entropy); None for an affine one with a weight of its own. Needs `encoder`.
        optimizer: "adam", "momentum" (0.9), "sgd", or an optax transformation, which brings its own learning rate.
        learning_rate: step size > 0, or an optax schedule, a function of the number of updates so far.
        batch_size: rows a minibatch, from 1 to n_samples, or "auto": 128, or n_samples where that is less. The
            last minibatch of an epoch may be shorter and is trained on too.
        max_epochs: how often to go through the data, >= 1.
        shuffle: whether each epoch has an order of its own.
        validation_fraction: share of the rows, in (0, 1), that early stopping holds out; at least one row.
        early_stopping: whether to hold out rows, to stop once their mean reconstruction error does not fall any more,
            and to keep the weights of the epoch in which it was least.
        n_iter_no_change: epochs without an improvement by `tol` after which it stops, >= 1.
        tol: the least improvement that counts, >= 0, in the units of the reconstruction error.
        uint8_scale: what uint8 data is divided by, > 0; other types are taken by value. The default reads
            bytes as pixels k/256, as `load_mnist` does.
        engine: what trains: "jax", "native" (a kernel that the system's C compiler makes at first need, for plain SGD
            on small batches; see `training.native_kernel`), or "auto", the kernel where it can do the job.
        random_state: an int, a `RandomState` or None. It draws the first weight, as uniform(-r, r) of shape
            (n_features, n_components) with r = 4 sqrt(6 / (n_features + n_components)) for the sigmoid and a
            quarter of it otherwise, then the other layers' likewise, and then the seed of the order of the rows, of
            corruption and of random penalties.
        warm_start: whether `fit` goes on from the last fit, its epochs counted on, instead of starting afresh.
        verbose: 1 prints a line an epoch.
        callbacks: functions `callback(estimator, event)`. The event is an `EpochRecord` after each epoch, when the
            estimator is fitted with the weights so far, and a `Progress` several times a second in between; returning
            True ends the training.

    Attributes:
        components_: W of the first layer, the filters, of shape (units, n_features).
        intercept_: b of the first layer, of shape (units,).
        visible_intercept_: b' of the first layer, of shape (n_features,).
        decoder_components_: V of the first layer, of shape (n_features, units); None when tied.
        model_: the whole trained model, for the functions of `contractive.jacobian` and the like.
        history_: one `EpochRecord` an epoch.
        loss_curve_: mean reconstruction error of each epoch (nats, or squared units of x; sum over features).
        validation_loss_curve_: the same of the held-out rows, after each epoch; empty without early stopping.
        best_epoch_: the epoch whose weights were kept; with early stopping only.
        jacobian_norm_curve_: mean ||J_f(x)||_F of each epoch.
        engine_: what trained: "jax" or "native".
        n_epochs_: epochs trained.
        n_features_in_: features of the data.
        feature_names_in_: their names, where the data had any.

    Example:
        >>> from contractive import ContractiveAutoencoder
        >>> from contractive.datasets import load_digits
        >>> (X, _), _, (X_test, _) = load_digits()
        >>> cae = ContractiveAutoencoder(n_components=32, loss="cross_entropy", max_epochs=3, random_state=0).fit(X)
        >>> cae.transform(X_test).shape, cae.reconstruct(X_test).shape, cae.jacobian(X_test[:2]).shape
        ((250, 32), (250, 64), (2, 32, 64))

    References:
        Rifai, Vincent, Muller, Glorot and Bengio, Contractive Auto-Encoders: Explicit Invariance During Feature
        Extraction, ICML 2011, equation (7). Rifai et al., Higher Order Contractive Auto-Encoder, ECML 2011.
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        hidden_layer_sizes: Sequence[int] = (),
        contraction: float = 0.1,
        penalty: str | Penalty = "auto",
        n_probes: int = 1,
        hessian_weight: float = 0.0,
        hessian_std: float = 0.1,
        n_hessian_samples: int = 4,
        weight_decay: float = 0.0,
        activation: str | Callable[[Any], Any] = "sigmoid",
        loss: str = "squared_error",
        tied_weights: bool = True,
        encoder: Callable[[Any], Any] | None = None,
        decoder: Callable[[Any], Any] | None = None,
        optimizer: Any = "adam",
        learning_rate: float | Callable[[Any], Any] = 1e-3,
        batch_size: int | str = "auto",
        max_epochs: int = 50,
        shuffle: bool = True,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        uint8_scale: float = 256,
        engine: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.contraction = contraction
        self.penalty = penalty
        self.n_probes = n_probes
        self.hessian_weight = hessian_weight
        self.hessian_std = hessian_std
        self.n_hessian_samples = n_hessian_samples
        self.weight_decay = weight_decay
        self.activation = activation
        self.loss = loss
        self.tied_weights = tied_weights
        self.encoder = encoder
        self.decoder = decoder
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.shuffle = shuffle
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.uint8_scale = uint8_scale
        self.engine = engine
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.callbacks = callbacks

    def _check_own_parameters(self) -> None:
        """There are none."""

    def _make_corruption(self, rows: Any) -> None:
        """Nothing is corrupted."""
