"""Training that others watch: TensorBoard and MLflow, as callbacks of the estimators."""

from ._events import Tracker
from ._mlflow import MLflowCallback
from ._pyfunc import _load_pyfunc
from ._tensorboard import TensorBoardCallback

__all__ = ["MLflowCallback", "TensorBoardCallback", "Tracker", "_load_pyfunc"]
