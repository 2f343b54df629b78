"""The page of measurements of scale is what its generator makes of the results that are recorded."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "benchmarks" / "scale"


@pytest.fixture(scope="module")
def table() -> Any:
    specification = importlib.util.spec_from_file_location("scale_table", HERE / "table.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_page_is_generated(table: Any):
    assert (HERE / "README.md").read_text() == table.markdown(HERE / "results")


def test_miss_is_said(table: Any, tmp_path: Path):
    machine = {"processor": "p", "cores": 2, "load_average": 0.1}
    for share, said in ((0.95, "95 % of 10 |"), (0.5, "50 % of 10 **(missed)** |")):
        found = {
            "machine": machine,
            "share_of_memory": {"npy": share, "parquet": 0.8},
            "rows_per_second": {"memory": [10]},
        }
        (tmp_path / "speed.json").write_text(json.dumps(found))
        assert said in table.markdown(tmp_path)
    assert table.markdown(tmp_path).count("| – |") == 14  # nothing is known of the others


def test_costs_are_shown_with_their_parts(table: Any, tmp_path: Path):
    host = {
        "predicted": 0.05,
        "parts": {"computing": 0.04, "bytes": 0.01},
        "efficiency": 0.8,
        "epoch": 90,
        "limit": "bytes",
    }
    found = {
        "machine": {"processor": "p", "cores": 2, "load_average": 0.1},
        "job": {"features": 784, "units": 500, "batch_a_process": 1000},
        "checked": {
            n: {"predicted": 0.1, "measured": 0.08, "error": error} for n, error in (("1", 0.2), ("2", 0), ("4", -0.21))
        },
        "assumed": {"gigabits": 25, "message_us": 50, "disk_mb": 500, "host_rows": 10**9},
        "hosts": {"1024": host},
    }
    (tmp_path / "cost.json").write_text(json.dumps(found))
    page = table.markdown(tmp_path)
    assert [page.count(words) for words in (": +20 % |", ": +0 % |", ": -21 % **(missed)** |")] == [1, 1, 1]
    assert page.endswith(
        "| hosts | minibatch | computing | bytes | efficiency | epoch | most is lost to |\n"
        "|---|---|---|---|---|---|---|\n"
        "| 1,024 | 50.0 | 40.0 | 10.0 | 80 % | 1.5 min | bytes |\n"
    )


def test_failures_of_all_formats_are_counted(table: Any, tmp_path: Path):
    machine = {"processor": "p", "cores": 2, "load_average": 0.1}
    counts = {"inputs": 500_000, "read": 3, "refused": 499_997, "failures": 0, "guided": 7}
    found = {"machine": machine, "formats": {"idx": counts, "npy": counts}}
    (tmp_path / "fuzz.json").write_text(json.dumps(found))
    page = table.markdown(tmp_path)
    assert "| 1,000,000, 14 of them by Atheris |" in page
    assert "| 0; 6 were read as another reader reads them |" in page
    found["formats"]["png"] = counts | {"failures": 2, "inputs": 1}
    found["formats"]["npy"] = counts | {"inputs": 1}
    (tmp_path / "fuzz.json").write_text(json.dumps(found))
    page = table.markdown(tmp_path)
    assert "| 500,002, 21 of them by Atheris **(missed)** |" in page
    assert "| 2; 9 were read as another reader reads them **(missed)** |" in page
