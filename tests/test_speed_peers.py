"""The check of other implementations' penalties, by values worked out otherwise, and the speed pages' generators."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

HERE = Path(__file__).parents[1] / "benchmarks" / "speed"
SLOPES = {
    "sigmoid": lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2,
    "relu": lambda a: 1.0 * (a > 0),
    "linear": np.ones_like,
}


@pytest.fixture(scope="module")
def speed() -> Iterator[Any]:
    """The benchmark's modules, which are scripts outside the package."""
    names = "environments exact_penalty peers_run peers_table protocol racing reference run table deep_table".split()
    sys.path.insert(0, str(HERE))
    try:
        yield SimpleNamespace(**{name: import_module(name) for name in names})
    finally:
        sys.path.remove(str(HERE))


def mean_square(weight: np.ndarray, rows: np.ndarray, activation: str) -> float:
    """The mean of ||dh/dx||_F^2, by the whole Jacobian of each row."""
    jacobians = SLOPES[activation](rows @ weight)[:, :, None] * weight.T
    return float(np.sum(jacobians**2) / len(rows))


@pytest.mark.parametrize("activation", SLOPES)
def test_exact_penalty(speed: Any, activation: str):
    rng = np.random.RandomState(0)
    weight, rows = rng.normal(size=(7, 5)), rng.uniform(size=(4, 7))
    value, gradient = speed.exact_penalty.exact_penalty(weight, rows, activation)
    np.testing.assert_allclose(value, mean_square(weight, rows, activation), rtol=1e-12)
    by_differences = np.zeros_like(weight)
    for index in np.ndindex(*weight.shape):
        step = np.zeros_like(weight)
        step[index] = 1e-5
        ahead, behind = (mean_square(weight + sign * step, rows, activation) for sign in (1, -1))
        by_differences[index] = (ahead - behind) / 2e-5
    np.testing.assert_allclose(gradient, by_differences, rtol=1e-6, atol=1e-8)
    assert gradient.dtype == np.float64
    assert not jax.config.jax_enable_x64  # type: ignore[attr-defined]


def numpy_contender(speed: Any, *, factor: float) -> Any:
    """The tutorial's job by the benchmark's own reference, the penalty's gradient times `factor`."""
    protocol = speed.protocol

    class ByHand(protocol.Contender):
        def prepare(self):
            self.reset()
            return {}

        def reset(self):
            self._weight = protocol.initial_weight(np.float64)
            self._biases = np.zeros(protocol.N_HIDDEN), np.zeros(protocol.N_FEATURES)

        def run_span(self, start: int, stop: int):
            n, totals = self.batch_size, np.zeros(2)
            for index in range(start, stop):
                x = self.data[index * n : (index + 1) * n]
                parts, gradient = speed.reference._step(x, self._weight, *self._biases, factor * self.contraction)
                self._weight -= self.learning_rate * gradient[0]
                for bias, step in zip(self._biases, gradient[1:], strict=True):
                    bias -= self.learning_rate * step
                totals += parts
            return tuple(totals)

        def weight(self):
            return self._weight

    return ByHand


@pytest.mark.parametrize(
    ("factor", "gradient", "verdict"),
    [(1, 0, "exact"), (0, 1, "**no gradient**"), (10, 9, "**gradient 10 times the exact one**")],
)
def test_penalty_is_measured_as_it_is_trained(speed: Any, factor: float, gradient: float, verdict: str):
    rows = np.random.RandomState(0).uniform(size=(20, speed.protocol.N_FEATURES))
    found = numpy_contender(speed, factor=factor)(rows, 10).penalty()
    exact = speed.exact_penalty.exact_penalty(speed.protocol.initial_weight(np.float64), rows[:10])
    errors = speed.exact_penalty.penalty_errors(found, exact)
    assert errors["value"] < 1e-12
    assert errors["gradient"] == pytest.approx(gradient, abs=1e-9)
    assert errors["scale"] == pytest.approx(factor, abs=1e-9)
    assert errors["residue"] < 1e-9
    assert speed.peers_table.penalty_cells(errors)[2] == verdict


RIGHT = {"value": 1e-7, "gradient": 4e-7, "scale": 1.0, "residue": 4e-7}


@pytest.mark.parametrize(
    ("changed", "cells"),
    [
        ({}, ("1.0e-07", "4.0e-07", "exact")),
        ({"value": 1.1e-3, "gradient": 1.0, "scale": 0.0, "residue": 0.0}, ("1.1e-03", "1.0e+00", "**no gradient**")),
        ({"gradient": 1.0, "scale": 2.0, "residue": 0.0}, ("1.0e-07", "1.0e+00", "**gradient 2 times the exact one**")),
        ({"gradient": 1.0, "scale": 1.0, "residue": 1.0}, ("1.0e-07", "1.0e+00", "**wrong**")),
        ({"gradient": 2.0, "scale": 3.0, "residue": 0.1}, ("1.0e-07", "2.0e+00", "**wrong**")),
        ({"value": 3.6}, ("3.6e+00", "4.0e-07", "**wrong**")),
        ({"value": float("nan")}, ("nan", "4.0e-07", "**wrong**")),
    ],
)
def test_verdict(speed: Any, changed: dict[str, float], cells: tuple[str, str, str]):
    assert speed.peers_table.penalty_cells({**RIGHT, **changed}) == cells
    assert speed.peers_table.penalty_cells(None) == ("–", "–", "none")


def test_page_of_peers(speed: Any, tmp_path: Path):
    def entry(seconds: list[float], wrong: list[str] | None = None) -> dict[str, Any]:
        return {"seconds": seconds, "disagreements": wrong}

    found = {
        "contractive_cae": entry([1.0, 2.0, 4.0], []),
        "keras_jax": entry([2.0, 6.0, 4.0], ["weight_corner: off by 1.0e-01 relative (allowed 1e-03)"]),
        "pythae_ae": entry([0.5, 0.5, 0.5]),
    }
    results = {
        "machine": {"processor": "p", "cores": 2},
        "rounds": 3,
        "missing": {"rapidae_jax": "TypeError: a | b"},
        "penalties": {"contractive_cae": RIGHT, "keras_jax": {**RIGHT, "value": 1.0}},
        "training": {"10": {"contenders": found}},
    }
    speed.peers_table.write_table(results, tmp_path / "peers.md")
    rows = [line.split(" | ") for line in (tmp_path / "peers.md").read_text().splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows[1:]] == ["0.50 (0.50–0.50)", "2.00 (1.00–4.00)", "4.00 (2.00–6.00)", "–"]
    assert [row[2] for row in rows[1:]] == ["0.25", "1.00", "2.00", "–"]  # medians of the rounds' ratios
    assert [row[5] for row in rows[1:]] == ["none", "exact", "**wrong**", "–"]
    assert rows[3][6] == "**wrong**: weight_corner: off by 1.0e-01 relative (allowed 1e-03) |"
    assert rows[4][6] == r"**not run**: TypeError: a \| b |"


DIES = """
from protocol import main
def contender(data, batch_size):
    raise TypeError("rows must be vectors.")
main(contender)
"""


def test_contender_that_dies_is_recorded(speed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "rapidae_jax.py").write_text(DIES)
    np.save(tmp_path / "rows.npy", np.zeros((10, 784), np.float32))
    monkeypatch.setattr(speed.racing, "HERE", tmp_path)
    missing: dict[str, str] = {}
    interpreter = {"rapidae_jax": Path(sys.executable)}
    assert speed.peers_run.check_all(interpreter, tmp_path / "rows.npy", missing) == {}
    assert missing == {"rapidae_jax": "TypeError: rows must be vectors."}


def test_turn_outweighs_the_cost_of_a_call(speed: Any):
    calls = []

    def ask(command: dict[str, int]) -> dict[str, float]:
        calls.append(command["run"])
        return {"seconds": 0.2 + 0.001 * command["run"]}

    worker = SimpleNamespace(ask=ask)
    assert speed.run.turn_length(worker, 5000) == round(1.2 * 512 / 0.712)
    assert calls == [4, 8, 16, 32, 64, 128, 256, 512]
    assert speed.run.turn_length(worker, 100) == 100


def test_every_peer_has_a_script_an_environment_and_a_name(speed: Any):
    environments, tables = speed.environments, {**speed.table.LABELS, **speed.peers_table.PACKAGES}
    peers = {**environments.PEERS, **environments.PACKAGE_PEERS}
    assert all((HERE / "peers" / f"{peer}.py").exists() for peer in (*peers, *environments.DEEP_PEERS))
    assert {*peers.values(), *environments.DEEP_PEERS.values()} == {*environments.ENVIRONMENTS}
    assert {*peers, *speed.peers_run.OURS} == {*tables}
    for environment in environments.ENVIRONMENTS.values():
        assert all("==" in pin for pin in (*environment.requirements, *environment.sdists))


@pytest.mark.parametrize(
    ("found", "page", "generator"),
    [("results", "README", "table"), ("deep", "deep", "deep_table"), ("peers", "peers", "peers_table")],
)
def test_pages_are_generated(speed: Any, tmp_path: Path, found: str, page: str, generator: str):
    record = HERE / f"{found}.json"
    if not record.exists():
        assert not (HERE / f"{page}.md").exists()
        return
    getattr(speed, generator).write_table(json.loads(record.read_text()), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (HERE / f"{page}.md").read_text()
