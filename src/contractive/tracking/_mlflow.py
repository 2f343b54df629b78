"""MLflow: parameters, a line an epoch, the filters and the model, by mlflow-skinny's client."""

from __future__ import annotations

import socket
import tempfile
import time
import urllib.request
import warnings
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .._validation import shown
from ..plots import ImageShape, write_picture
from ._events import Guard, filters, metrics_of, weights_of
from ._pyfunc import MODEL, default_method

__all__ = ["MLflowCallback"]

_SECONDS_TO_ANSWER = 5
_MOST_PARAMETERS = 100  # that a server takes at one go
_PORTS = {"http": 80, "https": 443}


class MLflowCallback:
    """Tells an MLflow server, or a store on the disk, of a training: parameters, numbers of each epoch, the model.

    One of the `callbacks` of an estimator, in a block of `with`, at whose end the run is closed and the model written:
    one that `mlflow.pyfunc.load_model` loads without pickle. Nothing is sent before the first epoch has ended. A
    server that is away costs five seconds and a line, once; training goes on.

    Args:
        uri: of the server or store, "http://localhost:5000" say; None for what `MLFLOW_TRACKING_URI` says. MLflow
            refuses folders ("file:runs") unless `MLFLOW_ALLOW_FILE_STORE` is "true" in the environment, and needs
            sqlalchemy for a database.
        experiment: of the run; it is made where there is none.
        run_name: of the run; None for one by MLflow.
        image_shape: of a filter's picture, as for `plots.draw_rows`; None to guess.
        log_model: whether the model is written.

    Attributes:
        run_id: of the run; None before the first epoch.

    Raises:
        ImportError: if the package mlflow-skinny is missing.

    Example:
        >>> from contractive.tracking import MLflowCallback
        >>> MLflowCallback("http://localhost:5000", experiment="digits").run_id is None
        True
    """

    run_id: str | None

    def __init__(
        self,
        uri: str | None = None,
        *,
        experiment: str = "contractive",
        run_name: str | None = None,
        image_shape: ImageShape | None = None,
        log_model: bool = True,
    ):
        try:
            import mlflow
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise ImportError(
                "MLflow needs the package mlflow-skinny: pip install 'contractive[tracking]'", name="mlflow"
            ) from error
        self._mlflow, self._error = mlflow, MlflowException
        self._uri = mlflow.get_tracking_uri() if uri is None else uri
        self._experiment, self._run_name = experiment, run_name
        self._image_shape, self._log_model = image_shape, log_model
        self._client: Any = None
        self._estimator: Any = None
        self.run_id = None
        self._guard = Guard(f"the run at {self._uri!r}", (OSError, MlflowException))

    def __call__(self, estimator: Any, event: Any) -> None:
        """Send a finished epoch; other events say nothing.

        Args:
            estimator: that is trained.
            event: what happened.

        Raises:
            ValueError: if MLflow refuses the store that `uri` names.
        """
        metrics = metrics_of(estimator, event)
        if metrics is None:
            return
        self._estimator = estimator
        self._guard.run(lambda: self._send(estimator, event.epoch, metrics))

    def _send(self, estimator: Any, epoch: int, metrics: dict[str, float]) -> None:
        _check_there(self._uri)
        if self.run_id is None:
            self._begin(estimator)
        now = int(time.time() * 1000)
        values = [self._mlflow.entities.Metric(name, value, now, epoch) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=values)

    def _begin(self, estimator: Any) -> None:
        try:
            self._client = self._mlflow.MlflowClient(self._uri)
            found = self._client.get_experiment_by_name(self._experiment)
        except self._error as error:
            if "MLFLOW_ALLOW_FILE_STORE" not in str(error):
                raise  # and the guard says it
            raise ValueError(
                f"`uri` must name a server, as MLflow keeps no runs in folders any more; got {self._uri!r}. "
                "Start one with `mlflow server`, or set MLFLOW_ALLOW_FILE_STORE=true."
            ) from error
        place = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        tags = {"contractive": version("contractive"), "model": type(estimator).__name__}
        self.run_id = self._client.create_run(place, run_name=self._run_name, tags=tags).info.run_id
        parameters = [self._mlflow.entities.Param(*entry) for entry in _parameters(estimator).items()]
        for start in range(0, len(parameters), _MOST_PARAMETERS):
            self._client.log_batch(self.run_id, params=parameters[start : start + _MOST_PARAMETERS])

    def close(self, status: str = "FINISHED") -> None:
        """Write filters and model, and end the run.

        Args:
            status: FINISHED, KILLED or FAILED.
        """
        if self.run_id is not None and self._client is not None:
            self._guard.run(lambda: self._end(status))
        self._client = None

    def _end(self, status: str) -> None:
        _check_there(self._uri)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            weights = weights_of(self._estimator)
            picture = filters(weights, self._image_shape)
            if picture is not None:
                write_picture(folder / "filters.png", picture)
            if self._log_model and weights:
                self._write_model(folder / "model")
            self._client.log_artifacts(self.run_id, name)
        self._client.set_terminated(self.run_id, status)

    def _write_model(self, folder: Path) -> None:
        """The folder that `mlflow.pyfunc.load_model` takes; of a model that cannot be saved a line instead."""
        folder.mkdir()
        try:
            self._estimator.save(folder / MODEL)
        except TypeError as error:  # a parameter that JSON cannot hold
            folder.rmdir()
            warnings.warn(f"the model is not in the run at {self._uri!r}: {error}", stacklevel=2)
            return
        requirement = f"contractive=={version('contractive')}"
        (folder / "requirements.txt").write_text(f"{requirement}\n")
        model = self._mlflow.models.Model(artifact_path="model", run_id=self.run_id)
        model.add_flavor(
            "python_function",
            loader_module="contractive.tracking",
            data=MODEL,
            config={"method": default_method(self._estimator)},
        )
        model.add_flavor("contractive", contractive_version=version("contractive"), data=MODEL)
        model.save(str(folder / "MLmodel"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")


def _check_there(uri: str) -> None:
    """Refuse a server that nobody answers at, as MLflow's client would try for minutes.

    Raises:
        OSError: if it is away.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or parts.hostname is None or parts.scheme in urllib.request.getproxies():
        return
    with socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _SECONDS_TO_ANSWER):
        pass


def _parameters(estimator: Any) -> dict[str, str]:
    """The parameters by name, those of layers too, as texts; estimators and callbacks are left out."""
    return {
        name: value if isinstance(value, str) else shown(value)
        for name, value in estimator.get_params().items()
        if name.rpartition("__")[2] not in ("callbacks", "layers", "representation")
    }
