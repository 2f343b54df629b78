"""ICML 2011, figure 1: the contraction ratio at growing distance from validation rows, MNIST."""

from . import icml2011_table1
from .fits import contract
from .rows import Number, Row, Table

RADII = (0.1, 10, 20, 40)
# Read off the figure, to about 0.01, at r -> 0, 10, 20 and 40.
PUBLISHED = {
    "cae": (0.27, 0.36, 0.40, 0.33),
    "dae-g": (0.295, 0.29, 0.27, 0.225),
    "ae-wd": (0.72, 0.64, 0.51, 0.35),
    "dae-b": (0.90, 0.645, 0.50, 0.35),
    "ae": (1.34, 0.905, 0.645, 0.405),
}


def _row(key: str, published: tuple[float, ...]) -> Row:
    model, layer, line, _ = icml2011_table1.MODELS[key]
    numbers = tuple(
        Number(f"contraction ratio at {radius:g}", f"facts.ratio.{place}", value, ".3f")
        for place, (radius, value) in enumerate(zip(RADII, published, strict=True))
    )
    settings = {"layers": [layer], "radii": RADII, "n_curve_rows": 1000}
    return Row(key, model, "mnist", contract, settings, numbers, line, reads_test=False)


TABLE = Table(
    "icml2011-figure1",
    "Rifai et al., Contractive Auto-Encoders, ICML 2011, figure 1",
    tuple(_row(key, published) for key, published in PUBLISHED.items()),
    "The models of icml2011-table1 before fine-tuning; ‖f(x0) - f(x1)‖ / ‖x0 - x1‖ for x1 on a sphere of that radius "
    "around each of 1,000 validation rows x0. The published values are read off the figure, to about 0.01, the first "
    "at r → 0.",
)
