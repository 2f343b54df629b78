"""Pictures: arrays in, matplotlib's axes out, and no state beside them."""

from ._curves import contraction_curve, learning_curves, spectrum
from ._distributions import MAPS, anomalies, code_map, saturation
from ._rows import (
    SCALES,
    ImageShape,
    as_pictures,
    draw_rows,
    filters,
    guess_image_shape,
    picture_shape,
    reconstructions,
    samples,
    tangents,
    walks,
)
from ._tiles import tile_images, tile_rows, write_picture

__all__ = [
    "MAPS",
    "SCALES",
    "ImageShape",
    "anomalies",
    "as_pictures",
    "code_map",
    "contraction_curve",
    "draw_rows",
    "filters",
    "guess_image_shape",
    "learning_curves",
    "picture_shape",
    "reconstructions",
    "samples",
    "saturation",
    "spectrum",
    "tangents",
    "tile_images",
    "tile_rows",
    "walks",
    "write_picture",
]
