"""One model trained by two processes over loopback, and the same by one alone: the weights beside each other.

Run `python examples/two_processes.py`; it starts itself twice more. On two machines, each would be started by hand with
the address of the first.
"""

# %% What to do: some seconds.
import argparse
import hashlib
import socket
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from contractive import ContractiveAutoencoder, load, load_mnist
from contractive.distributed import join
from contractive.plots import filters
from contractive.sources import ArrayRows

parser = argparse.ArgumentParser(description="Train in two processes.")
parser.add_argument("--rows", type=int, default=10_000, help="digits of MNIST to train on")
parser.add_argument("--epochs", type=int, default=10, help="how often to go through them")
parser.add_argument("--out", default="two_processes.png", help="the picture to write")
parser.add_argument("--place", help="of a process that this one started: HOST:PORT, its number, its model file")
options, _ = parser.parse_known_args()


# %% What each process does. It joins before JAX computes anything; all are given the same rows and the same settings,
# and each computes its own part of every minibatch. Their order is that of rows which are read again each epoch: as
# `ArrayRows` they come in it in one process, too, where an array would be shuffled as a whole.
def train(address, number, path):
    """Train, alone if there is no address, and write the model: each process its own, to compare them."""
    rows = ArrayRows("digits", load_mnist()[0][0][: options.rows])
    cae = ContractiveAutoencoder(64, loss="cross_entropy", learning_rate=0.003, engine="jax", random_state=0)
    cae.set_params(batch_size=min(100, len(rows)), max_epochs=options.epochs)
    with join(address, n_processes=2, process_id=int(number)) if address else nullcontext():
        cae.fit(rows)
    cae.save(path)


if options.place:
    train(*options.place.split(","))
    raise SystemExit

# %% Two processes at a free port, and then one.
with socket.create_server(("127.0.0.1", 0)) as free:
    address = f"127.0.0.1:{free.getsockname()[1]}"
with tempfile.TemporaryDirectory() as folder:
    paths = [Path(folder) / f"{name}.safetensors" for name in ("process 0 of 2", "process 1 of 2", "one alone")]
    jobs = [(address, 0, paths[0]), (address, 1, paths[1]), ("", 0, paths[2])]
    settings = ["--rows", str(options.rows), "--epochs", str(options.epochs)]
    command = [sys.executable, *(f"-W{each}" for each in sys.warnoptions), __file__, *settings, "--place"]
    started = [subprocess.Popen([*command, ",".join(map(str, job))]) for job in jobs]
    if any([process.wait() for process in started]):
        raise SystemExit("two_processes: a process failed; what it said stands above")
    models = {path.stem: load(path) for path in paths}

# %% The two end with the same bits. The one alone adds up in another order, so its last digits are others.
alone = models["one alone"].components_
for name, model in models.items():
    digest = hashlib.sha256(model.components_.tobytes()).hexdigest()
    print(f"{name:14}  weights {digest[:16]}  error {model.loss_curve_[-1]:.5f} nats", end="")
    print(f"  furthest from one alone {np.abs(model.components_ - alone).max():.8f}")
figure = Figure(figsize=(12, 4.4), layout="constrained")
for ax, (name, model) in zip(figure.subplots(1, 3), models.items(), strict=True):
    filters(model.components_, ax=ax)
    ax.set_title(f"{name}: {model.loss_curve_[-1]:.2f} nats")
figure.suptitle(f"{len(alone)} filters, and the error after {options.epochs} epochs of {options.rows:,} digits")
figure.savefig(options.out, dpi=120)
