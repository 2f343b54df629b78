"""A model of a Parquet table that is larger than the memory it is given: written, read and trained on in pieces.

Run `python examples/larger_than_memory.py`, or the cells one by one in an editor; it needs `contractive[data]`.
"""

# %% What to do: 1.4 GiB of rows in a temporary folder, a minute or two on one core.
import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from contractive import ContractiveAutoencoder
from contractive.sources import open_rows

parser = argparse.ArgumentParser(description="Train on a table larger than memory.")
parser.add_argument("--rows", type=int, default=6_000_000, help="rows to write, of 64 sensors")
parser.add_argument("--epochs", type=int, default=2, help="how often to go through them")
parser.add_argument("--memory", type=int, default=1024, help="MiB that the process may take")
parser.add_argument("--out", default="larger_than_memory.png", help="the picture to write")
options, _ = parser.parse_known_args()

# %% A plant whose 64 sensors follow three hidden causes, with noise: a file of 100,000 rows at a time.
folder, rng = tempfile.TemporaryDirectory(prefix="sensors-"), np.random.default_rng(0)
mixing = rng.standard_normal((3, 64), np.float32)
for start in range(0, options.rows, 100_000):
    causes = rng.standard_normal((min(100_000, options.rows - start), 3), np.float32)
    rows = np.tanh(causes @ mixing) + 0.1 * rng.standard_normal((len(causes), 64), np.float32)
    table = pa.table({f"sensor {place}": column for place, column in enumerate(rows.T)})
    # Row groups are what is read at one go: small ones need little memory.
    pq.write_table(table, Path(folder.name) / f"part-{start:09}.parquet", row_group_size=10_000)

# %% What is opened has a shape and slices, and nothing is read before it is asked for. `fit` reads all of it each
# epoch, a window of 64 MiB at a time, in an order that is drawn anew.
data = open_rows(f"{folder.name}/part-*.parquet").rows


def peak():
    """The most memory, in MiB, that the process had so far; on Linux."""
    status = Path("/proc/self/status").read_text()  # not `ru_maxrss`, which a process inherits from its parent
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def watch(estimator, event):
    """Note, several times a second, how many rows are done and what memory that took."""
    rows = event.rows if hasattr(event, "rows") else len(data)  # the record of a whole epoch has none
    watched.append((((event.epoch - 1) * len(data) + rows) / 1e6, peak(), event.reconstruction_error))


watched = []
cae = ContractiveAutoencoder(16, batch_size=min(1000, len(data)), max_epochs=options.epochs, random_state=0)
cae.set_params(callbacks=[watch]).fit(data)
folder.cleanup()
size = data.shape[0] * data.row_bytes / 2**20
print(f"{size:.1f} MiB of rows, {peak():.1f} MiB of memory at most, {options.memory} allowed")
for record in cae.history_:
    print(f"epoch {record.epoch}: {record.rows_per_second:10,.1f} rows/s, error {record.reconstruction_error:.3f}")
if peak() > options.memory:
    raise SystemExit(f"larger_than_memory: {peak():.0f} MiB were taken, more than --memory {options.memory}")

# %% Memory stays where it is, however many rows go by.
done, used, error = np.transpose(watched)
figure = Figure(figsize=(10, 4), layout="constrained")
memory, learning = figure.subplots(1, 2, sharex=True)
memory.plot(done, used, label="most memory so far")
memory.axhline(size, color="C1", label="the data")
memory.axhline(options.memory, color="0.5", linestyle="--", label="the limit")
memory.set(xlabel="rows trained on, millions", ylabel="MiB", ylim=(0, None), title="Memory while training")
memory.legend(loc="lower right")
learning.plot(done, error)
learning.set(
    xlabel="rows trained on, millions", ylabel="squared error, sum over sensors", title="Mean of the epoch so far"
)
figure.savefig(options.out, dpi=120)
