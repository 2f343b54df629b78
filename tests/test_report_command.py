"""`contractive report`, and the page that `train` ends with."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console import Outcome, assert_one_line, call_in, interrupt, start
from pages import Page, assert_alone
from toys import X

Call = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("module_quickly_compiled")


@pytest.fixture(scope="module")
def trained(module_quickly_compiled: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    np.save(folder / "x.npy", X[:80])
    outcome = call_in(folder, "train", "x.npy", "--components", 4, "--epochs", 1, "--out", "run", "--report")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1].endswith("filters.png, report.html")
    return folder


def test_the_data_of_a_run_is_found_from_another_folder(trained: Path, tmp_path: Path):
    outcome = call_in(tmp_path, "report", trained / "run")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("80 of 80 rows of x.npy\n")
    config = json.loads((trained / "run" / "config.json").read_text())
    config["data"]["name"] = "digits"
    other = tmp_path / "other"
    shutil.copytree(trained / "run", other)
    (other / "config.json").write_text(json.dumps(config))
    (tmp_path / "digits").write_text("no data set")
    assert "rows of digits" in call_in(tmp_path, "report", "other").out


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no page of this."), "no page of this."),
        (OSError(28, "No space left on device"), "'{report}': No space left on device."),
        (OSError("no disk"), "'{report}': no disk."),
    ],
)
def test_what_trained_stays_where_the_report_cannot_be_written(
    trained: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
):
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("contractive.report.write_report", refuse)
    arguments = ["train", "x.npy", "--components", 2, "--epochs", 1, "--out", "other", "--report", "--overwrite"]
    said = said.format(report=Path("other") / "report.html")
    assert_one_line(call_in(trained, *arguments), f"{said} other holds all but report.html.")
    assert "model.safetensors" in {path.name for path in (trained / "other").iterdir()}


def test_the_report_of_a_lone_model_file_replaces_nothing_unasked(trained: Path):
    (trained / "lone").mkdir()
    shutil.copy(trained / "run" / "model.safetensors", trained / "lone" / "model.safetensors")
    (trained / "lone" / "report.html").write_text("mine")
    arguments = ["report", "lone/model.safetensors", "x.npy"]
    assert_one_line(call_in(trained, *arguments), "'lone/report.html' exists", "--overwrite")
    assert (trained / "lone" / "report.html").read_text() == "mine"
    assert call_in(trained, *arguments, "--overwrite").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("delay", np.linspace(1, 7, 13).tolist())
def test_ctrl_c_ends_a_report_in_a_line(trained: Path, tmp_path: Path, delay: float):
    shutil.copytree(trained, tmp_path / "there")
    (tmp_path / "there" / "run" / "report.html").unlink(missing_ok=True)
    process = start("report", "run", folder=tmp_path / "there")
    time.sleep(delay)
    outcome = interrupt(process)
    if outcome.code:  # it may have been done
        assert (outcome.code, outcome.err) == (130, "contractive: interrupted.\n")
        assert not (tmp_path / "there" / "run" / "report.html").exists()


def test_train_writes_the_page_that_report_writes(trained: Path):
    made = (trained / "run" / "report.html").read_text()
    page = Page(made)
    assert_alone(page)
    assert page.facts()["Data"] == "x.npy"
    (trained / "run" / "report.html").unlink()
    outcome = call_in(trained, "report", "run")
    assert re.fullmatch(r"wrote run/report.html: 0\.\d MB, 80 of 80 rows of x.npy\n", outcome.out), outcome
    assert (trained / "run" / "report.html").read_text() == made
    # Again, on other rows, into another file, which is not replaced unless that is asked for.
    options = ["report", "run", "digits", "--out", "r.html", "--rows", 50, "--image-shape", "4x16"]
    assert "50 of 1,297 rows of digits" in call_in(trained, *options).out
    first = (trained / "r.html").read_bytes()
    assert_one_line(call_in(trained, *options), "'r.html' exists", "--overwrite")
    assert (trained / "r.html").read_bytes() == first
    assert call_in(trained, *options, "--overwrite", "--seed", 1).code == 0
    assert (trained / "r.html").read_bytes() != first


def test_model_file_has_a_page_beside_it(trained: Path):
    shutil.copy(trained / "run" / "model.safetensors", trained / "alone.safetensors")
    call = call_in(trained, "report", "alone.safetensors", "x.npy", "--out", "alone.html")
    assert (call.code, call.err) == (0, "")
    assert "<title>alone: what it learned</title>" in (trained / "alone.html").read_text()


def edited(folder: Path, change: Callable[[Path], object]) -> Path:
    """A copy of the run with something wrong in it."""
    shutil.copytree(folder / "run", folder / "wrong", dirs_exist_ok=True)
    (folder / "wrong" / "report.html").unlink(missing_ok=True)
    change(folder / "wrong")
    return folder / "wrong"


def with_config(**values: Any) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        config = json.loads((run / "config.json").read_text()) | values
        (run / "config.json").write_text(json.dumps(config))

    return change


def newer(run: Path) -> None:
    path = run / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content.replace(rb"{\"version\": \"1\"", rb"{\"version\": \"2\""))
    assert path.read_bytes() != content


WRONG: list[tuple[str, Callable[[Path], object], list[object], list[str]]] = [
    ("data that is gone", with_config(data={"name": "gone.npy"}), [], ["'gone.npy', the data of", "is gone", "DATA"]),
    ("no word of data", with_config(data=None), [], ["no config.json that names its data", "DATA"]),
    ("no config", lambda run: (run / "config.json").unlink(), [], ["no config.json that names its data"]),
    ("broken config", lambda run: (run / "config.json").write_text("{"), [], ["must be JSON; it is not"]),
    (
        "config that is no object",
        lambda run: (run / "config.json").write_text("[]"),
        [],
        ["must hold settings by name"],
    ),
    ("data of another width", lambda run: None, ["wide.npy"], ["must have 64 columns", "(4, 9)"]),
    ("no rows", lambda run: None, ["empty.npy"], ["at least one row", "(0, 64)"]),
    ("NaN", lambda run: None, ["nan.npy"], ["among the 3 rows drawn", "must be finite; got NaN"]),
    ("picture size", lambda run: None, ["--image-shape", "7x7"], ["`--image-shape` must be", "64 features", "'7x7'"]),
    ("picture size of the run", with_config(image_shape="7x7"), [], ["`--image-shape` must be", "'7x7'"]),
    ("newer model", newer, [], ["must be of version 1", "got 2", "Use the contractive that wrote it"]),
    ("other ending", lambda run: None, ["--out", "r.pdf"], ["`--out` must end in .html"]),
    ("no folder to write to", lambda run: None, ["--out", "none/r.html"], ["none/r.html", "No such file"]),
    ("no run", lambda run: (run / "model.safetensors").unlink(), [], ["a folder without model.safetensors"]),
]


@pytest.mark.parametrize(("what", "change", "options", "words"), WRONG, ids=[case[0] for case in WRONG])
def test_wrong_input_is_one_line_and_writes_nothing(
    trained: Path, what: str, change: Callable[[Path], object], options: list[object], words: list[str]
):
    np.save(trained / "wide.npy", np.zeros((4, 9), np.float32))
    np.save(trained / "empty.npy", np.zeros((0, 64), np.float32))
    np.save(trained / "nan.npy", np.full((3, 64), np.nan, np.float32))
    edited(trained, change)
    try:
        before = sorted(trained.rglob("*"))
        assert_one_line(call_in(trained, "report", "wrong", *options), *words)
        assert sorted(trained.rglob("*")) == before
    finally:
        shutil.rmtree(trained / "wrong")


def test_classifier_is_refused_with_a_remedy(call: Call, tmp_path: Path):
    np.savez(tmp_path / "x.npz", X=X[:20], y=np.arange(20) % 2)
    options = ["--layers", 3, "--pretraining-epochs", 1, "--epochs", 1]
    assert call("classify", "x.npz", "--out", "run", *options).code == 0
    assert_one_line(call("report", "run"), "must hold an auto-encoder; got a ContractiveClassifier", "representation")
