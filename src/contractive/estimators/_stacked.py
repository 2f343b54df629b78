"""Auto-encoders trained one on top of the other, and then together where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._validation import check_count, shown
from ..losses import LOSSES
from ..models import Stack
from ..penalties import Penalty
from ..sources import RowReader
from ..training import EpochRecord, Progress
from ._base import BaseAutoencoder
from ._contractive import ContractiveAutoencoder
from ._fitting import Callback, call_all, checked_weights, draw_seed, train_estimator
from ._parameters import check_closed_form, check_penalties, check_training, make_objective
from ._single import SingleAutoencoder
from ._snapshots import LayerPlace, OngoingStack, held_by
from ._streams import EncodedRows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["StackedAutoencoder"]

_PREFIX = "layers__"


class StackedAutoencoder(BaseAutoencoder):
    """Layers trained greedily, each on the codes of the one below, and then jointly if that is asked for.

    Args:
        layers: unfitted estimators, the one nearest to the input first: `ContractiveAutoencoder` or
            `DenoisingAutoencoder`, each with settings of its own. None for two `ContractiveAutoencoder()`. A layer
            whose `random_state` is None gets one drawn from this estimator's. Parameters of a layer are
            `layers__0__contraction` and the like for `set_params` and grid searches.
        joint_epochs: how often to go through the data with all layers together, after the last one was trained
            alone; 0 for not at all. All parameters below are for this joint training only, but for `random_state`,
            `warm_start` and `callbacks`.
        contraction: lambda >= 0 of what `penalty` names, for the whole encoder; see `ContractiveAutoencoder`, as for
            all others that are not named here.
        random_state: draws the layers' seeds and that of the joint training.
        warm_start: whether `fit` goes on from the last fit, layer by layer.
        callbacks: functions `callback(estimator, event)`, called while layers are trained, too: the estimator then is
            this one, with the layers so far. Returning True ends the whole training.

    Attributes:
        layers_: the fitted layers.
        model_: all layers as one model, a `contractive.models.Stack`.
        history_: one record an epoch: the first layer's, the second's, ..., then the joint ones, counted on; the
            reconstruction error is that of what each was trained on.
        components_, intercept_, ...: of the first layer, as for `ContractiveAutoencoder`.

    Example:
        >>> from contractive import ContractiveAutoencoder, DenoisingAutoencoder, StackedAutoencoder
        >>> from contractive.datasets import load_digits
        >>> (X, _), _, (X_test, _) = load_digits()
        >>> layers = [ContractiveAutoencoder(48, max_epochs=2), DenoisingAutoencoder(24, max_epochs=2)]
        >>> stack = StackedAutoencoder(layers, joint_epochs=1, random_state=0).fit(X)
        >>> stack.transform(X_test).shape, stack.reconstruct(X_test).shape, stack.n_epochs_
        ((250, 24), (250, 64), 5)

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.5. Rifai et al., Contractive
        Auto-Encoders, ICML 2011, section 5.3 (CAE-2).
    """

    layers_: list[BaseAutoencoder]
    model_: Any

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        *,
        joint_epochs: int = 0,
        contraction: float = 0.0,
        penalty: str | Penalty = "auto",
        n_probes: int = 1,
        hessian_weight: float = 0.0,
        hessian_std: float = 0.1,
        n_hessian_samples: int = 4,
        weight_decay: float = 0.0,
        optimizer: Any = "adam",
        learning_rate: float | Callable[[Any], Any] = 1e-3,
        batch_size: int | str = "auto",
        shuffle: bool = True,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.layers = layers
        self.joint_epochs = joint_epochs
        self.contraction = contraction
        self.penalty = penalty
        self.n_probes = n_probes
        self.hessian_weight = hessian_weight
        self.hessian_std = hessian_std
        self.n_hessian_samples = n_hessian_samples
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.callbacks = callbacks

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the layers on the rows of X, one after the other, and then together for `joint_epochs`.

        Args:
            X: data of shape (n_samples, n_features), n_samples >= 2, as for the first layer.
            y: ignored.
            sample_weight: what each row counts, of shape (n_samples,), >= 0; for all layers.

        Returns:
            The estimator itself.

        Raises:
            TypeError: if X, a layer or a parameter is of the wrong type.
            ValueError: if X or a parameter is out of its range, or a layer does not fit the one below; of a layer, the
                message begins with its place.
            FloatingPointError: if a cost is not finite; what the finished epochs learned stays.
        """
        going_on = bool(self.warm_start) and "model_" in vars(self)
        resumed: OngoingStack | None = vars(self).get("_resumed_stack")
        first = 0 if resumed is None else resumed.place.number
        rows, weights, layers = self._start(X, sample_weight, min_rows=2, going_on=going_on)
        codes = rows
        for number, layer in enumerate(layers):
            codes = _codes(layers[number - 1], codes) if number else rows
            if number >= first and self._train_layer(number, layer.fit, layers, codes, sample_weight):
                return self
        vars(self).pop("_resumed_stack", None)
        if self.joint_epochs:
            with held_by(self, "_ongoing_stack", OngoingStack(layers, LayerPlace(len(layers), len(self.history_), 0))):
                self._train_jointly(rows, weights, max_epochs=self.joint_epochs)
        return self

    def partial_fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Go once through the rows of X with every layer, and once with all together where `joint_epochs` is not 0.

        Args:
            X: as for `fit`, but one row is enough.
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
        going_on = "model_" in vars(self)
        for name in ("_resumed", "_resumed_stack"):
            vars(self).pop(name, None)
        rows, weights, layers = self._start(X, sample_weight, min_rows=1, going_on=going_on)
        codes = rows
        for number, layer in enumerate(layers):
            codes = _codes(layers[number - 1], codes) if number else rows
            if self._train_layer(number, layer.partial_fit, layers, codes, sample_weight):
                return self
        if self.joint_epochs:
            self._train_jointly(rows, weights, max_epochs=1, partial_fit=True)
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; with `deep`, those of the layers as `layers__0__contraction` and the like."""
        parameters = super().get_params(deep=False)
        if deep:
            for number, layer in enumerate(_listed(self.layers)):
                for name, value in layer.get_params().items() if hasattr(layer, "get_params") else ():
                    parameters[f"{_PREFIX}{number}__{name}"] = value
        return parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of layers by the names that `get_params` gives them.

        Raises:
            ValueError: if there is no such parameter or layer.
        """
        nested = {name: value for name, value in params.items() if name.startswith(_PREFIX)}
        # First the others, as `layers` itself may be among them.
        super().set_params(**{name: value for name, value in params.items() if name not in nested})
        for name, value in nested.items():
            place, _, own_name = name.removeprefix(_PREFIX).partition("__")
            layers = _listed(self.layers)
            if not place.isdecimal() or int(place) >= len(layers):
                raise ValueError(f"`{name}` must name one of the {len(layers)} layers, counted from 0; got {place!r}.")
            layers[int(place)].set_params(**{own_name: value})
        return self

    @property
    def _uint8_scale(self) -> float:
        return self._first().uint8_scale

    def _first(self) -> Any:
        """The layer next to the input, fitted or not."""
        first = (vars(self).get("layers_") or self._checked_layers())[0]
        return first._first() if isinstance(first, StackedAutoencoder) else first

    def _checked_layers(self) -> list[BaseAutoencoder]:
        if self.layers is None:
            return [ContractiveAutoencoder(), ContractiveAutoencoder()]
        layers = _listed(self.layers)
        if not layers:
            raise ValueError(f"`layers` must be a list of at least one estimator; got {shown(self.layers)}.")
        for number, layer in enumerate(layers):
            if not isinstance(layer, SingleAutoencoder | StackedAutoencoder):
                raise TypeError(
                    f"`layers` must hold auto-encoders of this package; got {shown(layer)} at place {number}."
                )
        return layers

    def _check_parameters(self) -> None:
        for number, layer in enumerate(self._checked_layers()):
            try:
                layer._check_parameters()
            except (TypeError, ValueError) as error:
                raise type(error)(f"`layers[{number}]`: {error}") from error
        check_count("joint_epochs", self.joint_epochs, low=0)
        check_training(self)
        check_penalties(self)
        check_closed_form(self.penalty, one_layer=False)

    def _start(
        self, X: ArrayLike, sample_weight: ArrayLike | None, *, min_rows: int, going_on: bool
    ) -> tuple[Any, np.ndarray | None, list[Any]]:
        """Checked rows, weights and the layers to train, once all parameters are in their ranges."""
        self._check_parameters()
        resumed = vars(self).get("_resumed_stack")
        goes_on = going_on or resumed is not None
        if not goes_on:
            self._forget()
        unit_interval = LOSSES[self._first().loss].unit_interval
        dtype = self.model_.dtype if going_on else None
        rows = self._checked(X, reset=not goes_on, dtype=dtype, min_rows=min_rows, unit_interval=unit_interval)
        weights = checked_weights(sample_weight, rows.shape[0])
        if resumed is not None:
            return rows, weights, resumed.layers
        rng = check_random_state(self.random_state)
        fresh: list[Any] = [clone(layer) for layer in self._checked_layers()]
        for layer in fresh:
            seed = draw_seed(rng)
            if layer.random_state is None:
                layer.set_params(random_state=seed)
        if going_on:  # with the layers that a callback kept from being trained, too
            old = [layer.set_params(warm_start=True) for layer in self.layers_]
            return rows, weights, old + fresh[len(old) :]
        self.history_: list[EpochRecord] = []
        self._seed, self._optimizer_state = draw_seed(rng), None
        return rows, weights, fresh

    def _train_layer(
        self, number: int, fit: Callable[..., Any], all_layers: list[Any], codes: Any, sample_weight: Any
    ) -> bool:
        """Train one layer and take it over after each of its epochs; whether a callback asked to stop.

        Raises:
            ValueError: as the layer does, its place said first.
        """
        layer, below = all_layers[number], list(vars(self).get("layers_", ()))
        layers, above = below[:number], below[number + 1 :]
        place = LayerPlace(number, len(self.history_), len(vars(layer).get("history_", ())))
        if "_resumed_stack" in vars(self):
            place = vars(self).pop("_resumed_stack").place
        stopped = False

        def follow(layer: Any, event: Progress | EpochRecord) -> bool:
            nonlocal stopped
            event = event._replace(epoch=event.epoch - place.own_records + place.records)
            if isinstance(event, EpochRecord):
                self._take_over([*layers, layer, *above])
                self.history_, self.engine_ = [*self.history_, event], layer.engine_
            stopped |= call_all(self.callbacks, self, event)
            return stopped

        own_callbacks = layer.callbacks
        layer.set_params(callbacks=[*(own_callbacks or ()), follow])
        try:
            with held_by(self, "_ongoing_stack", OngoingStack(all_layers, place)):
                fit(codes, sample_weight=sample_weight)
        except (TypeError, ValueError) as error:
            if number == 0:
                raise
            raise type(error)(f"`layers[{number}]` does not fit what is below it: {error}") from error
        finally:
            layer.set_params(callbacks=own_callbacks)
        self._take_over([*layers, layer, *above])  # early stopping may have gone back to better weights
        return stopped

    def _take_over(self, layers: list[Any]) -> None:
        self.layers_, self.model_ = layers, Stack(tuple(layer.model_ for layer in layers))

    def _train_jointly(
        self, rows: Any, weights: np.ndarray | None, *, max_epochs: int, partial_fit: bool = False
    ) -> None:
        """Train all layers together, each from where it is."""
        train_estimator(
            self,
            self.model_,
            make_objective(self, None),
            rows,
            weights,
            seed=self._seed,
            max_epochs=int(max_epochs),
            uint8_scale=float(self._uint8_scale),
            engine="auto",
            partial_fit=partial_fit,
        )
        for layer, model in zip(self.layers_, self.model_.layers, strict=True):
            layer.model_ = model


def _codes(layer: Any, rows: Any) -> Any:
    """What a layer makes of rows, for the one above; of rows that are read, it is made as they are read."""
    return EncodedRows(layer, rows) if isinstance(rows, RowReader) else layer.transform(rows)


def _listed(layers: object) -> list[Any]:
    """What `layers` holds; nothing where it is no list."""
    return list(layers) if isinstance(layers, list | tuple) else []
