"""The run folder: settings, one line an epoch, the model, the pictures, checkpoints.

It appears with the first finished epoch, or the first checkpoint.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._files import write_atomically
from .plots import ImageShape, learning_curves, tile_rows, write_picture
from .serialization import write_checkpoint

__all__ = ["Checkpoints", "Every", "RunFolder", "checkpoint_paths", "model_path"]

_CONFIG, _HISTORY, _MODEL, _CHECKPOINTS = "config.json", "history.jsonl", "model.safetensors", "checkpoints"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def model_path(run: str | Path) -> Path:
    """The model file of a run folder, or the path itself when it is a file.

    Raises:
        FileNotFoundError: if there is neither a file nor a run folder with a model.
    """
    path = Path(run)
    if path.is_file():
        return path
    if (path / _MODEL).is_file():
        return path / _MODEL
    if checkpoint_paths(path):
        raise FileNotFoundError(
            f"{str(run)!r} has checkpoints but no {_MODEL} yet; go on with `contractive resume {run}`."
        )
    kind = "a folder without" if path.is_dir() else "neither a model file nor a folder with"
    raise FileNotFoundError(f"{str(run)!r} is {kind} {_MODEL}; name a run folder or a model file.")


class RunFolder:
    """Writes a run folder so that whatever stands in it belongs to a finished epoch.

    Until the first epoch has ended, all is kept in a hidden folder beside it, so that a run that fails early
    leaves nothing and an older run of the same name stays.

    Args:
        path: the folder to make.
        overwrite: whether an older run folder of that name may be replaced.
        going_on: records of a training that goes on in the folder, which is there; None to make it.

    Raises:
        FileExistsError: if `path` exists and may not be replaced, or is no run folder.
        OSError: if the folder cannot be made.
    """

    def __init__(
        self, path: str | Path, *, overwrite: bool = False, going_on: Sequence[Mapping[str, Any]] | None = None
    ):
        self.path: Path = Path(path)
        self._overwrite = overwrite
        if going_on is not None:
            self._staging, self._made = self.path, []
            self._lines = [json.dumps(record) for record in going_on]
            return
        self._refuse_existing()
        self._staging = self.path.parent / f".{self.path.name}.{secrets.token_hex(4)}.partial"
        self._lines: list[str] = []
        self._made = [folder for folder in self.path.parents if not folder.exists()]  # innermost first
        try:
            self._staging.mkdir(parents=True)
        except OSError as error:
            error.filename = str(self.path)
            raise

    @property
    def is_published(self) -> bool:
        """Whether the folder stands under its own name."""
        return self._staging == self.path or not self._staging.exists()

    @property
    def _folder(self) -> Path:
        return self.path if self.is_published else self._staging

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the settings of the run as `config.json`."""
        text = json.dumps(config, indent=2) + "\n"
        write_atomically(self._folder / _CONFIG, lambda stream: stream.write(text.encode()))

    def finish_epoch(self, record: dict[str, Any], save: Callable[[Path], object]) -> None:
        """Write the model and its line of the history; the first time, make the folder appear.

        Args:
            record: what the line holds.
            save: writes the model file to the path that it is given.
        """
        self._lines.append(json.dumps(record))
        text = "".join(f"{line}\n" for line in self._lines)
        save(self._folder / _MODEL)
        write_atomically(self._folder / _HISTORY, lambda stream: stream.write(text.encode()))
        self.publish()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self._folder / _CHECKPOINTS

    def publish(self) -> None:
        """Give the folder its own name; only the run that may replace an older one removes it."""
        if self.is_published:
            return
        if self._overwrite and self.path.exists():
            shutil.rmtree(self.path)
        try:
            self._staging.rename(self.path)
        except OSError as error:
            error.filename, error.filename2 = str(self.path), None
            raise

    def write_model(self, save: Callable[[Path], object]) -> None:
        """Write the model file again; `save` as for `finish_epoch`."""
        save(self._folder / _MODEL)

    def write_pictures(
        self,
        filters: np.ndarray,
        image_shape: ImageShape | None,
        curves: Sequence[Sequence[float]],
        labels: Sequence[str] = ("reconstruction error", "Jacobian norm"),
    ) -> None:
        """Draw `filters.png`, the first hundred filters, and `curves.png`, the learning curves.

        Args:
            filters: one a row, of shape (units, features).
            image_shape: of a filter's picture, as for `plots.draw_rows`; None to guess.
            curves: two curves of one value an epoch, and that of the first on held-out rows, which may be empty.
            labels: what the first two are.
        """
        write_picture(self._folder / "filters.png", tile_rows(filters, image_shape))
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.4), layout="constrained")
        for axes, label in zip(learning_curves(*curves, axes=figure.subplots(1, 2)), labels, strict=True):
            axes.set_ylabel(label)
        write_atomically(self._folder / "curves.png", lambda stream: figure.savefig(stream, dpi=120, format="png"))

    def discard(self) -> None:
        """Remove what no finished epoch stands behind, with the parents that were made for it."""
        if self.is_published:
            return
        shutil.rmtree(self._staging, ignore_errors=True)
        for folder in self._made:
            with suppress(OSError):  # somebody else put something there
                folder.rmdir()

    def _refuse_existing(self) -> None:
        if not self.path.exists() and not self.path.is_symlink():
            return
        if not self._overwrite:
            raise FileExistsError(f"{str(self.path)!r} exists; choose another --out or pass --overwrite to replace it.")
        if self.path.is_symlink():
            raise FileExistsError(f"{str(self.path)!r} is a link and is not replaced; name the run folder itself.")
        holds = (self.path / _MODEL).is_file() or (self.path / _CHECKPOINTS).is_dir()
        if not (self.path / _CONFIG).is_file() or not holds:
            raise FileExistsError(f"{str(self.path)!r} is not a run folder and is not replaced; choose another --out.")


class Every(NamedTuple):
    """How often a checkpoint is written.

    Args:
        seconds: of training, or None.
        epochs: or None.
    """

    seconds: float | None = None
    epochs: int | None = None

    @classmethod
    def read(cls, text: str) -> Every:
        """What was typed: 30s, 5m, 1h, 2epochs or never.

        Raises:
            ValueError: if it is none of these.
        """
        if text == "never":
            return cls()
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|h)|([1-9][0-9]*) ?epochs?", text)
        if match is None or (match[1] and float(match[1]) == 0):
            raise ValueError(f"`--checkpoint-every` must be like 30s, 5m, 1h, 2epochs or never; got {text!r}.")
        return cls(epochs=int(match[3])) if match[3] else cls(seconds=float(match[1]) * _SECONDS[match[2]])


class Checkpoints:
    """The last few checkpoints of a run, written in a thread of their own while training goes on.

    Args:
        folder: of the run.
        every: how often.
        keep: how many of the newest stay, >= 1.
        complain: is told in a line what cannot be written; training goes on.
    """

    def __init__(self, folder: RunFolder, *, every: Every, keep: int, complain: Callable[[str], object]):
        self._folder, self._every, self._keep, self._complain = folder, every, keep, complain
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="contractive-checkpoint")
        self._writing: Future[None] | None = None
        self._last_time, self._last_epoch = time.monotonic(), None
        # Of the folder that is being made, where it is to replace another one.
        self._number = max((_number(path) for path in checkpoint_paths(folder.checkpoints.parent)), default=0)
        self.any_written: bool = self._number > 0
        for left_over in folder.checkpoints.glob(".*.tmp"):  # by a process that was killed
            left_over.unlink()

    def is_due(self, n_epochs: int) -> bool:
        """Whether it is time for the next, after so many finished epochs."""
        if self._last_epoch is None:
            self._last_epoch = n_epochs
        if self._every.seconds is not None:
            return time.monotonic() - self._last_time >= self._every.seconds and not self._is_writing()
        return self._every.epochs is not None and n_epochs - self._last_epoch >= self._every.epochs

    def write(self, arrays: dict[str, np.ndarray], description: dict[str, Any], n_epochs: int) -> None:
        """Begin to write a checkpoint; the arrays are not changed meanwhile."""
        self.finish()
        self._folder.publish()
        self._last_time, self._last_epoch, self._number = time.monotonic(), n_epochs, self._number + 1
        path = self._folder.checkpoints / f"{self._number:06d}.safetensors"
        self._writing = self._pool.submit(self._write, path, arrays, description)

    def finish(self) -> None:
        """Wait for what is being written."""
        if self._writing is None:
            return
        try:
            self._writing.result()
            self.any_written = True
        except OSError as error:
            self._complain(f"a checkpoint could not be written ({error.strerror or error}); older ones stay.")
        self._writing = None

    def close(self) -> None:
        """Wait for what is being written, and end the thread."""
        self.finish()
        self._pool.shutdown()

    def _is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    def _write(self, path: Path, arrays: dict[str, np.ndarray], description: dict[str, Any]) -> None:
        path.parent.mkdir(exist_ok=True)
        write_checkpoint(path, arrays, description)
        for old in checkpoint_paths(self._folder.path)[self._keep :]:
            old.unlink()


def checkpoint_paths(run: str | Path) -> list[Path]:
    """The checkpoints of a run folder, the newest first."""
    found = (Path(run) / _CHECKPOINTS).glob("[0-9]*.safetensors")
    return sorted((path for path in found if path.stem.isdecimal()), key=_number, reverse=True)


def _number(path: Path) -> int:
    return int(path.stem)
