"""Runs that were stopped in any way go on from their checkpoints to the bits of runs that were not."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console import Outcome, assert_one_line, history, interrupt, listing, spawn, start, weights
from contractive.runs import Checkpoints, Every, RunFolder, checkpoint_paths

pytestmark = pytest.mark.usefixtures("quickly_compiled")

JOB = ["--components", 7, "--epochs", 3, "--batch-size", 10, "--seed", 1]
TIMELESS = ("epoch", "reconstruction_error", "jacobian_norm", "validation_error")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (400, 36), dtype=np.uint8))
    return tmp_path / "x.npy"


@pytest.fixture
def stopped(call: Any, rows: Path, tmp_path: Path) -> Path:
    """A run with checkpoints of its epochs, as if it had been killed in the last, and `whole`, which was not."""
    for name in ("whole", "run"):
        assert call("train", "x.npy", "--out", name, *JOB, "--checkpoint-every", "1epoch").code == 0
    checkpoint_paths(tmp_path / "run")[0].unlink()
    return tmp_path / "run"


def records(run: Path) -> list[list[Any]]:
    return [[record[name] for name in TIMELESS] for record in history(run)]


def assert_same_run(one: Path, other: Path) -> None:
    assert weights(one) == weights(other)
    assert records(one) == records(other)
    for name in ("filters.png", "curves.png", "config.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_run_goes_on_to_the_same_bits(call: Any, stopped: Path, tmp_path: Path):
    outcome = call("resume", "run")
    assert outcome.code == 0
    assert outcome.out.startswith("run: on from epoch 3\nepoch 3/3")
    assert_same_run(stopped, tmp_path / "whole")
    assert call("resume", "run").out.splitlines()[0] == "run: on from epoch 4"  # nothing is left to do
    assert_same_run(stopped, tmp_path / "whole")


def test_more_epochs_can_be_asked_for(call: Any, stopped: Path, tmp_path: Path):
    assert call("resume", "run", "--epochs", 5).code == 0
    assert call("train", "x.npy", "--out", "five", *JOB, "--epochs", 5).code == 0
    assert_same_run(stopped, tmp_path / "five")


def test_fewer_epochs_than_are_finished_are_refused(refused: Any, stopped: Path):
    refused(["resume", "run", "--epochs", 1], ["`--epochs`", "at least the 2", "got 1"])


def test_epochs_of_a_stack_are_its_layers(refused: Any, call: Any, rows: Path):
    stack = ["--model", "stacked", "--hidden-layer-sizes", 5, *JOB, "--checkpoint-every", "1epoch"]
    assert call("train", "x.npy", "--out", "run", *stack).code == 0
    refused(["resume", "run", "--epochs", 9], ["`--epochs` must not be given for a stack", "9"])


def test_damaged_checkpoint_is_said_and_the_one_before_it_taken(call: Any, stopped: Path, tmp_path: Path):
    newest = checkpoint_paths(stopped)[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    outcome = call("resume", "run")
    assert outcome.code == 0
    assert str(newest).removeprefix(f"{tmp_path}/") in outcome.err
    assert "altered" in outcome.err
    assert outcome.out.startswith("run: on from epoch 2")
    assert_same_run(stopped, tmp_path / "whole")


def test_run_without_a_whole_checkpoint_is_refused(call: Any, stopped: Path):
    for path in checkpoint_paths(stopped):
        path.write_bytes(path.read_bytes()[:-1])
    before = listing(stopped)
    outcome = call("resume", "run")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert ["truncated" in line for line in lines] == [True, True, False]
    assert "'run' must hold a whole checkpoint to go on from; it holds none." in lines[-1]
    assert listing(stopped) == before


@pytest.mark.parametrize("data", [np.zeros((399, 36), np.uint8), np.zeros((400, 36), np.float32)])
def test_other_data_than_training_began_with_is_refused(refused: Any, stopped: Path, rows: Path, data: np.ndarray):
    np.save(rows, data)
    what = "shape" if len(data) < 400 else "dtype"
    refused(["resume", "run"], ["'x.npy'", f"must be of {what}", "'run' began"])


def test_data_that_is_gone_is_named(refused: Any, stopped: Path, rows: Path):
    rows.unlink()
    refused(["resume", "run"], ["'x.npy'", "gone", "Put it back"])


def test_folder_that_is_no_run_is_refused(refused: Any, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        refused(["resume", name], [f"'{name}'", "run folder", "config.json"])


def test_run_that_had_no_checkpoints_says_how_to_have_them(refused: Any, call: Any, rows: Path):
    assert call("train", "x.npy", "--out", "run", *JOB, "--checkpoint-every", "never").code == 0
    refused(["resume", "run"], ["'run'", "whole checkpoint", "--checkpoint-every"])


@pytest.mark.parametrize("text", ["", "5", "m", "0s", "-1s", "0epochs", "1.5epochs", "5 m"])
def test_interval_that_is_none_is_refused(refused: Any, rows: Path, text: str):
    refused(
        ["train", "x.npy", "--out", "run", "--checkpoint-every", text],
        ["`--checkpoint-every`", "30s, 5m, 1h, 2epochs or never", repr(text)],
    )


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("30s", Every(seconds=30)),
        ("1.5m", Every(seconds=90)),
        ("2h", Every(seconds=7200)),
        ("1epoch", Every(epochs=1)),
        ("12epochs", Every(epochs=12)),
        ("never", Every()),
    ],
)
def test_intervals_are_read(text: str, every: Every):
    assert Every.read(text) == every


def test_only_the_newest_checkpoints_stay(call: Any, rows: Path, tmp_path: Path):
    options = ["--epochs", 5, "--checkpoint-every", "1epoch", "--keep-checkpoints", 2]
    assert call("train", "x.npy", "--out", "run", *JOB, *options).code == 0
    assert [path.stem for path in checkpoint_paths(tmp_path / "run")] == ["000005", "000004"]
    assert call("train", "x.npy", "--out", "two", *JOB, "--epochs", 5, "--checkpoint-every", "2epochs").code == 0
    assert [path.stem for path in checkpoint_paths(tmp_path / "two")] == ["000003", "000002", "000001"]  # 2, 4 and 5


def test_run_that_replaces_another_has_checkpoints_of_its_own(call: Any, stopped: Path):
    assert len(checkpoint_paths(stopped)) == 2
    assert call("train", "x.npy", "--out", "run", *JOB, "--overwrite").code == 0
    assert checkpoint_paths(stopped) == []
    assert call("train", "x.npy", "--out", "run", *JOB, "--overwrite", "--checkpoint-every", "3epochs").code == 0
    assert [path.stem for path in checkpoint_paths(stopped)] == ["000001"]


def test_time_between_checkpoints_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("contractive.runs.time.monotonic", lambda: now)
    folder = RunFolder(tmp_path / "run")
    checkpoints = Checkpoints(folder, every=Every(seconds=60), keep=3, complain=print)
    due = []
    for step in range(8):
        now = 25.0 * step
        due.append(checkpoints.is_due(0))
        if due[-1]:
            checkpoints.write({}, {}, 0)
            checkpoints.finish()
    checkpoints.close()
    assert [25 * number for number, is_due in enumerate(due) if is_due] == [75, 150]
    assert len(checkpoint_paths(tmp_path / "run")) == 2


def test_checkpoint_that_cannot_be_written_is_said_and_training_goes_on(
    call: Any, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("contractive.runs.write_checkpoint", refuse)
    outcome = call("train", "x.npy", "--out", "run", *JOB, "--checkpoint-every", "1epoch")
    assert outcome.code == 0
    assert (
        outcome.err.splitlines()
        == ["contractive: a checkpoint could not be written (No space left on device); older ones stay."] * 3
    )
    assert len(history(tmp_path / "run")) == 3


@pytest.fixture
def long_job(tmp_path: Path) -> list[object]:
    """A training of some epochs of seconds."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (20_000, 64), dtype=np.uint8))
    return ["train", "x.npy", "--components", 16, "--batch-size", 4, "--epochs", 3]


@pytest.mark.slow
def test_sigterm_in_the_first_epoch_leaves_a_checkpoint_to_go_on_from(long_job: list[object], tmp_path: Path):
    long_job += ["--epochs", 1]
    assert spawn(*long_job, "--out", "whole", folder=tmp_path).code == 0
    process = start(*long_job, "--out", "run", folder=tmp_path)
    deadline = time.monotonic() + 60
    while not [*tmp_path.glob(".run.*")] and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert_one_line(Outcome(process.returncode, out, err), "terminated", "0 finished epochs", "resume run", code=143)
    assert sorted(listing(tmp_path / "run")) == ["checkpoints", "checkpoints/000001.safetensors", "config.json"]
    outcome = spawn("encode", "run", "x.npy", "--out", "h.npy", folder=tmp_path)
    assert_one_line(outcome, "'run'", "has checkpoints but no model", "contractive resume run")
    assert spawn("resume", "run", folder=tmp_path).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_in_a_later_epoch_can_be_gone_on_from(long_job: list[object], tmp_path: Path):
    assert spawn(*long_job, "--out", "whole", folder=tmp_path).code == 0
    process = start(*long_job, "--out", "run", folder=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    outcome = interrupt(process)
    assert_one_line(outcome, "interrupted", "contractive resume run", code=130)
    assert spawn("resume", "run", folder=tmp_path).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.1])
def test_killed_run_goes_on(long_job: list[object], tmp_path: Path, delay: float):
    assert spawn(*long_job, "--out", "whole", folder=tmp_path).code == 0
    process = start(*long_job, "--out", "run", "--checkpoint-every", "0.1s", folder=tmp_path)
    deadline = time.monotonic() + 60
    while not checkpoint_paths(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.communicate()
    (tmp_path / "run" / "checkpoints" / ".000099.safetensors.dead.tmp").write_bytes(b"half")
    outcome = spawn("resume", "run", "--checkpoint-every", "0.1s", folder=tmp_path)
    assert outcome.code == 0, outcome
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert not [*(tmp_path / "run" / "checkpoints").glob(".*")]


def test_rows_that_did_not_fit_are_read_again_after_going_on(
    call: Any, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("contractive.training._stream._WINDOW_BYTES", 36 * 50)
    monkeypatch.setattr("contractive.training._stream._BLOCK_BYTES", 36 * 7)
    monkeypatch.setattr("contractive.cli._data.available_bytes", lambda: 0)
    outcome = call("train", "x.npy", "--out", "whole", *JOB, "--checkpoint-every", "1epoch")
    assert outcome.out.startswith("x.npy: 704 MiB in memory would pass 0 MiB; the rows are read again each epoch\n")
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["data"]["streamed"]
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    checkpoint_paths(tmp_path / "run")[0].unlink()
    monkeypatch.setattr("contractive.cli._data.available_bytes", lambda: 1 << 40)
    assert call("resume", "run", "--read-ahead", 3).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    # The same job from its settings is the same, too, however much memory there is.
    assert call("train", "--config", "whole/config.json", "--out", "again").code == 0
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    ("text", "words"), [("1MB", "at least 833 MiB for these rows; got 1 MiB"), ("many", "size such as 2GiB")]
)
def test_memory_that_is_none_or_too_little_is_refused(refused: Any, rows: Path, text: str, words: str):
    refused(["train", "x.npy", "--out", "run", "--memory", text], ["`--memory`", words])


@pytest.mark.slow
def test_training_stays_within_the_memory_that_it_is_given(tmp_path: Path):
    rows = np.random.default_rng(0).integers(0, 256, (800_000, 784), dtype=np.uint8)  # 600 MiB
    np.save(tmp_path / "x.npy", rows)
    del rows
    # Not `ru_maxrss`, which a process inherits from the one that starts it.
    probe = "import sys; from contractive.cli import run; sys.argv[0] = 'contractive'\n"
    probe += "try:\n    run()\nfinally:\n    status = open('/proc/self/status').read()\n"
    probe += "    print(int(status.partition('VmHWM:')[2].split()[0]) >> 10)"
    command = ["train", "x.npy", "--out", "run", "--components", "20", "--batch-size", "1000", "--epochs", "1"]

    def tried(memory: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", probe, *command, "--no-report", "--memory", memory]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    least = re.search(r"must be at least (\d+) MiB", tried("1MiB").stderr)
    assert least is not None
    out = tried(f"{least[1]}MiB").stdout
    assert "the rows are read again each epoch" in out
    assert int(out.split()[-1]) <= int(least[1])


def test_ctrl_c_that_comes_while_a_chunk_is_looked_at_is_answered_with_a_checkpoint(
    call: Any, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def is_due(self: Checkpoints, n_epochs: int) -> bool:
        if n_epochs == 1:  # it is too late for this chunk, whose signals have been looked at
            os.kill(os.getpid(), signal.SIGINT)
        return False

    monkeypatch.setattr(Checkpoints, "is_due", is_due)
    outcome = call("train", "x.npy", "--out", "run", *JOB)
    assert_one_line(outcome._replace(out=""), "interrupted", "contractive resume run", code=130)
    assert len(checkpoint_paths(tmp_path / "run")) == 1
