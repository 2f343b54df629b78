"""Curves: how training went, what the code follows, how much it contracts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["contraction_curve", "learning_curves", "spectrum"]

_BAND = (0.1, 0.9)  # quantiles over rows


def learning_curves(
    reconstruction_error: Sequence[float],
    jacobian_norm: Sequence[float],
    validation_error: Sequence[float] = (),
    *,
    axes: "Sequence[Axes]",
) -> "Sequence[Axes]":
    """Draw the two numbers of the tutorial against the epoch, side by side.

    Args:
        reconstruction_error: one mean an epoch, nats or squared units of x.
        jacobian_norm: one mean of ||J_f(x)||_F an epoch.
        validation_error: one mean an epoch over held-out rows, in the units of the first; nothing is drawn when empty.
        axes: two matplotlib axes to draw on.

    Returns:
        The two axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> left, right = learning_curves([3.0, 2.0], [1.0, 0.5], axes=Figure().subplots(1, 2))
        >>> left.get_ylabel(), right.get_ylabel()
        ('reconstruction error', 'Jacobian norm')
    """
    for ax, curve, label in zip(
        axes, (reconstruction_error, jacobian_norm), ("reconstruction error", "Jacobian norm"), strict=True
    ):
        ax.plot(range(1, len(curve) + 1), curve, marker="o", markersize=3)
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.locator_params(axis="x", integer=True)
        ax.grid(alpha=0.3)
    if len(validation_error):
        axes[0].plot(range(1, len(validation_error) + 1), validation_error, marker="o", markersize=3, label="held out")
        axes[0].lines[0].set_label("training")
        axes[0].legend(frameon=False)
    return axes


def spectrum(values: np.ndarray, *, ax: "Axes", label: str | None = None) -> "Axes":
    """Draw singular values against their rank on a logarithmic scale: the median over rows and the middle 80 %.

    A steep fall says that the code follows few directions and ignores the others. Values of 0 are not drawn.

    Args:
        values: singular values of the Jacobians, of shape (n_rows, rank), of each row the largest first.
        ax: what to draw on; several spectra may share it.
        label: what the legend calls this one; None for no legend.

    Returns:
        The same axes.

    Raises:
        ValueError: if `values` is not 2-d, or empty.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> ax = spectrum(np.array([[4.0, 1.0], [2.0, 0.5]]), ax=Figure().subplots())
        >>> ax.lines[0].get_ydata().tolist(), ax.get_yscale()
        ([3.0, 0.75], 'log')

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, figure 2.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"`values` must be of shape (n_rows, rank), not empty; got {values.shape}.")
    ranks = np.arange(1, values.shape[1] + 1)
    low, middle, high = np.quantile(np.asarray(values, float), (_BAND[0], 0.5, _BAND[1]), axis=0)
    drawn = middle > 0
    (line,) = ax.plot(ranks[drawn], middle[drawn], label=label)
    # A band that reaches down to zero ends at the lowest number that is drawn.
    floor = middle[drawn].min(initial=np.inf)
    ax.fill_between(ranks[drawn], np.maximum(low[drawn], floor), high[drawn], color=line.get_color(), alpha=0.2, lw=0)
    ax.set_yscale("log")
    _plain_within_a_decade(ax)
    ax.set_xlabel("rank")
    ax.set_ylabel("singular value")
    ax.grid(alpha=0.3)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def contraction_curve(
    radii: Sequence[float] | np.ndarray,
    ratios: Sequence[float] | np.ndarray,
    *,
    ax: "Axes",
    label: str | None = None,
    quantiles: np.ndarray | None = None,
    distances: np.ndarray | None = None,
) -> "Axes":
    """Draw the mean contraction ratio against the distance: below 1 the code brings points together.

    In random directions, as `geometry.contraction_curve` finds it, and beside it between rows of the data, as
    `geometry.neighbor_contraction` does: a code that follows the data contracts less between rows.

    Args:
        radii: distances, in units of x.
        ratios: the mean ratio at each.
        ax: what to draw on; several curves may share it.
        label: what the legend calls this one; None for no legend.
        quantiles: of the ratios at each distance, of shape (n_quantiles, n_radii): between the first and the last is
            shaded. None for none.
        distances: distances of rows to their nearest neighbours, in units of x: the middle 80 % of them is shaded, as
            it is there that the code tells rows apart. None for none.

    Returns:
        The same axes.

    Raises:
        ValueError: if there are not as many ratios or quantiles as radii.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = contraction_curve([1.0, 2.0], [0.3, 0.4], ax=Figure().subplots(), label="CAE")
        >>> ax.get_legend().get_texts()[0].get_text()
        'CAE'

    References:
        Rifai et al., Contractive Auto-Encoders, ICML 2011, figures 1 and 3.
    """
    if len(radii) != len(ratios):
        raise ValueError(f"`ratios` must be one a radius, {len(radii)}; got {len(ratios)}.")
    if quantiles is not None and (quantiles.ndim != 2 or quantiles.shape[1] != len(radii) or not len(quantiles)):
        raise ValueError(f"`quantiles` must be of shape (n_quantiles, {len(radii)}); got {quantiles.shape}.")
    (line,) = ax.plot(radii, ratios, marker="o", markersize=3, label=label)
    if quantiles is not None:
        ax.fill_between(radii, quantiles[0], quantiles[-1], color=line.get_color(), alpha=0.2, lw=0)
    if distances is not None:
        low, high = np.quantile(distances, _BAND)
        ax.axvspan(low, high, color="0.5", alpha=0.15, lw=0, label="between neighbours")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("distance from the example")
    ax.set_ylabel("contraction ratio")
    ax.grid(alpha=0.3)
    if label is not None or distances is not None:
        ax.legend(frameon=False)
    return ax


def _plain_within_a_decade(ax: "Axes") -> None:
    """Label a logarithmic axis with plain numbers, 2.5 and not 2.5 x 10^0, where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    low, high = ax.get_ylim()
    if low > 0 and high < 10 * low:
        ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
