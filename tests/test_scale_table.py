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
    assert table.markdown(tmp_path).count("| – |") == 8  # nothing is known of the others
