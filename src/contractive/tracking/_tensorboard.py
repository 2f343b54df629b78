"""TensorBoard: event files by tensorboardX, which needs no TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .._validation import check_count
from ..plots import ImageShape
from ._events import Guard, filters, metrics_of, weights_of

__all__ = ["TensorBoardCallback"]


class TensorBoardCallback:
    """Writes what each epoch says for TensorBoard: its numbers, the filters as a picture, histograms of the weights.

    One of the `callbacks` of an estimator. The folder is made with the first epoch. A disk that fills up ends the
    writing, which is said in a line, and not the training.

    Args:
        folder: of the event files, one for each run.
        image_shape: of a filter's picture, as for `plots.draw_rows`; None to guess.
        weights_every: epochs between two pictures and histograms, >= 1; the numbers are of every epoch.

    Raises:
        ImportError: if the package tensorboardX is missing.
        TypeError: if `weights_every` is no whole number.
        ValueError: if it is below 1.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from contractive import ContractiveAutoencoder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TensorBoardCallback(folder) as callback:
        ...         cae = ContractiveAutoencoder(2, max_epochs=3, callbacks=[callback]).fit(np.eye(4))
        ...     len(list(Path(folder).glob("events.out.tfevents.*")))
        1
    """

    def __init__(self, folder: str | Path, *, image_shape: ImageShape | None = None, weights_every: int = 1):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard's files need the package tensorboardX: pip install 'contractive[tracking]'",
                name="tensorboardX",
            ) from error
        self._every = check_count("weights_every", weights_every)
        self._make_writer, self._folder, self._image_shape = SummaryWriter, Path(folder), image_shape
        self._writer: Any = None
        self._guard = Guard(f"{str(self._folder)!r}", (OSError,))

    def __call__(self, estimator: Any, event: Any) -> None:
        """Write a finished epoch; other events say nothing.

        Args:
            estimator: that is trained.
            event: what happened.

        Raises:
            ValueError: if `image_shape` does not fit the data.
        """
        metrics = metrics_of(estimator, event)
        if metrics is not None:
            self._guard.run(lambda: self._write(estimator, event.epoch, metrics))

    def _write(self, estimator: Any, epoch: int, metrics: dict[str, float]) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Files are named by the second, and one of the same name would take the place of the other.
            self._writer = self._make_writer(str(self._folder), filename_suffix=f".{time.time_ns()}")
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)
        weights = weights_of(estimator) if epoch % self._every == 0 else {}
        picture = filters(weights, self._image_shape)
        if picture is not None:
            self._writer.add_image("filters", picture, epoch, dataformats="HW" if picture.ndim == 2 else "HWC")
        for name, array in weights.items():
            if array.dtype.kind == "f":
                self._writer.add_histogram(f"weights/{name}", array, epoch)
        self._writer.flush()

    def close(self) -> None:
        """End the file; nothing more is written to it."""
        if self._writer is not None:
            self._guard.run(self._writer.close)
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
