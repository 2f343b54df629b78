"""What a code says of the data at an example: its tangent plane, its spectrum, how much it contracts, saturation."""

from ._contraction import contraction_curve, contraction_ratio, mean_squared_entry, on_sphere, saturation
from ._mapped import map_spectra, map_tangents
from ._neighbors import NeighborContraction, nearest_rows, neighbor_contraction
from ._spectrum import (
    SpectrumSummary,
    effective_dimension,
    lipschitz_bound,
    n_directions,
    participation_ratio,
    spectrum_summary,
)
from ._tangents import (
    METHODS,
    Method,
    cheapest_method,
    count_flops,
    leading_singular_values,
    max_tangents,
    singular_values,
    tangents,
)

__all__ = [
    "METHODS",
    "Method",
    "NeighborContraction",
    "SpectrumSummary",
    "cheapest_method",
    "contraction_curve",
    "contraction_ratio",
    "count_flops",
    "effective_dimension",
    "leading_singular_values",
    "lipschitz_bound",
    "map_spectra",
    "map_tangents",
    "max_tangents",
    "mean_squared_entry",
    "n_directions",
    "nearest_rows",
    "neighbor_contraction",
    "on_sphere",
    "participation_ratio",
    "saturation",
    "singular_values",
    "spectrum_summary",
    "tangents",
]
