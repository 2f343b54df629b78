"""The command line as a test sees it: called in this process, or as a process of its own."""

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from safetensors.numpy import load_file

FILES = ["config.json", "curves.png", "filters.png", "history.jsonl", "model.safetensors"]
COMMAND = [sys.executable, "-c", "from contractive.cli import main; main()"]


class Outcome(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def without_report(arguments: tuple[object, ...]) -> list[str]:
    """The arguments as text; no report is written unless it is asked for, as the report has tests of its own."""
    words = [*map(str, arguments)]
    makes_report = words[:1] in (["train"], ["resume"]) and "--report" not in words
    return [words[0], "--no-report", *words[1:]] if makes_report else words


def run_here() -> int:
    """Run the command line on the present `sys.argv`, without the end of the process; the exit code."""
    from contractive.cli import run

    try:
        run()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def call_in(folder: Path, *arguments: object) -> Outcome:
    """Run `contractive ARGUMENTS` in this process and in a folder, where no fixture of a single test is at hand."""
    out, err = io.StringIO(), io.StringIO()
    command = mock.patch.object(sys, "argv", ["contractive", *without_report(arguments)])
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), command:
        code = run_here()
    return Outcome(code, out.getvalue(), err.getvalue())


def start(*arguments: object, folder: Path) -> "subprocess.Popen[str]":
    """A real process in `folder`, its output piped."""
    command = [*COMMAND, *without_report(arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def spawn(*arguments: object, folder: Path) -> Outcome:
    """A real process in `folder`, run to its end."""
    process = start(*arguments, folder=folder)
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def interrupt(process: "subprocess.Popen[str]") -> Outcome:
    """Send what Ctrl-C sends; what the process then leaves."""
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return Outcome(process.returncode, out, err)


def history(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's history."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, bytes]:
    """The arrays of a run's model, bit for bit."""
    return {name: array.tobytes() for name, array in load_file(run / "model.safetensors").items()}


def configuration(call: Callable[..., Outcome], *arguments: object) -> dict[str, Any]:
    """What `train` with these arguments writes into `config.json`, as a reader finds it; nothing is trained."""
    seen: dict[str, Any] = {}

    def write_config(folder: object, config: dict[str, Any]) -> None:
        seen.update(json.loads(json.dumps(config)))
        raise FloatingPointError("stopped")

    with mock.patch("contractive.runs.RunFolder.write_config", write_config):
        assert call("train", "--out", "unseen", *arguments) == Outcome(2, "", "contractive: stopped\n")
    return seen


def listing(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden files too: contents of files, None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def assert_one_line(outcome: Outcome, *words: str, code: int = 2) -> None:
    """The outcome is a refusal: the exit code, one line on standard error that says all the words, nothing else."""
    assert outcome.err.count("\n") == 1, f"not one line: {outcome}"
    assert outcome.err.startswith("contractive: "), outcome
    assert "Traceback" not in outcome.err, outcome
    for word in words:
        assert word in outcome.err, f"no {word!r} in {outcome.err!r}"
    assert outcome.code == code, outcome
