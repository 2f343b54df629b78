"""Several processes that train one model: the numbers of one, one that writes, and none that waits for the dead."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from console import Outcome, assert_one_line, history, listing
from contractive.distributed._watch import Watch
from contractive.runs import checkpoint_paths
from launching import SMALL_WINDOWS, ends, free_port, start, start_all, wait_for

JOB = ["--components", 7, "--epochs", 3, "--batch-size", 30, "--seed", 1, "--optimizer", "momentum"]
ENDLESS = [*JOB, "--epochs", 10**6]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL_WINDOWS.items():
        monkeypatch.setattr(f"contractive.training._stream.{name}", value)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (400, 36), dtype=np.uint8))


def train_all(size: int, *arguments: object, folder: Path, devices: int = 1, setup: str = "") -> list[Outcome]:
    """Train in some processes, of which only the first has anything to say."""
    outcomes = ends(start_all(size, *arguments, folder=folder, devices=devices, setup=setup))
    assert [outcome.code for outcome in outcomes] == [0] * size, outcomes
    assert outcomes[1:] == [Outcome(0, "", "")] * (size - 1)
    assert outcomes[0].err == ""
    return outcomes


def assert_same_numbers(one: Path, other: Path, rtol: float = 1e-4) -> None:
    """The weights and records of two runs, to float32's tolerance."""
    ours, theirs = (load_file(run / "model.safetensors") for run in (one, other))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], rtol=rtol, atol=rtol * np.abs(array).max(), err_msg=name)
    for record, expected in zip(history(one), history(other), strict=True):
        assert record["reconstruction_error"] == pytest.approx(expected["reconstruction_error"], rel=rtol)
        assert record["validation_error"] == (
            expected["validation_error"] and pytest.approx(expected["validation_error"], rel=rtol)
        )


JOBS: dict[str, tuple[int, int, list[object]]] = {
    "two": (2, 1, ["--contraction", 0.5, "--early-stopping"]),
    "in the rows' own order": (2, 1, ["--no-shuffle", "--optimizer", "adam"]),
    "four, which do not divide the batch": (4, 1, ["--batch-size", 33, "--weight-decay", 0.01]),
    "two devices each": (2, 2, ["--batch-size", 31, "--early-stopping"]),
    "random": (2, 1, ["--model", "dae", "--penalty", "hutchinson", "--contraction", 0.5]),
    "stack": (2, 1, ["--model", "stacked", "--hidden-layer-sizes", 9, "--joint-epochs", 1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_processes_train_to_the_numbers_of_one(call: Any, tmp_path: Path, name: str):
    size, devices, options = JOBS[name]
    outcome = train_all(size, "train", "x.npy", "--out", "run", *JOB, *options, folder=tmp_path, devices=devices)[0]
    assert outcome.out.startswith("epoch 1/")
    assert sorted(listing(tmp_path)) == sorted(
        ["x.npy", "run", *(f"run/{path.name}" for path in (tmp_path / "run").iterdir())]
    )
    assert call("train", "--config", "run/config.json", "--out", "one").code == 0  # which reads its rows, too
    assert_same_numbers(tmp_path / "run", tmp_path / "one")


@pytest.mark.slow
def test_sums_over_the_network_are_those_in_memory(tmp_path: Path):
    """As on machines apart, where two processes find no memory of each other's."""
    job = ["train", "x.npy", *JOB, "--batch-size", 31, "--model", "dae", "--contraction", 0.5]
    train_all(2, *job, "--out", "memory", folder=tmp_path)
    apart = "from contractive.distributed._exchange import SharedMemory; SharedMemory.prepare = lambda self: None; "
    train_all(2, *job, "--out", "network", folder=tmp_path, setup=apart)
    assert_same_numbers(tmp_path / "memory", tmp_path / "network")


@pytest.mark.slow
def test_float64_rows_are_trained_on_in_float64(call: Any, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(100, 6)))
    train_all(2, "train", "x.npy", "--out", "run", *JOB, folder=tmp_path)
    assert call("train", "--config", "run/config.json", "--out", "one").code == 0
    assert load_file(tmp_path / "run" / "model.safetensors")["weight"].dtype == np.float64
    assert_same_numbers(tmp_path / "run", tmp_path / "one", rtol=1e-12)


@pytest.mark.slow
def test_sigterm_of_one_ends_all_and_any_number_goes_on(call: Any, tmp_path: Path):
    processes = start_all(2, "train", "x.npy", "--out", "run", *ENDLESS, folder=tmp_path)
    wait_for(lambda: (tmp_path / "run" / "history.jsonl").exists())
    processes[1].send_signal(signal.SIGTERM)
    first, second = ends(processes)
    assert first.err.startswith("contractive: terminated; run holds the ")
    assert first.err.endswith("go on with `contractive resume run`.\n")
    assert (first.code, second) == (143, Outcome(143, "", ""))
    assert len(checkpoint_paths(tmp_path / "run")) == 1
    until = ["--epochs", len(history(tmp_path / "run")) + 2]
    (tmp_path / "run").rename(tmp_path / "stopped")
    for size in (1, 4):
        subprocess.run(["cp", "-r", "stopped", f"by{size}"], cwd=tmp_path, check=True)
    assert call("resume", "by1", *until).code == 0
    train_all(4, "resume", "by4", *until, folder=tmp_path)
    assert_same_numbers(tmp_path / "by1", tmp_path / "by4")
    assert call("train", "--config", "by1/config.json", "--out", "one", "--epochs", until[1]).code == 0
    assert_same_numbers(tmp_path / "by1", tmp_path / "one", rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "number", "devices"),
    [
        (0, signal.SIGKILL, 1),
        (0, signal.SIGKILL, 2),
        (1, signal.SIGKILL, 1),
        (1, signal.SIGSTOP, 1),
        (1, signal.SIGSTOP, 2),
    ],
)
def test_survivors_end_and_say_who_is_gone(tmp_path: Path, victim: int, number: signal.Signals, devices: int):
    """Where sums are made in memory, with one device each, and over the network, with two."""
    processes = start_all(3, "train", "x.npy", "--out", "run", *ENDLESS, folder=tmp_path, devices=devices)
    wait_for(lambda: (tmp_path / "run" / "history.jsonl").exists())
    processes[victim].send_signal(number)
    began = time.monotonic()
    survivors = ends([process for place, process in enumerate(processes) if place != victim], timeout=60)
    assert time.monotonic() - began < (60 if number == signal.SIGSTOP else 15)
    processes[victim].kill()
    processes[victim].communicate()
    for outcome in survivors:
        assert_one_line(outcome, f"process {victim} of 3", "training stopped", "`contractive resume run`", code=1)
    assert not [*(tmp_path / "run" / "checkpoints").glob(".*")]


@pytest.mark.slow
def test_error_in_one_process_ends_the_others(tmp_path: Path):
    """Process 0 may not replace the folder, which the other cannot know."""
    (tmp_path / "run").mkdir()
    first, second = ends(start_all(2, "train", "x.npy", "--out", "run", *JOB, folder=tmp_path))
    assert_one_line(first, "'run' exists")
    assert_one_line(second, "process 0 of 2 ended", code=1)
    assert listing(tmp_path / "run") == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch-size", 3], ["`batch_size`", "at least 4", "got 3", "fewer processes"]),
        (["--engine", "native"], ["`engine`", "'jax' or 'auto'", "'native'"]),
    ],
)
def test_job_that_cannot_be_shared_is_refused(tmp_path: Path, options: list[object], words: list[str]):
    for outcome in ends(start_all(2, "train", "x.npy", "--out", "run", *JOB, *options, folder=tmp_path, devices=2)):
        assert_one_line(outcome, *words)
    assert sorted(listing(tmp_path)) == ["x.npy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_rows", "options", "words"),
    [
        (3, [], ["a row to train on for each of the 4 devices", "got 3", "fewer processes"]),
        (3, ["--batch-size", 4], ["a row to train on for each of the 4 devices", "got 3", "fewer processes"]),
        (1, [], ["`x.npy`", "at least 2 rows", "got 1"]),
        (5, ["--batch-size", 6], ["`batch_size`", "at most", "5", "got 6"]),
    ],
)
def test_too_few_rows_are_refused(tmp_path: Path, n_rows: int, options: list[object], words: list[str]):
    np.save(tmp_path / "x.npy", np.zeros((n_rows, 36), np.uint8))
    job = ["train", "x.npy", "--out", "run", "--components", 7, *options]
    for outcome in ends(start_all(2, *job, folder=tmp_path, devices=2)):
        assert_one_line(outcome, *words)
    assert sorted(listing(tmp_path)) == ["x.npy"]


@pytest.mark.slow
def test_as_many_rows_as_devices_are_enough(call: Any, tmp_path: Path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (4, 36), dtype=np.uint8))
    train_all(2, "train", "x.npy", "--out", "run", "--components", 7, "--epochs", 2, folder=tmp_path, devices=2)
    assert call("train", "--config", "run/config.json", "--out", "one").code == 0
    assert_same_numbers(tmp_path / "run", tmp_path / "one")


@pytest.fixture
def impatient() -> str:
    """What makes a process wait for two seconds only."""
    return "import contractive.distributed._group as group; group.join.__defaults__ = (None, None, None, 2, None); "


def test_process_0_that_is_not_there_is_named(tmp_path: Path, impatient: str):
    port = free_port()
    [outcome] = ends([start(port, 2, 1, "train", "x.npy", "--out", "run", *JOB, folder=tmp_path, setup=impatient)])
    assert_one_line(outcome, f"process 0 is not at 127.0.0.1:{port} after 2 s")
    assert sorted(listing(tmp_path)) == ["x.npy"]


@pytest.mark.slow
def test_processes_that_do_not_come_are_named(tmp_path: Path, impatient: str):
    [outcome] = ends(
        [start(free_port(), 3, 0, "train", "x.npy", "--out", "run", *JOB, folder=tmp_path, setup=impatient)]
    )
    assert_one_line(outcome, "processes 1, 2 of 3 did not come", "within 2 s")
    assert sorted(listing(tmp_path)) == ["x.npy"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--distributed"], ["no cluster was detected", "--coordinator HOST:PORT"]),
        (["--distributed", "--coordinator", "a:1", "--processes", 2], ["not all of a process's place"]),
        (["--distributed", "--coordinator", "a", "--processes", 2, "--process-id", 0], ["HOST:PORT", "'a'"]),
        (["--distributed", "--coordinator", "a:1", "--processes", 2, "--process-id", 2], ["0 to 1", "got 2"]),
        (["--distributed", "--coordinator", "a:1", "--processes", 0, "--process-id", 0], [">= 1", "got 0"]),
        (["--processes", 2], ["`--processes`", "--distributed", "got 2"]),
    ],
)
def test_place_that_makes_no_sense_is_refused(refused: Any, options: list[object], words: list[str]):
    refused(["train", "x.npy", "--out", "run", *JOB, *options], words)


def test_run_whose_rows_were_in_memory_stays_with_one_process(refused: Any, call: Any):
    assert call("train", "x.npy", "--out", "run", *JOB, "--checkpoint-every", "1epoch").code == 0
    refused(["resume", "run", "--distributed"], ["`--distributed`", "'run'", "in memory"])


def test_slurm_says_where_a_process_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from contractive.distributed._meeting import Place, found_place

    variables = {"JOB_ID": "4097", "STEP_NODELIST": "node[003-005],x", "NTASKS": "4", "PROCID": "2", "LOCALID": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert found_place(None, None, None, 1) == Place("node003", 61441, 4, 2, [1])
    assert found_place("a:7", None, None, 1) == Place("a", 7, 4, 2, [1])


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Watch, socket.socket, list[str]]]:
    """What watches process 1 of 2 with little patience, process 1's end of the line, and what was said."""
    for name, seconds in (("_EVERY", 0.05), ("_SILENCE", 0.6), ("_GRACE", 0.1)):
        monkeypatch.setattr(f"contractive.distributed._watch.{name}", seconds)
    here, there = socket.socketpair()
    said: list[str] = []
    watch = Watch({here: 1}, 2, said.append)
    yield watch, there, said
    watch.close()
    there.close()


def test_watch_says_who_hung_up(watched: tuple[Watch, socket.socket, list[str]]):
    watch, there, said = watched
    there.close()
    watch.wait()
    assert said == ["process 1 of 2 ended"]


def test_watch_says_who_is_silent(watched: tuple[Watch, socket.socket, list[str]]):
    watch, there, said = watched
    for _ in range(10):
        there.sendall(bytes(5))
        time.sleep(0.1)
    assert said == []
    watch.wait()
    assert said == ["process 1 of 2 has not answered for 0.6 s"]


def test_watch_passes_on_who_is_gone(watched: tuple[Watch, socket.socket, list[str]]):
    watch, there, said = watched
    there.sendall(bytes([2, 0, 0, 0, 3]))
    watch.wait()
    assert said == ["process 3 of 2 ended"]


@pytest.mark.parametrize("here", [True, False])
def test_watch_lets_those_go_who_take_leave(watched: tuple[Watch, socket.socket, list[str]], here: bool):
    watch, there, said = watched
    if here:
        watch.leave()
    else:
        there.sendall(bytes([1, 0, 0, 0, 0]))
        there.close()
    time.sleep(0.5)
    assert said == []
    assert not here or there.recv(1 << 10)[-5:] == bytes([1, 0, 0, 0, 0])
