"""The papers' tables: what is kept of a run, what it may resume from, and that test rows are read once, by it alone."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmarks.papers import TABLES, load_table
from benchmarks.papers.data import HeldOut, Split, load_data
from benchmarks.papers.page import page, spread, table_lines
from benchmarks.papers.rows import Number, Row, Table, changed, shrunk, test_error
from benchmarks.papers.runs import jobs_of, run_jobs
from benchmarks.papers.search import best_lines, is_taken_from, read_lines
from benchmarks.papers.store import Job
from benchmarks.papers.trial import UNLABELED, Trial, few_labels
from sklearn.neural_network import BernoulliRBM

from console import Outcome, assert_one_line, spawn, start
from contractive.cli import _reproduce
from contractive.cli._reproduce import load_papers

Call = Callable[..., Outcome]
PAPERS = Path(__file__).parents[1] / "benchmarks" / "papers"


class Guess:
    """Errs in a share of rows that its settings and seed say."""

    def __init__(self, error: float):
        self._error = error
        self.facts = {"saturation": 10 * error}
        self.measured: list[int] = []

    def measure(self, rows: Split) -> dict[str, float]:
        return {"error": self._error, "log_loss": float(len(rows.y))}


FITTED: list[tuple[float, int]] = []


def guess(trial: Trial) -> Guess:
    assert not any(isinstance(value, HeldOut) for value in vars(trial).values())
    FITTED.append((trial.settings["error"], trial.seed))
    return Guess(trial.settings["error"] + trial.seed)


def stub(*errors: float, **changes: Any) -> Table:
    """A table that takes no time: a row an error."""
    numbers = (*test_error(1.5), Number("saturated units, %", "facts.saturation"))
    rows = (Row(f"row{i}", f"Model {i}", "digits", guess, {"error": error}, numbers) for i, error in enumerate(errors))
    return Table(**({"name": "stub", "source": "Nobody, 1999, table 0", "rows": tuple(rows)} | changes))


def run(table: Table, folder: Path, *, seeds: int = 2, resume: bool = False) -> list[str]:
    said: list[str] = []
    FITTED.clear()
    run_jobs(jobs_of(table, folder, seeds=seeds, quick=False), quick=False, resume=resume, say=said.append)
    return said


def test_test_rows_are_read_once():
    rows = Split(np.zeros((2, 3)), np.arange(2))
    test = HeldOut(lambda: rows, 2)
    assert test.read_once("a final run") is rows
    with pytest.raises(RuntimeError, match="must be read once; they were read for 'a final run', now again for 'more'"):
        test.read_once("more")


def test_a_search_cannot_read_test_rows():
    data = load_data("digits", searching=True)
    with pytest.raises(RuntimeError, match="must not be read by a search"):
        data.test.read_once("a look")


def test_splits_are_those_of_the_data_set():
    train, valid, test = load_data("digits")
    assert (len(train.y), len(valid.y), test.n_rows, len(test.read_once("here").y)) == (1297, 250, 250, 250)


def test_a_result_holds_what_it_is_the_result_of(tmp_path: Path):
    said = run(stub(2.0), tmp_path, seeds=1)
    result = json.loads((tmp_path / "stub" / "row0-seed0.json").read_text())
    assert result["test"] == {"error": 2.0, "log_loss": 250.0}
    assert result["validation"] == {"error": 2.0, "log_loss": 250.0}
    assert result["settings"] == {"error": 2.0}
    assert result["rows"] == {"train": 1297, "valid": 250, "test": 250}
    assert (result["format"], result["version"]) == ("contractive.papers.result", 1)
    assert {"contractive", "jax", "numpy", "sklearn", "python"} == set(result["versions"])
    assert {"evaluation", "wall"} <= set(result["seconds"])
    assert said[0].startswith("stub row0 seed 0: test error, % 2.00, saturated units, % 20.00, validation 2.00 (")


def test_figures_leave_the_test_rows_alone(tmp_path: Path):
    row = Row("row", "Model", "digits", guess, {"error": 1.0}, (), reads_test=False)
    run(stub(rows=(row,)), tmp_path, seeds=1)
    assert json.loads((tmp_path / "stub" / "row-seed0.json").read_text())["test"] is None


def test_a_refit_trains_on_validation_rows_and_claims_nothing_of_them(tmp_path: Path):
    row = Row("row", "Model", "digits", guess, {"error": 1.0, "refit": True}, ())
    run(stub(rows=(row,)), tmp_path, seeds=1)
    result = json.loads((tmp_path / "stub" / "row-seed0.json").read_text())
    assert result["validation"] is None
    assert result["rows"]["train"] == 1297 + 250


def test_resume_runs_what_is_missing_only(tmp_path: Path):
    run(stub(2.0), tmp_path)
    before = (tmp_path / "stub" / "row0-seed0.json").stat().st_mtime_ns
    said = run(stub(2.0, 3.0), tmp_path, resume=True)
    assert FITTED == [(3.0, 0), (3.0, 1)]
    assert said[0] == "2 of 4 jobs were done before"
    assert (tmp_path / "stub" / "row0-seed0.json").stat().st_mtime_ns == before


def test_without_resume_results_are_replaced(tmp_path: Path):
    run(stub(2.0), tmp_path)
    run(stub(4.0), tmp_path)
    assert FITTED == [(4.0, 0), (4.0, 1)]
    assert json.loads((tmp_path / "stub" / "row0-seed1.json").read_text())["test"]["error"] == 5.0


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda result: {**result, "settings_digest": "0"}, "must be a result of the present settings"),
        (lambda result: {**result, "version": 7}, "version 1; got contractive.papers.result version 7"),
        (lambda result: {"a": 1}, "must be a result of `contractive reproduce`"),
        (lambda result: [], "must be a result of `contractive reproduce`"),
    ],
)
def test_results_of_another_kind_are_not_resumed_from(tmp_path: Path, alter: Callable[[Any], Any], words: str):
    run(stub(2.0), tmp_path)
    path = tmp_path / "stub" / "row0-seed1.json"
    path.write_text(json.dumps(alter(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"row0-seed1\.json") as caught:
        run(stub(2.0), tmp_path, resume=True)
    assert words in str(caught.value)
    assert FITTED == []


@pytest.mark.parametrize("kind", [OSError, ImportError])
def test_data_that_cannot_be_had_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]):
    def refuse(name: str, **options: Any) -> None:
        raise kind("no way there")

    monkeypatch.setattr("benchmarks.papers.runs.load_data", refuse)
    assert run(stub(2.0), tmp_path, seeds=1) == ["stub row0 seed 0: left out, its data cannot be had (no way there)"]
    assert not any(tmp_path.iterdir())


def test_spread_is_that_of_a_sample():
    assert spread([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1), 3))
    assert spread([3.0]) == (3.0, None, 1)


def test_a_table_shows_mean_deviation_seeds_and_gap(tmp_path: Path):
    run(stub(2.0, 1.0), tmp_path, seeds=3)
    run(stub(2.0), tmp_path, seeds=2)
    (tmp_path / "stub" / "row1-seed2.json").unlink()
    lines = table_lines(stub(2.0, 1.0, 5.0), tmp_path)
    command = "`contractive reproduce stub`"
    assert lines[6:12] == [
        f"| Model 0 | digits | test error, % | 3.00 ± 1.00 (3) | 1.50 | +1.50 | {command} |",
        f"| Model 0 | digits | saturated units, % | 30.00 ± 10.00 (3) | – | – | {command} |",
        f"| Model 1 | digits | test error, % | 1.50 ± 0.71 (2) | 1.50 | +0.00 | {command} |",
        f"| Model 1 | digits | saturated units, % | 15.00 ± 7.07 (2) | – | – | {command} |",
        f"| Model 2 | digits | test error, % | – | 1.50 | – | {command} |",
        f"| Model 2 | digits | saturated units, % | – | – | – | {command} |",
    ]


def test_results_of_other_settings_are_not_mixed_in(tmp_path: Path):
    run(stub(2.0), tmp_path)
    lines = table_lines(stub(7.0), tmp_path)
    assert "| – | 1.50 | – |" in lines[6]
    assert "2 result(s) of other settings are left out: run the command again." in lines


def test_the_page_of_the_repository_is_that_of_its_results():
    assert page(map(load_table, TABLES), PAPERS / "results") == (PAPERS / "README.md").read_text(), (
        "run `python -m benchmarks.papers`"
    )


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_short_and_whole(name: str):
    table = load_table(name)
    assert table.name == name
    assert len((PAPERS / f"{name.replace('-', '_')}.py").read_text().splitlines()) < 120
    assert len({row.key for row in table.rows}) == len(table.rows) > 0
    json.dumps([row.settings for row in table.rows], allow_nan=False)
    assert any(number.published is not None for row in table.rows for number in row.numbers)


def test_chosen_settings_are_the_best_line_of_their_search_when_they_were_frozen():
    for row in (row for name in TABLES for row in load_table(name).rows if row.chosen_by is not None):
        table, _, number = str(row.chosen_by).rpartition(":")
        lines = read_lines(PAPERS / "search" / "results" / f"{table}.jsonl", table)
        (line,) = (line for line in lines if line.number == int(number))
        assert is_taken_from(row.settings, line), row
        before = [other for other in lines if other.number <= line.number]  # a search may go on after a run
        assert line == best_lines(before)[line.record["row"]], row


def test_settings_are_changed_by_place():
    settings = {"layers": [{"rate": 1}, {"rate": 2}], "classifier": {"rate": 3}}
    assert changed(settings, {"layers.*.rate": 5, "classifier.more": 6}) == {
        "layers": [{"rate": 5}, {"rate": 5}],
        "classifier": {"rate": 3, "more": 6},
    }
    assert settings["layers"][0] == {"rate": 1}
    assert shrunk({"layers": [{"n_components": 1000, "max_epochs": 1}], "n_labels": None}) == {
        "layers": [{"n_components": 16, "max_epochs": 1}],
        "n_labels": None,
    }


@pytest.mark.parametrize("n_labels", [3, 10, 100])
def test_few_labels_are_of_all_classes(n_labels: int):
    train = load_data("digits").train
    y = few_labels(train, n_labels, 0)
    known = y != UNLABELED
    assert known.sum() == n_labels
    assert (y[known] == train.y[known]).all()
    counts = np.bincount(y[known], minlength=10)
    assert counts.max() - counts.min() <= 1
    assert (y != few_labels(train, n_labels, 1)).any()
    assert few_labels(train, None, 0) is train.y


def test_a_representation_is_trained_once_and_anew_when_its_file_was_altered(tmp_path: Path):
    train, valid, _ = load_data("digits")
    layer = {"kind": "cae", "n_components": 5, "max_epochs": 1, "loss": "cross_entropy"}

    def codes() -> np.ndarray:
        heard.clear()
        trial = Trial("digits", train, valid, {"layers": [layer]}, 0, cache=tmp_path, on_event=lambda: heard.append(1))
        representation = trial.representation()
        assert trial.seconds["pretraining"] > 0
        return representation.transform(valid.X)

    heard: list[int] = []
    first = codes()
    assert heard
    assert np.array_equal(codes(), first)
    assert not heard
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert np.array_equal(codes(), first)
    assert heard


@pytest.fixture
def papers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package of tables as the command line finds it, with the stub in the place of all tables."""
    module = load_papers()
    monkeypatch.setattr(module, "TABLES", ("stub",))
    monkeypatch.setattr(module, "load_table", lambda name: stub(2.0, 3.0))
    return module


@pytest.mark.usefixtures("papers")
def test_the_command_prints_jobs_and_table_and_writes_the_page(call: Call, tmp_path: Path):
    outcome = call("reproduce", "stub", "--seeds", 2, "--out", "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split(":")[0] for line in outcome.out.splitlines()[:4]] == [
        f"stub row{row} seed {seed}" for seed in (0, 1) for row in (0, 1)
    ]
    line = "| Model 0 | digits | test error, % | 2.50 ± 0.71 (2) | 1.50 | +1.00 | `contractive reproduce stub` |"
    assert line in outcome.out
    assert line in (tmp_path / "out" / "README.md").read_text()
    assert len([*(tmp_path / "out" / "stub").iterdir()]) == 4
    assert "4 of 4 jobs were done before" in call("reproduce", "all", "--seeds", 2, "--out", "out", "--resume").out


def test_ctrl_c_says_how_to_go_on(call: Call, papers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def interrupted(trial: Any) -> Guess:
        if trial.settings["error"] == 3.0:
            signal.raise_signal(signal.SIGINT)
            trial.callbacks[0](None, None)
        return Guess(1.0)

    rows = tuple(Row(row.key, row.model, "digits", interrupted, row.settings, ()) for row in stub(2.0, 3.0).rows)
    monkeypatch.setattr(papers, "load_table", lambda name: stub(rows=rows))
    assert_one_line(
        call("reproduce", "stub", "--seeds", 1, "--out", "out"),
        "interrupted; 1 job finished and kept. Go on with: contractive reproduce stub --resume --seeds 1 --out out",
        code=130,
    )
    assert [path.name for path in (tmp_path / "out" / "stub").iterdir()] == ["row0-seed0.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], ["`TABLE` must be all or one of", "got 'nothing'", *TABLES]),
        (["icml2011-table1", "--seeds", 0], ["--seeds", "0"]),
        (["icml2011-table1", "--quick", "--resume"], ["`--out` must be given to resume a --quick run"]),
        (["icml2011-table1", "--quick", "--out", PAPERS / "results"], ["`--out` must be another folder"]),
    ],
)
def test_wrong_calls_are_refused_in_one_line(refused: Callable[..., None], arguments: list[object], words: list[str]):
    refused(["reproduce", *arguments], words)


@pytest.mark.usefixtures("papers")
def test_results_of_another_version_are_refused_in_one_line(call: Call, refused: Callable[..., None], tmp_path: Path):
    call("reproduce", "stub", "--seeds", 1, "--out", "out")
    path = tmp_path / "out" / "stub" / "row0-seed0.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    refused(["reproduce", "stub", "--seeds", 1, "--out", "out", "--resume"], ["row0-seed0.json", "version 2"])


def test_an_installation_without_tables_says_so(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("contractive.cli._reproduce._places", lambda: (tmp_path / "here", tmp_path / "there"))
    monkeypatch.delitem(__import__("sys").modules, "contractive_papers", raising=False)
    refused(["reproduce", "mtc-table2"], ["the tables of the papers must be installed", "here", "there"])


def test_a_copy_inside_the_package_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    shutil.copytree(PAPERS, tmp_path / "_papers", ignore=shutil.ignore_patterns("results", "search", "__pycache__"))
    monkeypatch.setattr("contractive.cli._reproduce._places", lambda: (tmp_path / "none", tmp_path / "_papers"))
    monkeypatch.delitem(__import__("sys").modules, "contractive_papers", raising=False)
    assert load_papers().TABLES == TABLES
    monkeypatch.delitem(__import__("sys").modules, "contractive_papers")


@pytest.mark.slow
def test_killed_and_resumed_a_quick_run_repeats_nothing(tmp_path: Path):
    arguments = "reproduce", "icml2011-figure1", "--quick", "--out", "out"
    process = start(*arguments, folder=tmp_path)
    results = tmp_path / "out" / "icml2011-figure1"
    deadline = time.monotonic() + 120
    while not any(results.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert before
    outcome = spawn(*arguments, "--resume", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{len(before)} of 5 jobs were done before" in outcome.out
    assert outcome.out.count(" seed 0: ") == 5 - len(before)
    after = {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert len(after) == 5
    assert {name: after[name] for name in before} == before
    assert outcome.out.count("`contractive reproduce icml2011-figure1 --quick`") == 20


def test_jobs_that_a_quick_run_cannot_tell_apart_are_one(tmp_path: Path):
    table = load_table("mtc-table2")
    assert [job.row.key for job in jobs_of(table, tmp_path, seeds=None, quick=True)] == [
        *("cae+h-100", "mtc-100", "spectral-100", "both-100"),
        *("cae+h-600", "mtc-600", "both-600", "spectral-1000"),  # the settings of others, where there are more labels
        *("cae+h-all", "mtc-all", "spectral-all", "both-all"),
    ]
    assert len(jobs_of(table, tmp_path, seeds=None, quick=False)) == 4 * 10 + 12 * 3 + 4 * 3


def test_other_settings_or_data_give_another_digest(tmp_path: Path):
    row = stub(1.0).rows[0]
    others = (
        row,
        Row(row.key, "Another name", row.data, guess, row.settings, ()),  # how it is shown does not count
        Row("other", row.model, row.data, guess, row.settings, ()),
        Row(row.key, row.model, "mnist", guess, row.settings, ()),
        Row(row.key, row.model, row.data, guess, {"error": 1.5}, ()),
    )
    digests = [Job(stub(), other, 0, other.settings, tmp_path).digest for other in others]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_a_boltzmann_machine_is_held_by_an_auto_encoder(tmp_path: Path):
    train, valid, _ = load_data("digits")
    layer = {"kind": "rbm", "n_components": 7, "learning_rate": 0.05, "batch_size": 50, "max_epochs": 3}
    layer["loss"] = "cross_entropy"
    trial = Trial("digits", train, valid, {"layers": [layer]}, 4, cache=tmp_path)
    machine = BernoulliRBM(7, learning_rate=0.05, batch_size=50, n_iter=3, random_state=4).fit(train.X)
    for representation in (trial.representation(), trial.representation()):  # trained, then from the cache
        np.testing.assert_allclose(representation.transform(valid.X), machine.transform(valid.X), rtol=1e-5)
        assert (representation.max_epochs, representation.n_epochs_) == (3, 1)


def test_only_the_wanted_rows_are_run(tmp_path: Path):
    table = load_table("icml2011-table1")
    jobs = jobs_of(table, tmp_path, seeds=2, quick=False, only=["ae", "cae"])
    assert [(job.row.key, job.seed) for job in jobs] == [("cae", 0), ("ae", 0), ("cae", 1), ("ae", 1)]


def test_unknown_rows_list_the_known_ones(call: Call):
    assert_one_line(
        call("reproduce", "icml2011-table1", "--row", "svm"),
        "`--row` must be one of cae, cae-smooth, dae-g, rbm, dae-b, ae-wd, ae; got 'svm'.",
    )
    assert_one_line(call("reproduce", "all", "--row", "ae"), "`--row` must go with one TABLE; got 'ae' for all.")


def test_results_go_to_the_checkout_or_beside_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert _reproduce._results_folder() == PAPERS / "results"
    monkeypatch.setattr(_reproduce, "_recorded", lambda: tmp_path / "none" / "results")
    assert _reproduce._results_folder() == Path("papers")


def test_how_to_go_on_is_said_of_what_is_kept():
    assert _reproduce._how_to_go_on(("a",), 0, None, None, True, None).startswith("interrupted; nothing is kept")
    said = _reproduce._how_to_go_on(("a",), 2, 3, ["x"], False, Path("out"))
    assert said.endswith("contractive reproduce a --resume --row x --seeds 3 --out out")
    assert "2 jobs finished and kept" in said
