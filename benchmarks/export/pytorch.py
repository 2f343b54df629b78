"""Hold the five lines of `docs/export.md` to the library: a trained model's weights in PyTorch, on MNIST.

Makes the environment with PyTorch that the speed benchmark has, once; needs what that needs. Prints the largest
differences, and fails where one is above 1e-5 of the largest value.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from contractive import ContractiveAutoencoder, load_mnist

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))

from benchmarks.speed.environments import ensure  # noqa: E402  # found by the line above

TOLERANCE = 1e-5
N_ROWS = 1000


def documented_lines() -> str:
    """The PyTorch code of the page."""
    page = (ROOT / "docs" / "export.md").read_text()
    match = re.search(r"```python\n(import torch\n.*?)```", page, re.DOTALL)
    assert match is not None, "docs/export.md has no PyTorch code"
    return match[1]


def in_pytorch(folder: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and reconstructions by the page's lines, in a process with PyTorch and without this package."""
    np.save(folder / "x.npy", rows)
    (folder / "lines.py").write_text(
        "import numpy\nimport torch\n"
        "x = torch.from_numpy(numpy.load('x.npy'))\n"
        f"{documented_lines()}"
        "numpy.save('h.npy', h.numpy())\nnumpy.save('r.npy', r.numpy())\nprint('torch', torch.__version__)\n"
    )
    subprocess.run([str(ensure("torch")), "lines.py"], cwd=folder, check=True)
    return np.load(folder / "h.npy"), np.load(folder / "r.npy")


def main() -> int:
    """Train an epoch, compare; the exit status."""
    (rows, _), _, (test, _) = load_mnist()
    cae = ContractiveAutoencoder(500, loss="cross_entropy", max_epochs=1, random_state=0).fit(rows[:10_000])
    test = test[:N_ROWS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = folder / "runs" / "mine"
        run.mkdir(parents=True)
        cae.save(run / "model.safetensors")
        found = in_pytorch(folder, test.astype(np.float32) / np.float32(cae.uint8_scale))
    worst = 0.0
    for what, own, right in zip(
        ("transform", "reconstruct"), found, (cae.transform(test), cae.reconstruct(test)), strict=True
    ):
        difference = float(np.abs(own - right).max() / np.abs(right).max())
        worst = max(worst, difference)
        print(f"{what}: {len(right)} rows, largest difference {difference:.1e} of the largest value")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
