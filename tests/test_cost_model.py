"""The model of what a minibatch costs with several processes, by values worked out by hand."""

import sys
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "benchmarks" / "scale"


@pytest.fixture(scope="module")
def model() -> Any:
    sys.path.insert(0, str(HERE))
    try:
        return import_module("cost_model")
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture
def machine(model: Any) -> Any:
    return model.Machine(
        computing=0.04,
        crowding=1.25,
        spread=0.003,
        reading=0.01,
        disk=inf,
        calling=0.002,
        agreeing=0.001,
        latency=0.0001,
        bandwidth=1e9,
    )


SIZES = {"gradient_bytes": 2e6, "rows_bytes": 1e6}


def test_one_process_computes_reads_and_looks(model: Any, machine: Any):
    cost = model.predicted(machine, 1, **SIZES)
    assert cost == pytest.approx((0.04, 0.01, 0, 0, 0.004 / 5, 0, 0))  # five minibatches of 0.05 s last 0.25 s
    assert cost.total == pytest.approx(0.0508)


def test_two_on_two_cores_send_two_halves_each(model: Any, machine: Any):
    cost = model.predicted(machine, 2, crowded=True, **SIZES)
    # 0.05 + 0.01 + 0.002 + 0.0002 = 0.0622: four a chunk. The larger of two normal values is 0.56 on average, by Blom's
    # approximation 0.589.
    expected = (0.05, 0.01, 0.002, 0.0002, (0.002 + 2 * 0.0012) / 4, 0.003 * 0.589, 0)
    assert cost == pytest.approx(expected, rel=1e-3)


def test_four_on_two_cores_take_turns(model: Any, machine: Any):
    cost = model.predicted(machine, 4, sharing=2, crowded=True, **SIZES)
    # Six parts of half a megabyte each, and all of it twice as long: 0.1 + 0.02 + 0.006 + 0.0012, two a chunk.
    expected = (0.1, 0.02, 0.006, 0.0012, 2 * (0.002 + 2 * 0.0016) / 2, 0.003 * 2**0.5 * 0.589, 0)
    assert cost == pytest.approx(expected, rel=1e-3)


def test_many_send_each_byte_twice_and_wait_for_each_message(model: Any, machine: Any):
    cost = model.predicted(machine, 1001, **SIZES)
    assert cost.messages == pytest.approx(2000 * 0.0001)
    assert cost.bytes == pytest.approx(2 * 2e6 / 1e9, rel=2e-3)
    looking = 2 * (0.001 + 0.2)
    assert cost.chunks == pytest.approx((0.002 + looking) / round(5 / 0.254))  # five seconds at most
    assert 3 < cost.waiting / machine.spread < 3.5


def test_disk_is_waited_for_where_it_takes_longer(model: Any, machine: Any):
    slow = machine._replace(disk=1e7)  # 0.1 s for a minibatch of one process
    cost = model.predicted(slow, 1, **SIZES)
    assert cost.disk == pytest.approx(0.1 - 0.0508)
    assert cost.total == pytest.approx(0.1)
    assert model.predicted(machine._replace(disk=1e8), 1, **SIZES).disk == 0
