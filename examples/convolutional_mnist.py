"""A contractive auto-encoder whose encoder is a small convolutional network of one's own, on MNIST.

Run `python examples/convolutional_mnist.py --rows 2000 --epochs 10`, or the cells one by one in an editor.
"""

# %% What to do: a minute or so on two cores.
import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from contractive import ContractiveAutoencoder, load_mnist
from contractive.plots import draw_rows

parser = argparse.ArgumentParser(description="Train a convolutional contractive auto-encoder on MNIST.")
parser.add_argument("--rows", type=int, default=2000, help="pictures to train on")
parser.add_argument("--epochs", type=int, default=10, help="how often to go through them")
parser.add_argument("--out", default="convolutional_mnist.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% Digits: bytes of shape (n, 784), which the estimator reads as pixels k / 256.
(X, _), _, (X_test, _) = load_mnist()
X, X_test = X[: options.rows], X_test[:1000]
X_noisy = np.clip(X_test + np.random.default_rng(0).normal(0, 25, X_test.shape), 0, 255).astype(np.uint8)


# %% An encoder is a function of one example: 784 pixels in, the code out. Its arrays are trained from where they are.
class Encoder(eqx.Module):
    """Two convolutions of stride 2 and an affine map to 32 numbers."""

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    readout: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        self.first = eqx.nn.Conv2d(1, 8, kernel_size=4, stride=2, padding=1, key=keys[0])
        self.second = eqx.nn.Conv2d(8, 16, kernel_size=4, stride=2, padding=1, key=keys[1])
        self.readout = eqx.nn.Linear(16 * 7 * 7, 32, key=keys[2])

    def __call__(self, x):
        """The code of one picture."""
        h = jnp.tanh(self.first(x.reshape(1, 28, 28)))
        return self.readout(jnp.tanh(self.second(h)).reshape(-1))


# %% Without contraction and with it. One random probe an example estimates ||dh/dx||_F^2 of any encoder cheaply; the
# decoder is affine, as none is given.
shown = {"test digits": X_test / 256, "with noise": X_noisy / 256}
for contraction in (0.0, 0.1):
    cae = ContractiveAutoencoder(
        encoder=Encoder(jax.random.key(0)),
        contraction=contraction,
        penalty="hutchinson",
        loss="cross_entropy",
        learning_rate=0.003,
        batch_size=min(50, len(X)),
        max_epochs=options.epochs,
        random_state=0,
    ).fit(X)
    codes = cae.transform(X_test)
    moved = np.linalg.norm(cae.transform(X_noisy) - codes, axis=1).mean()
    spread = np.linalg.norm(codes - codes.mean(axis=0), axis=1).mean()
    print(f"contraction {contraction}")
    print(f"  reconstruction error while training  {cae.loss_curve_[0]:7.2f} -> {cae.loss_curve_[-1]:.2f} nats")
    print(f"  reconstruction error of test digits  {-cae.score(X_test):7.2f} nats")
    print(f"  Jacobian norm at test digits         {cae.contraction_norm(X_test[:200]).mean():7.2f}")
    print(f"  noise moves the code by              {moved / spread:7.2f} of its spread")
    title = f"contraction {contraction}, from the noisy ones: the code moves by {moved / spread:.2f} of its spread"
    shown[title] = cae.reconstruct(X_noisy)

# %% One digit a column.
figure = Figure(figsize=(10, 5), layout="constrained")
for ax, (title, rows) in zip(figure.subplots(len(shown)), shown.items(), strict=True):
    draw_rows(rows[:14], ax=ax, n_columns=14, scale="unit", title=title)
figure.savefig(options.out, dpi=120)
