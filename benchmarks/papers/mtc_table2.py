"""NIPS 2011, the table of few labels: a stack of CAE+H layers, fine-tuned plainly, with tangents, with smoothness."""

from .fits import classify
from .rows import Row, Table, test_error

LAYER = {
    "kind": "cae",
    "n_components": 2000,
    "loss": "cross_entropy",
    "contraction": 0.1,
    "hessian_weight": 0.1,
    "hessian_std": 0.1,
    "n_hessian_samples": 1,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 100,
    "max_epochs": 20,
}
STACK = [LAYER, {**LAYER, "max_epochs": 15}]
FINE_TUNING = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "learning_rate_decay": "linear",
    "batch_size": 100,
    "max_epochs": 30,
}
FEW_LABELS: dict[str, object] = {"batch_size": 20, "max_epochs": 60}  # where labelled rows alone are gone through
ALL_ROWS: dict[str, object] = {"max_epochs": 15}  # where all rows are, with a minibatch of labelled ones beside each
TANGENTS = {"n_tangents": 15, "tangent_weight": 0.1, "n_tangent_probes": 1}
SMOOTHNESS = {"smoothness": "spectral", "smoothness_weight": 1.0, "smoothness_radius": 1.5}
MODELS = {
    "cae+h": ("CAE+H, two layers", {"kind": "mlp", **FINE_TUNING}, False),
    "mtc": ("MTC", {"kind": "mtc", **FINE_TUNING, **TANGENTS}, False),
    "spectral": (
        "CAE+H, two layers, smooth in the worst direction",
        {"kind": "mlp", **FINE_TUNING, **SMOOTHNESS},
        True,
    ),
}
# The paper's CAE+H and MTC for each number of labels.
PUBLISHED = {100: (13.47, 12.03), 600: (6.3, 5.13), 1000: (4.77, 3.64), 3000: (3.22, 2.57), None: (1.04, 0.81)}
# (model, number of labels) -> what the search chose for it, beside the settings above, and the search's line.
CHOICES: dict[tuple[str, int | None], tuple[dict[str, object], str]] = {}


def _row(key: str, n_labels: int | None) -> Row:
    model, classifier, with_unlabeled = MODELS[key]
    changes, line = CHOICES.get((key, n_labels), ({}, None))
    epochs: dict[str, object] = {}
    if n_labels is not None:
        epochs = ALL_ROWS if with_unlabeled else FEW_LABELS
    settings: dict[str, object] = {
        "layers": STACK,
        "classifier": {**classifier, **epochs, **changes},
        "n_labels": n_labels,
        "with_unlabeled": with_unlabeled,
    }
    if n_labels is not None:
        settings["pretraining_seed"] = 0
    published = dict(zip(MODELS, PUBLISHED[n_labels], strict=False)).get(key)
    name = "all 50,000" if n_labels is None else f"{n_labels:,}"
    row_key = f"{key}-{'all' if n_labels is None else n_labels}"
    n_seeds = 10 if n_labels == 100 else 3
    return Row(row_key, f"{model}; {name} labels", "mnist", classify, settings, test_error(published), line, n_seeds)


TABLE = Table(
    "mtc-table2",
    "Rifai et al., The Manifold Tangent Classifier, NIPS 2011, table 2",
    tuple(_row(key, n_labels) for n_labels in PUBLISHED for key in MODELS),
    "The stack is pretrained on the 50,000 training rows without labels; all draws of few labels share that of seed 0. "
    "The labelled rows, as many of each class, are drawn by the seed. The 10,000 labelled validation rows choose the "
    "best epoch. "
    "The paper's last line is of 60,000 labels. The smoothness is this package's: no paper has it on a contractive "
    "stack.",
)
