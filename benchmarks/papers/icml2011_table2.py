"""ICML 2011, table 2: one and two contractive layers on the variations of MNIST and on rectangles."""

from .fits import classify
from .rows import Row, Table, test_error

LAYER = {
    "kind": "cae",
    "n_components": 1000,
    "loss": "cross_entropy",
    "contraction": 0.3,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 100,
    "max_epochs": 50,
}
FINE_TUNING = {
    "kind": "mlp",
    "optimizer": "adam",
    "learning_rate": 3e-4,
    "batch_size": 100,
    "max_epochs": 50,
}
# The paper's CAE-1 and CAE-2.
PUBLISHED = {
    "mnist_basic": (2.83, 2.48),
    "mnist_rot": (11.59, 9.66),
    "mnist_bg_rand": (13.57, 10.90),
    "mnist_bg_img": (16.70, 15.50),
    "mnist_bg_img_rot": (48.10, 45.23),
    "rect": (1.48, 1.21),
    "rect_img": (21.86, 21.54),
}
# Rectangles have 1,000 training rows, a tenth of the others, and go through them as much more often.
RECTANGLES = {**LAYER, "max_epochs": 1000}
OF_RECTANGLES = {**FINE_TUNING, "learning_rate": 1e-3, "max_epochs": 500}
FALLING = {"learning_rate": 1e-3, "learning_rate_decay": "linear"}
# Per data set and depth: what the search chose for the layers and for fine-tuning beside the settings above; its line.
CHOICES: dict[tuple[str, int], tuple[dict[str, object], dict[str, object], str]] = {
    ("mnist_basic", 1): ({"contraction": 1.0}, FALLING, "icml2011-table2:9"),
    ("mnist_basic", 2): ({"contraction": 1.0}, FALLING, "icml2011-table2:31"),
    ("mnist_rot", 1): ({}, FALLING, "icml2011-table2:12"),
    ("mnist_rot", 2): ({}, FALLING, "icml2011-table2:30"),
    ("mnist_bg_rand", 1): ({}, {}, "icml2011-table2:14"),
    ("mnist_bg_img", 1): ({"contraction": 1.0}, FALLING, "icml2011-table2:21"),
    ("mnist_bg_img_rot", 1): ({"contraction": 3.0}, FALLING, "icml2011-table2:27"),
    ("mnist_bg_img_rot", 2): ({"contraction": 1.0}, FALLING, "icml2011-table2:32"),
    ("rect", 1): ({}, {}, "icml2011-table2:5"),
    ("rect_img", 1): ({}, FALLING, "icml2011-table2:26"),
}


def _row(data: str, depth: int) -> Row:
    of_layers, of_fine_tuning, line = CHOICES.get((data, depth), ({}, {}, None))
    layer, fine_tuning = (RECTANGLES, OF_RECTANGLES) if data == "rect" else (LAYER, FINE_TUNING)
    settings = {"layers": [{**layer, **of_layers}] * depth, "classifier": {**fine_tuning, **of_fine_tuning}}
    published = test_error(PUBLISHED[data][depth - 1])
    return Row(f"{data.removeprefix('mnist_')}-cae{depth}", f"CAE-{depth}", data, classify, settings, published, line)


TABLE = Table(
    "icml2011-table2",
    "Rifai et al., Contractive Auto-Encoders, ICML 2011, table 2",
    tuple(_row(data, depth) for data in PUBLISHED for depth in (1, 2)),
    "The validation rows choose the best epoch of fine-tuning.",
)
