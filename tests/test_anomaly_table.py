"""The comparison of anomaly detectors: its table is made of what was recorded, and no anomaly chooses a setting."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "anomalies"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """`run` and `table` of the benchmark, which is a folder of scripts."""
    monkeypatch.syspath_prepend(str(BENCHMARK))
    yield import_module("run"), import_module("table")
    for name in ("run", "table"):
        del sys.modules[name]


def test_page_holds_the_table_of_the_results(modules: tuple[Any, Any]):
    _, table = modules
    text = table.PAGE.read_text()
    assert text == table.page(text, json.loads(table.RESULTS.read_text()))


def test_table_has_means_deviations_and_paired_differences(modules: tuple[Any, Any]):
    _, table = modules

    def trial(anomaly: str, plain: float, contractive: float) -> dict[str, Any]:
        found = {"auto-encoder": {"auroc": plain}, "contractive": {"auroc": contractive}}
        return {"table": "t", "anomaly": anomaly, "detectors": found}

    made = table.table([trial("a", 0.5, 0.7), trial("a", 0.7, 0.7), trial("b", 0.9, 0.8), trial("b", 0.7, 0.8)])
    assert made.splitlines()[2:] == [
        "| t | a | 0.600 ± 0.141 | **0.700 ± 0.000** | +0.100 ± 0.141 |",
        "| t | b | **0.800 ± 0.141** | 0.800 ± 0.000 | +0.000 ± 0.141 |",
        "| t | mean of 2 | 0.700 ± 0.000 | **0.750 ± 0.000** | +0.050 ± 0.000 |",
    ]
    with pytest.raises(ValueError, match=r"anomalies\.md must hold the marks"):
        table.page("no marks", {})


def test_setting_is_chosen_by_shuffled_columns_alone(modules: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch):
    """Columns cancel out in normal rows: the setting that looks at their sum is chosen, whatever anomalies are like."""
    run, _ = modules
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 1))
    normal, anomalies = np.hstack([first, -first]), np.full((9, 2), 5.0)
    fits = []

    def fit(rows: np.ndarray, seed: int, column: int) -> Any:
        fits.append(rows)
        return lambda X: -np.abs(X.sum(axis=1)) if column else np.where(X[:, 0] > 4, -1.0, 0.0)

    monkeypatch.setattr(run, "DETECTORS", {"d": (fit, [{"column": 0}, {"column": 1}])})
    found = run.trial(run.Task("digits", "fives", normal, anomalies, 20, 20), seed=3)
    assert found["detectors"]["d"] == {"setting": {"column": 1}, "auroc": 1.0}
    assert all(len(rows) == 20 and not (rows > 4).any() for rows in fits)
    none = run.trial(run.Task("digits", "none", normal, np.array([[1.0, -1.0]]), 20, 20), seed=3)
    assert none["detectors"]["d"]["setting"] == {"column": 1}
