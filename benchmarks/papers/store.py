"""Results on disk: one JSON file a row and seed, written at once or not at all; what a run may resume from."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from contractive._files import write_atomically

from .rows import Row, Table

__all__ = ["FORMAT", "VERSION", "Job", "provenance", "read_results"]

FORMAT = "contractive.papers.result"
VERSION = 1


class Job:
    """One row with one seed, and the file that its result goes to.

    Args:
        table: the table.
        row: the row.
        seed: the seed.
        settings: what it runs with: the row's, or their quick form.
        folder: the folder of results.
    """

    def __init__(self, table: Table, row: Row, seed: int, settings: Mapping[str, Any], folder: Path):
        self.table, self.row, self.seed, self.settings, self._folder = table, row, seed, settings, folder
        self.digest = digest(table.name, row, settings)

    def __str__(self) -> str:
        return f"{self.table.name} {self.row.key} seed {self.seed}"

    @property
    def path(self) -> Path:
        """The file of the result."""
        return self._folder / self.table.name / f"{self.row.key}-seed{self.seed}.json"

    def is_done(self) -> bool:
        """Whether the result is there, of these settings.

        Raises:
            ValueError: if it is of other settings, of another version, or no result.
        """
        if not self.path.exists():
            return False
        if read_result(self.path)["settings_digest"] != self.digest:
            raise ValueError(
                f"{str(self.path)!r} must be a result of the present settings to resume from; got one of others. "
                "Run without --resume, or remove it."
            )
        return True

    def write(self, result: Mapping[str, Any]) -> None:
        """Write the result, with what it is the result of."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "table": self.table.name,
            "row": self.row.key,
            "data": self.row.data,
            "seed": self.seed,
            "settings_digest": self.digest,
            "settings": self.settings,
            **result,
            **provenance(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path, lambda stream: stream.write(text.encode()))


def digest(table: str, row: Row, settings: Mapping[str, Any]) -> str:
    """What tells results of other settings apart: sixteen hexadecimal digits."""
    content = json.dumps([FORMAT, VERSION, table, row.key, row.data, settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_result(path: Path) -> dict[str, Any]:
    """One result.

    Raises:
        ValueError: if it is of another version, or no result; the message names the file.
    """
    try:
        result = json.loads(path.read_bytes())
        kind, version = result["format"], result["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} must be a result of `contractive reproduce`; got another file. Remove it."
        ) from error
    if (kind, version) != (FORMAT, VERSION):
        raise ValueError(
            f"{str(path)!r} must be of {FORMAT} version {VERSION}; got {kind} version {version}. "
            "Use another --out, or remove it."
        )
    return result


def read_results(table: Table, row: Row, settings: Mapping[str, Any], folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The results of a row with these settings, by seed, and how many there are of other settings.

    Raises:
        ValueError: as `read_result` does.
    """
    own = digest(table.name, row, settings)
    paths = (folder / table.name).glob(f"{row.key}-seed*.json")
    results = sorted((read_result(path) for path in paths), key=lambda result: result["seed"])
    kept = [result for result in results if result["settings_digest"] == own]
    return kept, len(results) - len(kept)


def provenance() -> dict[str, Any]:
    """When and with what: the day, the versions, the kind of device, the commit where it is known."""
    import jax

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": _versions(),
        "device": jax.default_backend(),
        "commit": _commit(),
    }


@cache
def _versions() -> dict[str, str]:
    import jax
    import numpy
    import sklearn

    import contractive

    return {
        "contractive": contractive.__version__,
        "jax": jax.__version__,
        "numpy": numpy.__version__,
        "sklearn": sklearn.__version__,
        "python": platform.python_version(),
    }


@cache
def _commit() -> str | None:
    """The commit of the checkout that this file is in; with a plus where tracked files differ from it."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        if subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", __file__], capture_output=True
        ).returncode:
            return None  # a copy inside another project's repository
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
