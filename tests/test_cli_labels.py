"""Labels as they come from files, and what is left of them when a few are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contractive.cli._labels import keep_few_labels
from contractive.sources import open_labeled

ROWS = np.random.default_rng(0).uniform(size=(60, 6)).astype(np.float32)
COLORS = np.array(["red", "green", "blue"])[np.arange(60) % 3]


@pytest.mark.parametrize(
    ("labels", "unlabeled", "marker"),
    [
        (np.arange(60, dtype=np.uint8) % 3, None, -1),
        (np.arange(60) % 3 - 1, None, -2),
        (np.arange(60) % 4 - 1, -1, -1),
        (COLORS, None, ""),
        (np.array(["", "-", "x"])[np.arange(60) % 3], None, "--"),
        (np.arange(60) % 3 == 0, None, -1),
        (np.where(np.arange(60) < 40, np.arange(60) % 3, np.nan), np.nan, np.nan),
    ],
)
@pytest.mark.parametrize("n_labels", [3, 11, 30])
def test_few_labels_are_as_many_of_each_class(labels: np.ndarray, unlabeled: Any, marker: Any, n_labels: int):
    few, found = keep_few_labels(labels, unlabeled, n_labels, seed=0)
    assert (found == marker) or np.isnan([found, marker]).all()
    kept = np.array([label == label and label != found for label in few.tolist()])
    assert kept.sum() == n_labels
    assert (few[kept] == labels[kept]).all()
    _, counts = np.unique(few[kept], return_counts=True)
    assert len(counts) == len({label for label in labels.tolist() if label == label and label != unlabeled})
    # As even as there are rows: of True and False, the first has 20.
    assert counts.max() - counts.min() <= 1 or counts.min() == 20
    again, other = (keep_few_labels(labels, unlabeled, n_labels, seed=seed)[0] for seed in (0, 1))
    assert np.array_equal(few, again, equal_nan=labels.dtype.kind == "f")
    assert not np.array_equal(few, other, equal_nan=labels.dtype.kind == "f") or n_labels == len(labels)


@pytest.mark.parametrize("labels", [np.arange(60) % 3, COLORS, np.arange(60) > 20, ROWS[:, 0].round()])
def test_labels_of_all_kinds_are_opened_as_they_are(tmp_path: Path, labels: np.ndarray):
    np.save(tmp_path / "x.npy", ROWS)
    np.save(tmp_path / "y.npy", labels)
    np.savez(tmp_path / "t.npz", X=ROWS, y=labels, z=ROWS)
    data, known = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    archive = str(tmp_path / "t.npz")
    for opened in (
        open_labeled(data, labels=known),
        open_labeled(archive, array="X"),
        open_labeled(archive, array="X", labels=known),
    ):
        assert np.array_equal(opened.source.rows, ROWS)
        assert np.array_equal(opened.labels, labels)
        assert opened.labels.dtype == labels.dtype
        assert (opened.validation, opened.test) == (None, None)


def test_labels_beyond_signed_numbers_are_refused():
    labels = np.array([1, 2, 2**63], np.uint64)
    with pytest.raises(ValueError, match=r"must be below 2\^63 for `--n-labels`; got 9223372036854775808\."):
        keep_few_labels(labels, None, 3, seed=0)
