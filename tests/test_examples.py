"""Every example runs to its end at toy size, in a process of its own, without a warning, and draws its picture."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from toys import QUICK_FLAGS

EXAMPLES = sorted(Path(__file__).parents[1].glob("examples/*.py"))
PAGE = Path(__file__).parents[1] / "docs" / "examples.md"
TOY = ["--rows", "40", "--epochs", "2", "--seeds", "1", "--out", "picture.png"]
QUICK = {"convolutional_mnist", "larger_than_memory", "spectra"}  # the others wait for `make test-all`


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow) for path in EXAMPLES],
)
def test_example_runs_at_toy_size(example: Path, tmp_path: Path):
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(example), *TOY],
        cwd=tmp_path,
        env=os.environ | {"XLA_FLAGS": QUICK_FLAGS},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", finished.stdout)]
    assert len(numbers) >= 4, finished.stdout
    assert not re.search(r"\b(nan|inf)\b", finished.stdout, re.IGNORECASE), finished.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    picture = imread(tmp_path / "picture.png")
    assert picture.shape[0] >= 400
    assert picture.shape[1] >= 800
    assert picture[..., :3].std() > 0.05  # not a blank sheet


def test_examples_are_short_cells_under_one_heading():
    assert EXAMPLES
    for example in EXAMPLES:
        text = example.read_text()
        assert text.startswith('"""')
        assert text.count("\n# %% ") >= 3
        assert len(text.splitlines()) < 80


def test_page_of_examples_has_all_of_them():
    headings = re.findall(r"^## .*`examples/(\w+)\.py`", PAGE.read_text(), re.MULTILINE)
    assert sorted(headings) == [path.stem for path in EXAMPLES]
