"""A hundred labelled digits among ten thousand: a contractive classifier beside what sees the labelled ones alone.

Run `python examples/few_labels.py`, or the cells one by one in an editor.
"""

# %% What to do: some minutes on one core.
import argparse

import numpy as np
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from contractive import ContractiveAutoencoder, ContractiveClassifier, load_mnist
from contractive.plots import draw_rows

parser = argparse.ArgumentParser(description="Learn digits from ten labels a class.")
parser.add_argument("--rows", type=int, default=10_000, help="digits, of which ten of each class have a label")
parser.add_argument("--epochs", type=int, default=25, help="how often to go through them")
parser.add_argument("--seeds", type=int, default=5, help="draws of the labelled digits")
parser.add_argument("--out", default="few_labels.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% Pixels in [0, 1). Settings were chosen on validation digits, by other draws of labels.
(X, y), _, (X_test, y_test) = load_mnist("float32")
X, y, NO_LABEL = X[: options.rows], y[: options.rows].astype(int), -1

# %% Two representations, learned from all rows without their labels, once.
pretrained = {}
for name, contraction in (("plain", 0.0), ("contractive", 1.0)):
    encoder = ContractiveAutoencoder(400, contraction=contraction, loss="cross_entropy", learning_rate=0.002)
    encoder.set_params(max_epochs=max(1, options.epochs * 4 // 5), random_state=0).fit(X)
    pretrained[name] = FrozenEstimator(encoder)


def fine_tuned(name, seed):
    """A classifier whose output holds still around every row, with a label or without."""
    return ContractiveClassifier(
        pretrained[name],
        unlabeled=NO_LABEL,
        smoothness="spectral",
        smoothness_radius=0.5,
        smoothness_warmup=10,
        max_epochs=options.epochs,
        random_state=seed,
    )


# %% For each draw of labels: what sees the hundred labelled rows alone, and what sees all.
errors = {}
for seed in range(options.seeds):
    rng = np.random.default_rng(seed)
    labeled = np.concatenate([rng.permutation(np.flatnonzero(y == digit))[:10] for digit in range(10)])
    few = np.full(len(y), NO_LABEL)
    few[labeled] = y[labeled]
    fitted = {
        "nearest neighbour": KNeighborsClassifier(1).fit(X[labeled], y[labeled]),
        "logistic regression": LogisticRegression(max_iter=1000).fit(X[labeled], y[labeled]),
        "plain encoder, smooth": fine_tuned("plain", seed).fit(X, few),
        "contractive encoder, smooth": fine_tuned("contractive", seed).fit(X, few),
    }
    for name, classifier in fitted.items():
        errors.setdefault(name, []).append(100 * (1 - classifier.score(X_test, y_test)))
for name, values in errors.items():
    print(f"{name:28} test error {np.mean(values):5.2f} % +- {np.std(values):.2f}, of {len(values)} draws of labels")

# %% The picture: the labels that there were, and what they were good for.
figure = Figure(figsize=(11, 4.2), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
draw_rows(X[labeled], ax=left, n_columns=10, title=f"{len(labeled)} labelled digits, one draw")
right.barh(list(errors), [np.mean(values) for values in errors.values()], color=["0.7", "0.7", "C0", "C1"])
for place, values in enumerate(errors.values()):
    right.plot(values, [place] * len(values), "k.", markersize=5)
right.set(
    xlabel="test error, %; a dot is a draw of labels", title=f"{len(X):,} digits, {len(labeled)} of them with a label"
)
right.invert_yaxis()
figure.savefig(options.out, dpi=120)
