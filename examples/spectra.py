"""Concentrations from spectra that shift and whose baselines wander: ridge regression on codes beside raw channels.

The spectra are made up from a recipe and a seed: peaks of three substances that overlap, a shift of the whole, a curved
baseline, noise. Run `python examples/spectra.py`, or the cells one by one in an editor.
"""

# %% What to do: a minute or two on one core.
import argparse

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contractive import ContractiveAutoencoder

parser = argparse.ArgumentParser(description="Find concentrations in spectra.")
parser.add_argument("--rows", type=int, default=5000, help="spectra of unknown concentrations")
parser.add_argument("--epochs", type=int, default=100, help="how often to go through them")
parser.add_argument("--seeds", type=int, default=5, help="draws of all spectra")
parser.add_argument("--out", default="spectra.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% The recipe: each substance has two peaks, of some channel, width and height.
CHANNELS, N_LABELED, N_TEST = np.arange(200), 100, 1000
PEAKS = [(50, 8, 1.0), (120, 6, 0.6)], [(62, 8, 0.8), (140, 10, 0.5)], [(75, 12, 0.5), (128, 6, 0.9)]


def make_spectra(n, rng):
    """Spectra of shape (n, 200) and the concentrations of the three substances, each in [0, 1]."""
    amounts, shifted = rng.random((n, 3)), CHANNELS - rng.uniform(-15, 15, (n, 1))
    spectra = rng.normal(0, 0.02, (n, 200))
    for amount, peaks in zip(amounts.T, PEAKS, strict=True):
        for center, width, height in peaks:
            spectra += amount[:, None] * height * np.exp(-(((shifted - center) / width) ** 2) / 2)
    (level, slope, bend), t = rng.normal(0, 0.3, (3, n, 1)), np.linspace(-1, 1, 200)
    return (spectra + level + slope * t + bend * t**2).astype(np.float32), amounts


# %% What the regression gets to see: functions of spectra, learned from those of unknown concentrations. The number of
# components and the contraction were chosen on other draws.
def fit_features(rows, seed):
    """Channels, principal components, and codes of rows of mean 0 and standard deviation 1."""
    mean, scale = rows.mean(axis=0), rows.std()
    settings = {"activation": "relu", "batch_size": min(64, len(rows)), "max_epochs": options.epochs}
    coded = [ContractiveAutoencoder(200, contraction=c, **settings, random_state=seed) for c in (0, 0.01)]
    plain, contractive = (each.fit((rows - mean) / scale) for each in coded)
    return {
        "raw channels": lambda X: X,
        "PCA": PCA(min(20, len(rows))).fit(rows).transform,
        "plain auto-encoder": lambda X: plain.transform((X - mean) / scale),
        "contractive": lambda X: contractive.transform((X - mean) / scale),
    }


# %% Errors of the concentrations of test spectra. Leaving out one labelled spectrum after the other chooses the ridge.
errors = {}
for seed in range(options.seeds):
    rng = np.random.default_rng(seed)
    (X, _), (X_labeled, amounts), (X_test, wanted) = (make_spectra(n, rng) for n in (options.rows, N_LABELED, N_TEST))
    for name, features in fit_features(X, seed).items():
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-6, 3, 19))).fit(features(X_labeled), amounts)
        wrong = ridge.predict(features(X_test)) - wanted
        errors.setdefault(name, []).append(np.sqrt(np.mean(wrong**2)))
for name, values in errors.items():
    print(f"{name:20} error {np.mean(values):.4f} +- {np.std(values):.4f}, of {len(values)} draws")

figure = Figure(figsize=(11, 4), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(CHANNELS, X_test[:5].T, linewidth=1)
left.set(xlabel="channel", ylabel="intensity", title="Five test spectra")
right.plot(list(errors.values()), list(errors), "ko", alpha=0.5)
right.plot(np.mean(list(errors.values()), axis=1), list(errors), "C1|", markersize=30, markeredgewidth=2)
right.set(xlabel="root mean square error", ylim=(3.5, -0.5), xlim=(0, None), title="Concentrations; a bar is the mean")
figure.savefig(options.out, dpi=120)
