"""What a report says of a model on some rows: everything that is computed, before anything is drawn."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .._validation import check_count
from ..batched import map_rows
from ..estimators import BaseAutoencoder, DenoisingAutoencoder
from ..geometry import NeighborContraction, contraction_curve, lipschitz_bound, max_tangents, neighbor_contraction
from ..models import Model, dense_layers
from ..sources import RowReader

__all__ = ["Measured", "Sample", "draw_sample", "measure"]

N_TANGENTS = 5
"""Leading directions that are shown, fewer where the code has fewer."""

_CURVE_ROWS = 128
_DIMENSION_ROWS = 256
_N_RADII = 10
_N_SHOWN = 10
_N_PLANES = 4
_N_SAMPLES = 20
_WALK_STEPS, _WALK_STD = 20, 0.1
_SPECTRUM_WORK = 3.2e9  # of small^2 large a row: a second or two
_WHOLE_SPECTRUM = 1200  # singular values beyond which only the leading ones are found
_LEADING = 20


@dataclass(frozen=True)
class Sample:
    """Rows that were drawn from the data.

    Args:
        rows: floats of shape (n_rows, n_features), as the model sees them.
        numbers: which rows of the data they are.
        n_all: how many the data has.
        errors: reconstruction error of each.
    """

    rows: np.ndarray
    numbers: np.ndarray
    n_all: int
    errors: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What the model does on the sample.

    Args:
        sample: the rows.
        use: mean activation of each unit of the first layer.
        norms: the norm of each filter.
        jacobian_norms: ||J||_F at each row of the sample.
        codes: of the rows of the sample.
        corrupted: the first rows of the sample as a denoiser sees them, or None.
        reconstructed: reconstructions of these, or of the first rows as they are.
        spectrum: singular values at some rows, of each the largest first.
        dimensions: effective dimension at some rows.
        radii: distances of the contraction curve.
        ratios: mean contraction ratio at each, in random directions.
        between: the contraction ratio between rows of the sample; None where no two are different.
        bound: upper bound of the encoder's Lipschitz constant.
        tangents: leading directions at the first rows, of shape (rows, tangents, features).
        samples: ends of walks along the tangents.
        unusual: places in the sample of the rows with the largest errors, the largest first.
        typical: likewise with the least.
    """

    sample: Sample
    use: np.ndarray
    norms: np.ndarray
    jacobian_norms: np.ndarray
    codes: np.ndarray
    corrupted: np.ndarray | None
    reconstructed: np.ndarray
    spectrum: np.ndarray
    dimensions: np.ndarray
    radii: np.ndarray
    ratios: np.ndarray
    between: NeighborContraction | None
    bound: float
    tangents: np.ndarray
    samples: np.ndarray
    unusual: np.ndarray
    typical: np.ndarray


def draw_sample(estimator: BaseAutoencoder, X: Any, *, n_rows: int, seed: int) -> Sample:
    """Draw rows of the data without replacement, as the model sees them.

    Args:
        estimator: a fitted auto-encoder.
        X: data of shape (n_samples, n_features), as for its `transform`; a memory map or a reader is read at these rows
            only.
        n_rows: how many at most, >= 1.
        seed: what the draw depends on.

    Raises:
        TypeError: if X does not hold numbers, or `n_rows` is no whole number.
        ValueError: if X is empty, of another width or, among the rows drawn, not finite or beyond float32.
    """
    check_count("n_rows", n_rows)
    rows: Any = X if hasattr(X, "tocsr") or isinstance(X, RowReader) else np.asanyarray(X)
    if rows.ndim != 2 or not rows.shape[0] or rows.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"the data must have {estimator.n_features_in_} columns, as what the model was trained on, and at least "
            f"one row; got shape {rows.shape}."
        )
    n_all = rows.shape[0]
    numbers = np.random.default_rng(seed).choice(n_all, min(n_rows, n_all), replace=False)
    places, back = np.unique(numbers, return_inverse=True)  # a file is read in its own order
    some = (rows.tocsr()[places].toarray() if hasattr(rows, "tocsr") else np.asarray(rows[places]))[back]
    largest = float(np.abs(some).max(initial=0))
    low, high = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
    if high < largest < np.inf or 0 < largest < low:
        raise ValueError(f"the data must fit float32, in which a page computes; got {largest:.3g}. Scale the data.")
    try:
        errors = -estimator.score_samples(some)
    except ValueError as error:
        raise ValueError(f"among the {len(some)} rows drawn: {error}") from error
    values = some / _uint8_scale(estimator) if some.dtype == np.uint8 else some
    return Sample(values.astype(estimator.model_.dtype), numbers, n_all, errors)


def measure(estimator: BaseAutoencoder, sample: Sample, *, seed: int) -> Measured:
    """Compute all that a report shows of a model on a sample; a few seconds for a code of some hundred units.

    Args:
        estimator: a fitted auto-encoder of dense layers.
        sample: the rows.
        seed: what directions and pairs of the contraction curves, corruption and samples depend on.
    """
    model, rows = estimator.model_, sample.rows
    order = np.argsort(sample.errors, kind="stable")
    shown = rows[:_N_SHOWN]
    denoiser = _first(estimator)
    corrupted = denoiser.corrupt(shown, random_state=seed) if isinstance(denoiser, DenoisingAutoencoder) else None
    narrow = jax.tree.map(lambda array: np.asarray(array, np.float32), model)  # a curve needs no 64 bits
    is_varied = bool((rows != rows[0]).any())
    between = neighbor_contraction(narrow, rows, seed=seed, n_rows=_CURVE_ROWS) if is_varied else None
    radii = _radii(rows, between)
    first = dense_layers(narrow)[0]
    n_tangents = min(N_TANGENTS, max_tangents(model))
    small, large = sorted((model.n_features, model.n_hidden))
    n_exact = int(np.clip(_SPECTRUM_WORK / (small**2 * large), 4, 64))
    return Measured(
        sample=sample,
        use=map_rows(Model.encode, first, rows.astype(np.float32)).mean(axis=0, dtype=float),
        norms=np.linalg.norm(np.asarray(estimator.components_, float), axis=1),
        jacobian_norms=estimator.contraction_norm(rows),
        codes=estimator.transform(rows),
        corrupted=corrupted,
        reconstructed=estimator.reconstruct(shown if corrupted is None else corrupted),
        spectrum=estimator.spectrum(rows[:n_exact], None if small <= _WHOLE_SPECTRUM else _LEADING),
        dimensions=estimator.effective_dimension(rows[: _DIMENSION_ROWS if _is_shallow(model) else n_exact]),
        radii=radii,
        ratios=contraction_curve(narrow, rows[:_CURVE_ROWS].astype(np.float32), radii, seed=seed),
        between=between,
        bound=lipschitz_bound(model),
        tangents=np.asarray(estimator.tangents(rows[:_N_PLANES], n_tangents)),
        samples=estimator.sample(_N_SAMPLES, n_steps=_WALK_STEPS, std=_WALK_STD, X=rows, random_state=seed),
        unusual=order[::-1][:_N_SHOWN],
        typical=order[:_N_SHOWN],
    )


def _uint8_scale(estimator: Any) -> float:
    return float(_first(estimator).uint8_scale)


def _first(estimator: Any) -> Any:
    """The estimator next to the input."""
    while hasattr(estimator, "layers_"):
        estimator = estimator.layers_[0]
    return estimator


def _is_shallow(model: Model) -> bool:
    return len(model.encoder_layers or ()) == 1


def _radii(rows: np.ndarray, between: NeighborContraction | None) -> np.ndarray:
    """Distances from a hundredth of what lies between neighbours to some times as much."""
    # Without different rows: in units of the row's own length.
    typical = float(np.linalg.norm(rows[0])) if between is None else float(np.median(between.nearest))
    return np.geomspace(1 / 100, 4, _N_RADII) * (typical or 1.0)
