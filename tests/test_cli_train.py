"""What a training shows and leaves on its way: early stopping, stacks, Ctrl-C and kills, the bar on a terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contractive
from console import COMMAND, Outcome, assert_one_line, history, interrupt, listing, start, weights, without_report
from contractive import ContractiveAutoencoder
from contractive.sources import open_rows

Call = Callable[..., Outcome]
# With such steps the error of the held-out rows rises again.
RISING: dict[str, Any] = {
    "n_components": 4,
    "early_stopping": True,
    "n_iter_no_change": 3,
    "tol": 0.0,
    "learning_rate": 0.3,
}
RISING_OPTIONS = ["--components", 4, "--early-stopping", "--n-iter-no-change", 3, "--tol", 0, "--learning-rate", 0.3]


def test_early_stopping_ends_early_and_keeps_the_best_weights(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[Any] = []
    monkeypatch.setattr("contractive.runs.learning_curves", lambda *curves, axes: drawn.extend(curves) or axes)
    outcome = call("train", "digits", "--out", "run", "--epochs", 40, "--seed", 1, *RISING_OPTIONS)
    assert (outcome.code, outcome.err) == (0, "")
    held_out = [record["validation_error"] for record in history(tmp_path / "run")]
    best = int(np.argmin(held_out)) + 1
    assert best < len(held_out) < 40

    learned: dict[int, bytes] = {}

    def watch(estimator: ContractiveAutoencoder, event: Any) -> None:
        if hasattr(event, "seconds"):
            learned[event.epoch] = estimator.components_.tobytes()

    same = ContractiveAutoencoder(max_epochs=40, random_state=1, callbacks=[watch], **RISING)
    same.fit(open_rows("digits").rows)
    assert same.validation_loss_curve_ == held_out
    assert weights(tmp_path / "run")["weight"] == learned[best] != learned[len(held_out)]
    # The same numbers are on the screen, in the picture and in the model.
    assert [re.findall(r"held out (\S+)", line) for line in outcome.out.splitlines()[:-1]] == [
        [f"{error:.4f}"] for error in held_out
    ]
    assert drawn[2] == held_out
    shown = call("inspect", "run").out
    assert re.search(rf"^weights of epoch +{best}$", shown, re.MULTILINE)
    assert re.search(rf"^error of held-out rows there +{min(held_out):.4f}$", shown, re.MULTILINE)


@pytest.mark.parametrize("options", [[], ["--early-stopping", "--no-early-stopping"]])
def test_nothing_is_held_out_where_it_is_not_asked_for(call: Call, tmp_path: Path, options: list[str]):
    outcome = call("train", "digits", "--out", "run", "--epochs", 1, "--components", 4, *options)
    assert "held out" not in outcome.out
    assert [record["validation_error"] for record in history(tmp_path / "run")] == [None]
    assert "held-out" not in call("inspect", "run").out


STACK = """
data = "x.npy"
model = "stacked"

[[layers]]
n_components = 5
max_epochs = 2

[[layers]]
model = "dae"
n_components = 3
max_epochs = 1000000
"""


@pytest.fixture
def second_layer(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that trains the second layer of a stack, for as long as it may."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(2000, 12)).astype(np.float32))
    (tmp_path / "stack.toml").write_text(STACK)
    process = start("train", "--config", "stack.toml", "--out", "run", folder=tmp_path)
    assert process.stdout is not None
    for epoch in (1, 2, 3, 4):
        assert process.stdout.readline().startswith(f"epoch {epoch}/1000002 ")
    yield process
    process.kill()
    process.communicate()


def assert_holds_two_layers(run: Path, epochs: int) -> None:
    """The folder holds a stack that is of use, with at least so many epochs."""
    stack = contractive.load(run / "model.safetensors")
    assert [type(layer).__name__ for layer in stack.layers_] == ["ContractiveAutoencoder", "DenoisingAutoencoder"]
    assert [layer.n_epochs_ for layer in stack.layers_] == [2, stack.n_epochs_ - 2]
    assert stack.n_epochs_ >= epochs
    assert stack.transform(np.zeros((2, 12), np.float32)).shape == (2, 3)
    assert stack.reconstruct(np.zeros((2, 12), np.float32)).shape == (2, 12)
    records = history(run)
    assert [record["epoch"] for record in records] == list(range(1, len(records) + 1))
    # The model is written first: killed in between, it is an epoch ahead.
    assert stack.n_epochs_ - len(records) in (0, 1)
    assert json.loads((run / "config.json").read_text())["model"] == "StackedAutoencoder"


@pytest.mark.slow
def test_kill_in_the_second_layer_leaves_the_stack_so_far(
    second_layer: "subprocess.Popen[str]", call: Call, tmp_path: Path
):
    second_layer.kill()
    second_layer.communicate()
    assert_holds_two_layers(tmp_path / "run", 4)
    assert call("encode", "run", "x.npy", "--out", "codes.npy").code == 0
    assert np.load(tmp_path / "codes.npy").shape == (2000, 3)
    assert "layer 2 model" in call("inspect", "run").out
    # What a kill may leave of a file under a name of its own is no file of a run.
    names = [name for name in listing(tmp_path / "run") if not Path(name).name.startswith(".")]
    assert names == ["config.json", "history.jsonl", "model.safetensors"]


def test_interrupt_in_the_second_layer_keeps_the_finished_epochs(second_layer: "subprocess.Popen[str]", tmp_path: Path):
    outcome = interrupt(second_layer)
    epochs = 4 + outcome.out.count("\n")
    assert_one_line(outcome, "interrupted", f"run holds the {epochs} finished epochs", code=130)
    assert_holds_two_layers(tmp_path / "run", epochs)
    assert len(history(tmp_path / "run")) == epochs
    expected = ["checkpoints", "checkpoints/000001.safetensors", "config.json", "history.jsonl", "model.safetensors"]
    assert sorted(listing(tmp_path / "run")) == expected


def test_cost_that_is_not_finite_later_keeps_the_finished_epochs_and_says_so(call: Call, tmp_path: Path):
    # One row of a size that only the second epoch's weights turn into infinity.
    np.save(tmp_path / "x.npy", np.full((8, 4), 1e15, np.float32))
    options = ["--optimizer", "sgd", "--learning-rate", 1, "--batch-size", 8, "--activation", "linear"]
    outcome = call("train", "x.npy", "--out", "run", "--components", 2, "--untied", "--contraction", 0, *options)
    assert_one_line(outcome, "not finite in epoch 2", "run holds the 1 finished epoch.")
    assert contractive.load(tmp_path / "run" / "model.safetensors").n_epochs_ == len(history(tmp_path / "run")) == 1


def on_terminal(*arguments: object, folder: Path, columns: int = 80) -> tuple[int, str]:
    """Run a real process on a pseudo-terminal of this width; its exit code and all that the terminal was sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [*COMMAND, *without_report(arguments)]
    with subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # how Linux says that the other side was closed
            pass
        finally:
            os.close(ours)
    return process.returncode, shown.decode()


def frames(shown: str) -> list[str]:
    """The states of the bar, one after the other, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return [frame for frame in re.split(r"[\r\n]+", plain) if frame.startswith("epoch ")]


def screen(shown: str) -> list[str]:
    """The lines that stand on the terminal in the end, by the few things that a bar does to them."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", shown):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return [line for line in lines if line]


@pytest.mark.slow
def test_progress_bar_counts_through_all_layers_with_both_numbers_and_the_time_left_on_80_columns(tmp_path: Path):
    sizes = ["--model", "stacked", "--hidden-layer-sizes", 6, "--components", 4]
    epochs = ["--epochs", 12, "--joint-epochs", 6]
    code, shown = on_terminal("train", "digits", "--out", "run", *sizes, *epochs, folder=tmp_path)
    assert code == 0
    counts = [re.match(r"epoch (\d+)/(\d+)", frame) for frame in frames(shown)]
    pairs = [(int(count[1]), int(count[2])) for count in counts if count]
    assert {total for _, total in pairs} == {30}
    assert pairs == sorted(pairs)
    last, record = screen(shown)[-2], history(tmp_path / "run")[-1]
    assert (record["epoch"], last) == (30, frames(shown)[-1])
    assert last.startswith("epoch 30/30 ━━━━━━━━ ")
    assert re.search(r"\b\d{1,2}:\d\d(:\d\d)?\b", last), "no time left"
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", last)]
    for name in ("reconstruction_error", "jacobian_norm"):
        assert any(number == pytest.approx(record[name], abs=0.006) for number in numbers), name
    assert max(map(len, frames(shown))) <= 80
    assert screen(shown)[-1].startswith("wrote run")


def test_refusal_stands_alone_on_a_terminal(tmp_path: Path):
    code, shown = on_terminal("train", "digits", "--out", "run", "--epochs", 0, folder=tmp_path)
    assert code == 2
    assert screen(shown) == ["contractive: `max_epochs` must be a whole number >= 1; got 0."]
    assert list(tmp_path.iterdir()) == []
