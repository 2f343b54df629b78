"""The scikit-learn face: plain arrays in, plain arrays out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._typing import Scalar, Visible
from ._validation import check_choice, check_count, check_flag, check_interval, check_rows, check_seed
from .activations import ACTIVATIONS
from .batched import Example, map_rows
from .jacobian import jacobian, jacobian_frobenius_sq
from .losses import LOSSES
from .models import AutoEncoder, initialize
from .objectives import Objective
from .penalties import Contraction, Penalty, WeightDecay
from .serialization import read_model, write_model
from .training import ENGINES, OPTIMIZERS, EpochRecord, Progress, native_kernel, resolve_optimizer, train

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ContractiveAutoencoder", "load"]

_DEFAULT_BATCH = 128

Callback = Callable[["ContractiveAutoencoder", Progress | EpochRecord], object]


class ContractiveAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Auto-encoder whose code ignores small changes of the input: it penalises ||dh/dx||_F^2.

    Minimises the mean over the rows of L(x, g(f(x))) + contraction ||J_f(x)||_F^2 + weight_decay ||W||_F^2, with
    h = f(x) = s(W x + b) and r = g(h) = o(W^T h + b'); L and both norms are sums, not averages.

    Args:
        n_components: units of the code, >= 1.
        hidden_layer_sizes: layers between input and code; only `()`, one layer, can be trained so far.
        contraction: lambda >= 0; 0 is the plain auto-encoder.
        penalty: how the penalty is computed: "closed_form", or "auto", which is the same for one layer.
        weight_decay: coefficient >= 0 of the sum of the squared weights, not halved.
        activation: hidden nonlinearity s: "sigmoid", "tanh", "relu", "softplus", "gelu" or "linear".
        loss: "squared_error" (sum over features, linear output, any data) or "cross_entropy" (in nats, sigmoid
            output, data in [0, 1]).
        tied_weights: whether the decoder uses the transposed encoder weight.
        optimizer: "adam", "momentum" (0.9), "sgd", or an optax transformation, which brings its own learning rate.
        learning_rate: step size > 0.
        batch_size: rows a minibatch, from 1 to n_samples, or "auto": 128, or n_samples where that is less. The
            last minibatch of an epoch may be shorter and is trained on too.
        max_epochs: how often to go through the data, >= 1.
        shuffle: whether each epoch has an order of its own.
        uint8_scale: what uint8 data is divided by, > 0; other types are taken by value. The default reads
            bytes as pixels k/256, as `load_mnist` does.
        engine: what trains: "jax", "native" (a kernel that the system's C compiler makes at first need, for plain SGD
            on small batches; see `training.native_kernel`), or "auto", the kernel where it can do the job.
        random_state: an int, a `RandomState` or None. It draws the first weight, as uniform(-r, r) of shape
            (n_features, n_components) with r = 4 sqrt(6 / (n_features + n_components)) for the sigmoid and a
            quarter of it otherwise, and then the seed of the order of the rows.
        verbose: 1 prints a line an epoch.
        callbacks: functions `callback(estimator, event)`. The event is an `EpochRecord` after each epoch, when the
            estimator is fitted with the weights so far and returning True ends the training; and a
            `Progress` several times a second in between.

    Attributes:
        components_: W, the filters, of shape (n_components, n_features).
        intercept_: b, of shape (n_components,).
        visible_intercept_: b', of shape (n_features,).
        decoder_components_: V, of shape (n_features, n_components); None when tied.
        history_: one `EpochRecord` an epoch.
        loss_curve_: mean reconstruction error of each epoch (nats, or squared units of x; sum over features).
        jacobian_norm_curve_: mean ||J_f(x)||_F of each epoch.
        engine_: what trained: "jax" or "native".
        n_epochs_: epochs trained.
        n_features_in_: features of the data.

    Example:
        >>> from contractive import ContractiveAutoencoder
        >>> from contractive.datasets import load_digits
        >>> (X, _), _, (X_test, _) = load_digits()
        >>> cae = ContractiveAutoencoder(n_components=32, loss="cross_entropy", max_epochs=3, random_state=0).fit(X)
        >>> cae.transform(X_test).shape, cae.reconstruct(X_test).shape, cae.jacobian(X_test[:2]).shape
        ((250, 32), (250, 64), (2, 32, 64))

    References:
        Rifai, Vincent, Muller, Glorot and Bengio, Contractive Auto-Encoders: Explicit Invariance During Feature
        Extraction, ICML 2011, equation (7).
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        hidden_layer_sizes: Sequence[int] = (),
        contraction: float = 0.1,
        penalty: str = "auto",
        weight_decay: float = 0.0,
        activation: str = "sigmoid",
        loss: str = "squared_error",
        tied_weights: bool = True,
        optimizer: Any = "adam",
        learning_rate: float = 1e-3,
        batch_size: int | str = "auto",
        max_epochs: int = 50,
        shuffle: bool = True,
        uint8_scale: float = 256,
        engine: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.contraction = contraction
        self.penalty = penalty
        self.weight_decay = weight_decay
        self.activation = activation
        self.loss = loss
        self.tied_weights = tied_weights
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.shuffle = shuffle
        self.uint8_scale = uint8_scale
        self.engine = engine
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def fit(self, X: ArrayLike, y: object = None) -> ContractiveAutoencoder:
        """Train on the rows of X.

        Args:
            X: data of shape (n_samples, n_features), n_samples >= 2, finite; in [0, 1] for the cross-entropy. uint8
                stays uint8 on the device.
            y: ignored.

        Returns:
            The estimator itself.

        Raises:
            TypeError: if X or a parameter is of the wrong type.
            ValueError: if X or a parameter is out of its range, or asks for what is not there yet.
            FloatingPointError: if the cost is not finite; what the finished epochs learned stays.
        """
        rows, batch_size = self._check(X)
        rng = check_random_state(self.random_state)
        model = initialize(
            rows.shape[1],
            int(self.n_components),
            rng=rng,
            activation=self.activation,
            loss=self.loss,
            tied_weights=self.tied_weights,
            dtype=_arithmetic(rows.dtype),
        )
        self.n_features_in_ = rows.shape[1]
        self.history_: list[EpochRecord] = []
        objective, transformation = self._objective(), resolve_optimizer(self.optimizer, float(self.learning_rate))
        kernel = None if self.engine == "jax" else native_kernel(model, objective, transformation, rows, batch_size)
        self.engine_ = "jax" if kernel is None else "native"
        train(
            model,
            objective,
            rows,
            transformation,
            batch_size=batch_size,
            engine=self.engine,
            max_epochs=int(self.max_epochs),
            shuffle=self.shuffle,
            seed=int(rng.randint(2**31 - 1)),
            uint8_scale=float(self.uint8_scale),
            on_epoch=self._finish_epoch,
            on_chunk=self._report if self.callbacks else None,
        )
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The codes h = s(W x + b).

        Args:
            X: data of shape (n_samples, n_features), in the units of the training data.

        Returns:
            Array of shape (n_samples, n_components).

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers.
            ValueError: if X is not finite or has other features than the training data.
        """
        return self._map_rows(AutoEncoder.encode, X)

    def inverse_transform(self, H: ArrayLike) -> np.ndarray:
        """The reconstructions r = o(V h + b') of codes.

        Args:
            H: codes of shape (n_samples, n_components); floats, taken by value.

        Returns:
            Array of shape (n_samples, n_features), in the units of the training data (uint8 data: k / uint8_scale).

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if H does not hold numbers.
            ValueError: if H is not finite or is not of n_components columns.
        """
        check_is_fitted(self, "components_")
        codes = check_rows(H, name="H")
        if codes.shape[1] != len(self.components_):
            raise ValueError(f"`H` must have {len(self.components_)} columns, one a component; got {codes.shape[1]}.")
        return map_rows(AutoEncoder.decode, self._model(), codes.astype(self.components_.dtype, copy=False))

    def reconstruct(self, X: ArrayLike) -> np.ndarray:
        """The reconstructions r = g(f(x)); arguments, units and errors as for `transform`.

        Returns:
            Array of shape (n_samples, n_features).
        """
        return self._map_rows(AutoEncoder.reconstruct, X)

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
        return -self._map_rows(_error, X, unit_interval=LOSSES[self.loss].unit_interval)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean over the rows of `score_samples(X)`; y is ignored."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def jacobian(self, X: ArrayLike) -> np.ndarray:
        """The Jacobians dh/dx of the code, in closed form; arguments and errors as for `transform`.

        Returns:
            Array of shape (n_samples, n_components, n_features): n_samples times the memory of the weight.
        """
        return self._map_rows(jacobian, X)

    def contraction_norm(self, X: ArrayLike) -> np.ndarray:
        """The norms ||J_f(x)||_F, not squared, without forming J; arguments and errors as for `transform`.

        Returns:
            Array of shape (n_samples,), in units of the code over units of X.
        """
        return self._map_rows(_contraction_norm, X)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into one file: safetensors weights and JSON metadata.

        Args:
            path: the file to make or replace.

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if a parameter is an object that JSON cannot hold, such as an optax transformation.
            OSError: if the file cannot be written; what was there stays.
        """
        check_is_fitted(self, "components_")
        parameters = self.get_params(deep=False)
        del parameters["callbacks"]
        if isinstance(self.random_state, np.random.RandomState):
            parameters["random_state"] = None
        arrays = {
            "weight": self.components_,
            "hidden_bias": self.intercept_,
            "visible_bias": self.visible_intercept_,
        }
        if self.decoder_components_ is not None:
            arrays["decoder_weight"] = self.decoder_components_
        description = {
            "class": type(self).__name__,
            "parameters": _plain(parameters),
            "engine": self.engine_,
            "history": self.history_,
        }
        write_model(path, arrays, description)

    def _check(self, X: ArrayLike) -> tuple[np.ndarray, int]:
        """The rows and the batch size, once every parameter is in its range."""
        check_count("n_components", self.n_components)
        check_interval("contraction", self.contraction, low=0)
        check_interval("weight_decay", self.weight_decay, low=0)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        check_choice("engine", self.engine, ENGINES)
        check_choice("penalty", self.penalty, ("auto", "closed_form"))
        check_flag("tied_weights", self.tied_weights)
        check_flag("shuffle", self.shuffle)
        check_interval("learning_rate", self.learning_rate, low=0, strict=True)
        check_count("max_epochs", self.max_epochs)
        check_seed("random_state", self.random_state)
        check_interval("uint8_scale", self.uint8_scale, low=0, strict=True)
        if isinstance(self.optimizer, str):
            check_choice("optimizer", self.optimizer, OPTIMIZERS)
        if len(self.hidden_layer_sizes):
            raise ValueError(
                f"`hidden_layer_sizes` must be (), one layer is what can be trained so far; "
                f"got {self.hidden_layer_sizes!r}."
            )
        rows = self._check_rows(X, min_rows=2, unit_interval=LOSSES[self.loss].unit_interval)
        if rows.dtype == np.uint8 and self.uint8_scale > 1 and rows.max() <= 1:
            warnings.warn(
                f"X is uint8 and holds only 0 and 1, which are read as 0 and 1/{self.uint8_scale:g}; "
                "pass uint8_scale=1 to take them by value.",
                stacklevel=3,
            )
        if isinstance(self.batch_size, str):
            check_choice("batch_size", self.batch_size, ("auto",))
            return rows, min(_DEFAULT_BATCH, len(rows))
        batch_size = check_count("batch_size", self.batch_size)
        if batch_size > len(rows):
            raise ValueError(f"`batch_size` must be at most the number of rows, {len(rows)}; got {batch_size}.")
        return rows, batch_size

    def _check_rows(self, X: ArrayLike, **rules: Any) -> np.ndarray:
        largest = float(jnp.finfo(_arithmetic(np.dtype(np.float64))).max)
        return check_rows(X, uint8_scale=self.uint8_scale, largest=largest, **rules)

    def _objective(self) -> Objective:
        """Reconstruction plus the penalties whose coefficient is not zero."""
        penalties: list[Penalty] = []
        if self.contraction:
            penalties.append(Contraction(float(self.contraction)))
        if self.weight_decay:
            penalties.append(WeightDecay(float(self.weight_decay)))
        return Objective(tuple(penalties))

    def _finish_epoch(self, record: EpochRecord, model: AutoEncoder) -> bool:
        """Take over the weights and the record; whether a callback asks to stop."""
        self.history_.append(record)
        # Copies: the loop gives the model's buffers back to the device.
        self.components_ = np.array(model.weight)
        self.intercept_ = np.array(model.hidden_bias)
        self.visible_intercept_ = np.array(model.visible_bias)
        self.decoder_components_ = None if model.decoder_weight is None else np.array(model.decoder_weight)
        if self.verbose:
            print(record)
        return self._report(record)

    def _report(self, event: Progress | EpochRecord) -> bool:
        """Call every callback; whether one of them returned True."""
        return any([callback(self, event) is True for callback in self.callbacks or ()])

    @property
    def loss_curve_(self) -> list[float]:
        """Mean reconstruction error of each epoch."""
        return [record.reconstruction_error for record in self.history_]

    @property
    def jacobian_norm_curve_(self) -> list[float]:
        """Mean ||J_f(x)||_F of each epoch."""
        return [record.jacobian_norm for record in self.history_]

    @property
    def n_epochs_(self) -> int:
        """Epochs trained."""
        return len(self.history_)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def _model(self) -> AutoEncoder:
        decoder_weight = self.decoder_components_
        return AutoEncoder(
            jnp.asarray(self.components_),
            jnp.asarray(self.intercept_),
            jnp.asarray(self.visible_intercept_),
            None if decoder_weight is None else jnp.asarray(decoder_weight),
            activation=self.activation,
            loss=self.loss,
        )

    def _map_rows(self, function: Example, X: ArrayLike, **rules: Any) -> np.ndarray:
        """Apply a function of (model, one example) to every row of checked data."""
        check_is_fitted(self, "components_")
        rows = self._check_rows(X, n_features=self.n_features_in_, **rules)
        return map_rows(function, self._model(), rows, uint8_scale=self.uint8_scale)


def load(path: str | Path) -> ContractiveAutoencoder:
    """Read an estimator that `save` wrote, ready to transform.

    Args:
        path: the model file.

    Returns:
        The fitted estimator.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is truncated, altered, foreign, or of a class that this version does not know.

    Example:
        >>> import numpy as np, tempfile
        >>> cae = ContractiveAutoencoder(n_components=2, max_epochs=1).fit(np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cae.save(f"{folder}/model.safetensors")
        ...     same = load(f"{folder}/model.safetensors")
        >>> bool((same.transform(np.eye(4)) == cae.transform(np.eye(4))).all())
        True
    """
    arrays, description = read_model(path)
    if description.get("class") != ContractiveAutoencoder.__name__:
        raise ValueError(f"{str(path)!r} must hold a ContractiveAutoencoder; got {description.get('class')!r}.")
    try:
        return _rebuild(arrays, description)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} does not describe a ContractiveAutoencoder of this version ({error})."
        ) from error


def _rebuild(arrays: dict[str, np.ndarray], description: dict[str, Any]) -> ContractiveAutoencoder:
    """The estimator that a model file describes."""
    parameters = dict(description["parameters"])
    parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
    estimator = ContractiveAutoencoder(**parameters)
    estimator.components_ = arrays["weight"]
    estimator.intercept_ = arrays["hidden_bias"]
    estimator.visible_intercept_ = arrays["visible_bias"]
    estimator.decoder_components_ = arrays.get("decoder_weight")
    estimator.history_ = [EpochRecord(*record) for record in description["history"]]
    estimator.engine_ = description["engine"]
    n_components, estimator.n_features_in_ = estimator.components_.shape
    expected = {
        "hidden_bias": (n_components,),
        "visible_bias": (estimator.n_features_in_,),
        "decoder_weight": (estimator.n_features_in_, n_components),
    }
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            raise ValueError(f"{name} must be of shape {shape}; got {arrays[name].shape}")
    return estimator


def _error(model: AutoEncoder, x: Visible) -> Scalar:
    return model.reconstruction_loss.error(x, model.forward(x).output)


def _contraction_norm(model: AutoEncoder, x: Visible) -> Scalar:
    return jnp.sqrt(jacobian_frobenius_sq(model, x))


def _arithmetic(dtype: np.dtype) -> np.dtype:
    """The float dtype of the model: float64 for float64 data where JAX is set up for it, else float32."""
    return jax.dtypes.canonicalize_dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them: NumPy scalars as Python's, sequences as lists."""
    plain = {}
    for name, value in parameters.items():
        value = value.item() if isinstance(value, np.generic) else value
        value = list(value) if name == "hidden_layer_sizes" else value
        if not isinstance(value, str | int | float | list | None):
            raise TypeError(f"`{name}` must be a name or a number in a model file; got {type(value).__name__}.")
        plain[name] = value
    return plain
