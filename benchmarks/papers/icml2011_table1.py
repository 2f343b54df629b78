"""ICML 2011, table 1: one hidden layer of 1000 units, fine-tuned as an MLP on MNIST."""

from .fits import classify
from .rows import Number, Row, Table

PRETRAINING = {
    "n_components": 1000,
    "loss": "cross_entropy",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 100,
    "max_epochs": 20,
}
FINE_TUNING = {
    "kind": "mlp",
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "learning_rate_decay": "linear",
    "batch_size": 100,
    "max_epochs": 25,
}
# The same, and the output held still in its worst direction.
SMOOTH = {
    **FINE_TUNING,
    "max_epochs": 40,
    "smoothness": "spectral",
    "smoothness_weight": 1.0,
    "smoothness_radius": 1.0,
}
CAE = {"kind": "cae", **PRETRAINING, "contraction": 0.1}
# Model, its layer, the settings' line in the search, and the paper's error, mean squared entry of J, and SAT.
MODELS = {
    "cae": ("CAE", CAE, "icml2011-table1:3", (1.14, 0.73e-4, 86.36)),
    "cae-smooth": ("CAE, fine-tuned with smoothness", CAE, "icml2011-table1:7", (None, None, None)),
    "dae-g": (
        "DAE-g",
        {"kind": "dae", **PRETRAINING, "corruption": "gaussian", "corruption_std": 0.3},
        "icml2011-table1:6",
        (1.18, 0.86e-4, 17.77),
    ),
    "rbm": (
        "RBM-binary",
        {"kind": "rbm", **PRETRAINING, "learning_rate": 0.01},
        None,
        (1.30, 2.50e-4, 78.59),
    ),
    "dae-b": (
        "DAE-b",
        {"kind": "dae", **PRETRAINING, "corruption": "masking", "corruption_level": 0.25},
        None,
        (1.57, 7.87e-4, 68.19),
    ),
    "ae-wd": (
        "AE+wd",
        {"kind": "cae", **PRETRAINING, "contraction": 0, "weight_decay": 1e-2},
        "icml2011-table1:11",
        (1.68, 5e-4, 12.97),
    ),
    "ae": ("AE", {"kind": "cae", **PRETRAINING, "contraction": 0}, None, (1.78, 17.5e-4, 49.90)),
}


def _row(key: str) -> Row:
    model, layer, line, (error, entry, saturation) = MODELS[key]
    numbers = (
        Number("test error, %", "test.error", error),
        Number("mean squared entry of J", "facts.jacobian_mean_squared_entry", entry, ".2e"),
        Number("saturated units, %", "facts.saturation", saturation),
    )
    classifier = SMOOTH if key == "cae-smooth" else FINE_TUNING
    return Row(key, model, "mnist", classify, {"layers": [layer], "classifier": classifier}, numbers, line, n_seeds=3)


TABLE = Table(
    "icml2011-table1",
    "Rifai et al., Contractive Auto-Encoders, ICML 2011, table 1",
    tuple(map(_row, MODELS)),
    "50,000 training rows; the best epoch of fine-tuning is the one with the least error on the 10,000 validation "
    "rows. The paper's column ‖J‖ is ‖J‖²_F/(d_x d_h); it and the saturation are measured on validation rows before "
    "fine-tuning. The smoothness is this package's: its row has no counterpart in the paper and stands beside its CAE.",
)
