"""Digits with salt and pepper made clean: denoising and contraction beside a plain auto-encoder and PCA.

Run `python examples/denoising.py`, or the cells one by one in an editor.
"""

# %% What to do: some minutes on one core.
import argparse

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from contractive import ContractiveAutoencoder, DenoisingAutoencoder, load_mnist
from contractive.plots import draw_rows

parser = argparse.ArgumentParser(description="Clean spoilt digits of MNIST.")
parser.add_argument("--rows", type=int, default=10_000, help="pictures to train on")
parser.add_argument("--epochs", type=int, default=30, help="how often to go through them")
parser.add_argument("--seeds", type=int, default=3, help="trainings of each model")
parser.add_argument("--out", default="denoising.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% Pixels in [0, 1). Three in ten of the test digits' are made black or white, each as likely.
(X, _), _, (X_test, _) = load_mnist("float32")
X, LEVEL = X[: options.rows], 0.3
rng = np.random.default_rng(0)
flecks = rng.choice(np.array([0, X.max()], X.dtype), X_test.shape)
X_spoilt = np.where(rng.random(X_test.shape) < LEVEL, flecks, X_test)


# %% One layer of 300 units each time; PCA and the auto-encoders without corruption see clean digits only. Validation
# digits chose contraction and number of components.
def models(seed):
    """What is compared, untrained."""
    common = {"loss": "cross_entropy", "learning_rate": 0.002, "max_epochs": options.epochs, "random_state": seed}
    spoilt = {"corruption": "salt_and_pepper", "corruption_level": LEVEL}
    return {
        "PCA": PCA(min(50, len(X)), svd_solver="randomized", random_state=seed),
        "plain": ContractiveAutoencoder(300, contraction=0, **common),
        "contractive": ContractiveAutoencoder(300, contraction=0.1, **common),
        "denoising": DenoisingAutoencoder(300, **spoilt, **common),
        "denoising and contractive": DenoisingAutoencoder(300, contraction=0.03, **spoilt, **common),
    }


def cleaned(model, rows):
    """What a model makes of rows, cut off at black and white."""
    reconstruct = getattr(model, "reconstruct", lambda rows: model.inverse_transform(model.transform(rows)))
    return np.clip(reconstruct(rows), 0, 1)


def error(rows):
    """The root of the mean squared error of a pixel, of which 1 is the way from black to white."""
    return float(np.sqrt(np.mean((rows - X_test) ** 2)))


# %% Errors of ten thousand test digits, spoilt and as they are.
shown = {"original": X_test, "spoilt": X_spoilt}
errors = {"spoilt": error(X_spoilt)}
print(f"{'nothing done':26} error {error(X_spoilt):.4f}")
for name in models(0):
    fits = [models(seed)[name].fit(X) for seed in range(options.seeds)]
    spoilt, clean = ([error(cleaned(model, rows)) for model in fits] for rows in (X_spoilt, X_test))
    print(f"{name:26} error {np.mean(spoilt):.4f} +- {np.std(spoilt):.4f}, of clean digits {np.mean(clean):.4f}")
    shown[name], errors[name] = cleaned(fits[0], X_spoilt), float(np.mean(spoilt))

# %% One digit a column.
figure = Figure(figsize=(10, 8), layout="constrained")
for ax, (name, rows) in zip(figure.subplots(len(shown)), shown.items(), strict=True):
    title = f"{name}: error {errors[name]:.3f}" if name in errors else name
    draw_rows(rows[:14], ax=ax, n_columns=14, scale="unit", title=title)
figure.suptitle("Test digits; the error is the root mean square of a pixel in [0, 1], over all 10,000")
figure.savefig(options.out, dpi=120)
