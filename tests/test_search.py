"""The search for settings: every candidate is recorded once, judged by validation rows, and nothing else is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.papers import TABLES, load_table
from benchmarks.papers.data import Split
from benchmarks.papers.rows import Row, Table, changed, test_error
from benchmarks.papers.search import RESULTS, Candidate, best_lines, is_taken_from, read_lines, search
from benchmarks.papers.search import __main__ as command_line
from benchmarks.papers.search.candidates import candidates_of, grid
from benchmarks.papers.trial import Trial

FITTED: list[float] = []
MEASURED: list[int] = []


class Guess:
    """As wrong as its rate is far from 3."""

    facts: dict[str, Any] = {}

    def __init__(self, rate: float):
        self._rate = rate

    def measure(self, rows: Split) -> dict[str, float]:
        MEASURED.append(len(rows.y))
        return {"error": abs(self._rate - 3), "log_loss": 0.0}


def guess(trial: Trial) -> Guess:
    FITTED.append(trial.settings["classifier"]["rate"])
    assert len(trial.train.y) == 1297, "a search must not train on validation rows"
    return Guess(trial.settings["classifier"]["rate"])


TABLE = Table(
    "stub",
    "Nobody, 1999",
    (Row("row", "Model", "digits", guess, {"classifier": {"rate": 1, "max_epochs": 9}, "refit": True}, test_error(1)),),
)
CANDIDATES = [Candidate("row", {"classifier.rate": rate}) for rate in (1, 2, 4, 3.5)]


def run(folder: Path, candidates: list[Candidate] = CANDIDATES) -> list[str]:
    said: list[str] = []
    FITTED.clear()
    MEASURED.clear()
    search(TABLE, candidates, folder, say=said.append)
    return said


def test_each_candidate_gets_a_line_and_the_best_is_found(tmp_path: Path):
    assert len(run(tmp_path)) == 4
    lines = read_lines(tmp_path / "stub.jsonl", "stub")
    assert [line.number for line in lines] == [2, 3, 4, 5]
    assert [line.record["validation"]["error"] for line in lines] == [2, 1, 1, 0.5]
    assert set(MEASURED) == {250}
    best = best_lines(lines)["row"]
    assert best.number == 5
    chosen = changed(TABLE.rows[0].settings, {"classifier.rate": 3.5, "classifier.max_epochs": 4})
    assert is_taken_from(chosen, best)  # a refit brings its own number of epochs
    assert not is_taken_from(TABLE.rows[0].settings, best)
    assert not is_taken_from({**chosen, "refit": False}, best)


def test_what_has_a_line_is_not_tried_again(tmp_path: Path):
    run(tmp_path, CANDIDATES[:2])
    run(tmp_path, [*CANDIDATES, *CANDIDATES])
    assert FITTED == [4, 3.5]


def test_a_line_cut_short_is_taken_away(tmp_path: Path):
    run(tmp_path)
    path = tmp_path / "stub.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_lines(path, "stub")) == 3
    run(tmp_path)
    assert FITTED == [3.5]
    assert [line.number for line in read_lines(path, "stub")] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            {"format": "contractive.papers.search", "version": 9, "table": "stub"},
            "got contractive.papers.search version 9",
        ),
        ({"format": "contractive.papers.search", "version": 1, "table": "other"}, "table other"),
        ({"version": 1}, "altered or foreign"),
        ([1], "altered or foreign"),
    ],
)
def test_a_search_of_another_version_is_refused_in_one_line(tmp_path: Path, header: Any, words: str):
    path = tmp_path / "stub.jsonl"
    path.write_text(f"{json.dumps(header)}\n")
    with pytest.raises(ValueError, match=r"stub\.jsonl' must be") as caught:
        run(tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == f"{json.dumps(header)}\n"
    assert FITTED == []


def test_a_grid_is_every_combination():
    assert [*grid({"a": (1, 2), "b": (3, 4)})] == [{"a": a, "b": b} for a in (1, 2) for b in (3, 4)]
    assert [*grid({("a", "b"): ((1, 3), (2, 4))})] == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    assert [*grid({})] == []


@pytest.mark.parametrize("name", TABLES)
def test_candidates_change_settings_that_are_there(name: str):
    table = load_table(name)
    for candidate in candidates_of(table):
        settings = changed(table.row(candidate.row).settings, candidate.changes)
        assert candidate.changes == {} or settings.keys() == table.row(candidate.row).settings.keys()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Run the search's own command on the stub, in the test's folder."""
    monkeypatch.setattr(command_line, "TABLES", ("stub",))
    monkeypatch.setattr(command_line, "load_table", lambda name: TABLE)
    monkeypatch.setattr(command_line, "candidates_of", lambda table: iter(CANDIDATES))

    def call(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["search", "stub", "--out", str(tmp_path), *arguments])
        command_line.main()

    return call


def test_the_command_searches_and_names_the_best(command: Callable[..., None], capsys: pytest.CaptureFixture[str]):
    command()
    assert "best of row: stub:5 {'classifier.rate': 3.5} {'error': 0.5, 'log_loss': 0.0}" in capsys.readouterr().out
    FITTED.clear()
    command("--best")
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert FITTED == []


def test_the_command_refuses_another_version_in_one_line(command: Callable[..., None], tmp_path: Path):
    (tmp_path / "stub.jsonl").write_text('{"format": "contractive.papers.search", "version": 2, "table": "stub"}\n')
    with pytest.raises(SystemExit) as caught:
        command()
    assert str(caught.value).startswith("search: ")
    assert "version 1, table stub; got contractive.papers.search version 2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_quick_search_is_no_record(command: Callable[..., None], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        command("--quick", "--out", str(RESULTS))
    assert "--out must be given for --quick" in capsys.readouterr().err
