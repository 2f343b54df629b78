"""The command line as a test sees it: called in this process, or as a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

COMMAND = [sys.executable, "-c", "from contractive.cli import main; main()"]


class Outcome(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_here() -> int:
    """Call `main` on the present `sys.argv`; the exit code."""
    from contractive.cli import main

    try:
        main()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def start(*arguments: object, folder: Path) -> "subprocess.Popen[str]":
    """A real process in `folder`, its output piped."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def spawn(*arguments: object, folder: Path) -> Outcome:
    """A real process in `folder`, run to its end."""
    process = start(*arguments, folder=folder)
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


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
