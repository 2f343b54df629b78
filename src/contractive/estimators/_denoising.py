"""The denoising auto-encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils import check_random_state

from .._validation import check_seed
from ..corruption import Corruption
from ..penalties import Penalty
from ._base import precision
from ._fitting import Callback, draw_seed
from ._parameters import check_corruption, make_corruption, value_range
from ._single import SingleAutoencoder

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DenoisingAutoencoder"]


class DenoisingAutoencoder(SingleAutoencoder):
    """Auto-encoder that gives back the clean input from a corrupted one; contraction may be added to it.

    Minimises the mean over the rows of L(x, g(f(x~))) + contraction ||J_f(x)||_F^2 + ..., where x~ is x corrupted anew
    at every update; the penalties see the clean x.

    Args:
        n_components: units of the code, >= 1.
        hidden_layer_sizes: as for `ContractiveAutoencoder`, and so are all parameters that are not named here.
        corruption: "masking" (entries set to 0), "gaussian" (noise added), "salt_and_pepper" (entries set to the least
            or the greatest value of the training data), or a `Corruption`.
        corruption_level: share of the entries, in [0, 1], for masking and salt and pepper.
        corruption_std: standard deviation >= 0 of the Gaussian noise, in units of x.
        contraction: lambda >= 0; here 0 by default, denoising alone.

    Attributes:
        components_: W of the first layer, the filters, of shape (units, n_features); for the others see
            `ContractiveAutoencoder`.
        loss_curve_: mean error of the reconstruction from corrupted rows, each epoch; the same for the held-out rows
            of `validation_loss_curve_`, which are corrupted once and for all.

    Example:
        >>> from contractive import DenoisingAutoencoder
        >>> from contractive.datasets import load_digits
        >>> (X, _), _, (X_test, _) = load_digits()
        >>> dae = DenoisingAutoencoder(n_components=32, corruption_level=0.3, max_epochs=3, random_state=0).fit(X)
        >>> dae.reconstruct(X_test).shape
        (250, 64)

    References:
        Vincent et al., Stacked Denoising Autoencoders, JMLR 2010, section 3.
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        hidden_layer_sizes: Sequence[int] = (),
        corruption: str | Corruption = "masking",
        corruption_level: float = 0.25,
        corruption_std: float = 0.1,
        contraction: float = 0.0,
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
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.corruption_std = corruption_std
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

    def corrupt(self, X: ArrayLike, *, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Rows as training sees them: corrupted by what the parameters name.

        Args:
            X: as for `transform`; the extremes of salt and pepper are those of these rows.
            random_state: what the corruption depends on.

        Returns:
            Array of shape (n_samples, n_features), in the units of the training data (uint8 data: k / uint8_scale).

        Raises:
            NotFittedError: if `fit` was not called.
            TypeError: if X does not hold numbers, or `random_state` is of another type.
            ValueError: as for `transform`.

        Example:
            >>> import numpy as np
            >>> from contractive import DenoisingAutoencoder
            >>> dae = DenoisingAutoencoder(2, corruption_level=1.0, max_epochs=1, random_state=0).fit(np.eye(4))
            >>> dae.corrupt(np.eye(4), random_state=0).any()
            np.False_
        """
        rows = self._checked_rows(X)
        check_seed("random_state", random_state)
        corruption = self._make_corruption(rows)
        seed = draw_seed(check_random_state(random_state))
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        values = rows / self.uint8_scale if rows.dtype == np.uint8 else rows
        with precision(self.model_.dtype):
            keys = jax.random.split(jax.random.key(seed), len(rows))
            floats = jnp.asarray(np.asarray(values, self.model_.dtype))
            return np.asarray(jax.vmap(lambda x, key: corruption(x, key=key))(floats, keys))

    def _check_own_parameters(self) -> None:
        """Refuse wrong values among the parameters of the corruption."""
        check_corruption(self)

    def _make_corruption(self, rows: Any) -> Corruption:
        """The corruption that the parameters name."""
        return make_corruption(self, *value_range(rows, self.uint8_scale))
