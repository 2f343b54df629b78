"""The run folder: settings, one line an epoch, the model, the pictures; it appears with the first finished epoch."""

import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ._files import write_atomically
from .plots import ImageShape, learning_curves, tile_rows, write_picture

__all__ = ["RunFolder", "model_path"]

_CONFIG, _HISTORY, _MODEL = "config.json", "history.jsonl", "model.safetensors"


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
    kind = "a folder without" if path.is_dir() else "neither a model file nor a folder with"
    raise FileNotFoundError(f"{str(run)!r} is {kind} {_MODEL}; name a run folder or a model file.")


class RunFolder:
    """Writes a run folder so that whatever stands in it belongs to a finished epoch.

    Until the first epoch has ended, all is kept in a hidden folder beside it, so that a run that fails early
    leaves nothing and an older run of the same name stays.

    Args:
        path: the folder to make.
        overwrite: whether an older run folder of that name may be replaced.

    Raises:
        FileExistsError: if `path` exists and may not be replaced, or is no run folder.
        OSError: if the folder cannot be made.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False):
        self.path = Path(path)
        self._overwrite = overwrite
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
        """Whether an epoch has ended and the folder stands under its own name."""
        return not self._staging.exists()

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
        if not self.is_published:
            self._publish()

    def _publish(self) -> None:
        """Give the folder its own name; only the run that may replace an older one removes it."""
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
        if not (self.path / _CONFIG).is_file() or not (self.path / _MODEL).is_file():
            raise FileExistsError(f"{str(self.path)!r} is not a run folder and is not replaced; choose another --out.")
