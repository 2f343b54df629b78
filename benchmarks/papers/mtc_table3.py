"""NIPS 2011: all labels of MNIST, forest cover type, and the nearest neighbours of a thousand labelled digits."""

from .fits import classify, find_neighbors
from .mtc_table2 import CHOICES, FROM_ALL, LAYER, MODELS, STACK
from .rows import Number, Row, Table, changed, test_error

TABULAR = {**LAYER, "loss": "squared_error", "n_components": 300, "max_epochs": 20}
# The epochs of fine-tuning are fixed, as the validation rows are trained on, too.
REFIT_EPOCHS = {"cae+h": 30, "mtc": 30, "both": 60}
COVER = {"cae+h": (None, None), "mtc": (3.13, None)}
ALL_LABELS = {"cae+h": 1.04, "mtc": 0.81, "both": None}
# One layer or two, the distance, and the paper's accuracy.
NEIGHBORS = {
    "knn-pixels": ("k-NN, pixels", 0, "pixels", 86.9),
    "knn-tangents": ("k-NN, distance between tangent planes", 1, "tangents", 88.7),
    "knn-cae1": ("k-NN, codes of CAE-1", 1, "codes", 90.55),
    "knn-cae2": ("k-NN, codes of CAE-2", 2, "codes", 91.15),
}
# What the search chose for a row, beside the settings that all of them have, and the search's line.
CHOSEN = {"knn-tangents": ({"layers.*.contraction": 0.1, "neighbors.n_tangents": 5}, "mtc-table3:2")}


def _all_labels(key: str) -> Row:
    model, classifier, _ = MODELS[key]
    chosen, line = CHOICES.get((key, None), ({}, None))
    settings = {
        "layers": STACK,
        "classifier": {**classifier, **FROM_ALL[key], **chosen, "max_epochs": REFIT_EPOCHS[key]},
        "refit": True,
    }
    numbers = test_error(ALL_LABELS[key])
    return Row(f"mnist-{key}", f"{model}; all 60,000 labels", "mnist", classify, settings, numbers, line)


def _cover(key: str) -> Row:
    model, classifier, _ = MODELS[key]
    published, line = COVER[key]
    tangents = {"n_tangents": 5} if key == "mtc" else {}
    settings = {"layers": [TABULAR, TABULAR], "classifier": {**classifier, **FROM_ALL[key], **tangents}}
    return Row(f"cover-{key}", model, "covertype", classify, settings, test_error(published), line, n_seeds=3)


def _neighbors(key: str) -> Row:
    model, depth, distance, published = NEIGHBORS[key]
    settings = {
        "layers": [changed(LAYER, {"hessian_weight": 0})] * depth,
        "n_labels": 1000,
        "neighbors": {"distance": distance, "n_neighbors": 1, "n_tangents": 15},
    }
    changes, line = CHOSEN.get(key, ({}, None))
    numbers = (Number("test accuracy, %", "test.accuracy", published),)
    return Row(key, f"{model}; 1,000 labels", "mnist", find_neighbors, changed(settings, changes), numbers, line)


TABLE = Table(
    "mtc-table3",
    "Rifai et al., The Manifold Tangent Classifier, NIPS 2011, tables 1 and 3",
    (*map(_all_labels, ALL_LABELS), *map(_cover, COVER), *map(_neighbors, NEIGHBORS)),
    "All labels: trained on training and validation rows for a fixed number of epochs. Forest cover type is shuffled "
    "and split by this package: 100,000/10,000/50,000 rows. The nearest neighbours are among 1,000 labelled rows.",
)
