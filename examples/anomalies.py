"""Malignant tumours among benign ones: detectors that have seen benign tumours only, and what is odd about a tumour.

Run `python examples/anomalies.py`, or the cells one by one in an editor. `docs/anomalies.md` compares them with care.
"""

# %% What to do: half a minute or so on one core.
import argparse

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.preprocessing import StandardScaler

from contractive import ContractiveAutoencoder

parser = argparse.ArgumentParser(description="Detect malignant tumours as anomalies.")
parser.add_argument("--rows", type=int, default=214, help="benign tumours to train on, 214 at most")
parser.add_argument("--epochs", type=int, default=200, help="how often to go through them")
parser.add_argument("--seeds", type=int, default=5, help="draws of these")
parser.add_argument("--out", default="anomalies.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% Thirty measurements of 357 benign and 212 malignant tumours. No malignant one is trained on, and none has chosen a
# setting: those are the ones that told held-out benign rows best from the same rows with shuffled columns.
table = load_breast_cancer()
benign, malignant = table.data[table.target == 1], table.data[table.target == 0]
TRAINING = {"batch_size": min(32, options.rows), "learning_rate": 0.003, "max_epochs": options.epochs}


def fit_detectors(rows, seed):
    """Scores, higher for more normal rows."""
    pca = PCA(min(16, len(rows) - 1)).fit(rows)
    plain = ContractiveAutoencoder(128, contraction=0, **TRAINING, random_state=seed).fit(rows)
    contractive = ContractiveAutoencoder(64, contraction=0.01, **TRAINING, random_state=seed).fit(rows)
    return {
        "PCA": lambda X: -np.sum((X - pca.inverse_transform(pca.transform(X))) ** 2, axis=1),
        "isolation forest": IsolationForest(random_state=seed).fit(rows).score_samples,
        "plain auto-encoder": plain.score_samples,
        "contractive": contractive.score_samples,
    }, contractive


# %% For each draw of benign rows: how often a benign tumour of the others scores higher than a malignant one.
aurocs = {}
for seed in range(options.seeds):
    shuffled = np.random.default_rng(seed).permutation(benign)
    train, test = shuffled[: options.rows], shuffled[-72:]  # those in between chose the settings
    scaler = StandardScaler().fit(train)
    rows = scaler.transform(np.concatenate([test, malignant])).astype(np.float32)
    is_benign = np.arange(len(rows)) < len(test)
    detectors, cae = fit_detectors(scaler.transform(train).astype(np.float32), seed)
    scores = {name: score(rows) for name, score in detectors.items()}
    for name in scores:
        aurocs.setdefault(name, []).append(roc_auc_score(is_benign, scores[name]))
for name, values in aurocs.items():
    print(f"{name:20} AUROC {np.mean(values):.3f} +- {np.std(values):.3f}, of {len(values)} draws")

# %% The picture is of the last draw. A row's error is a sum over measurements, which says what is odd about it.
figure = Figure(figsize=(14, 4.6), layout="constrained")
curves, histogram, oddities = figure.subplots(1, 3)
for name, values in scores.items():
    alarms, found, _ = roc_curve(~is_benign, -values)
    curves.plot(100 * alarms, 100 * found, label=f"{name}: {roc_auc_score(is_benign, values):.3f}")
curves.set(xlabel="benign tumours that give alarm, %", ylabel="malignant tumours found, %", title="ROC and its area")
curves.legend(loc="lower right")
edges = np.geomspace(*np.quantile(-scores["contractive"], (0, 1)), 40)
for kind, name in ((is_benign, "benign, not trained on"), (~is_benign, "malignant")):
    histogram.hist(-scores["contractive"][kind], bins=edges, alpha=0.6, label=name)
histogram.set(xscale="log", xlabel="squared standard deviations", ylabel="tumours", ymargin=0.35)
histogram.legend(title="Reconstruction error, contractive")
median = rows[~is_benign][np.argsort(scores["contractive"][~is_benign])[len(malignant) // 2]][None]
parts = (median - cae.reconstruct(median))[0] ** 2
largest = np.argsort(parts)[-8:]
oddities.barh(table.feature_names[largest], parts[largest])
oddities.set(xlabel="squared standard deviations", title=f"The median malignant tumour, error {parts.sum():.1f}")
figure.savefig(options.out, dpi=120)
