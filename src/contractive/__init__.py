"""Features that ignore noise: contractive auto-encoders on JAX, with a scikit-learn face."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from .datasets import load_digits as load_digits
    from .datasets import load_mnist as load_mnist
    from .estimators import ContractiveAutoencoder as ContractiveAutoencoder
    from .estimators import ContractiveClassifier as ContractiveClassifier
    from .estimators import DenoisingAutoencoder as DenoisingAutoencoder
    from .estimators import ManifoldTangentClassifier as ManifoldTangentClassifier
    from .estimators import StackedAutoencoder as StackedAutoencoder
    from .estimators import TangentNeighborsClassifier as TangentNeighborsClassifier
    from .estimators import load as load
    from .plots import tile_images as tile_images

_HOMES = {
    "ContractiveAutoencoder": "estimators",
    "ContractiveClassifier": "estimators",
    "DenoisingAutoencoder": "estimators",
    "ManifoldTangentClassifier": "estimators",
    "StackedAutoencoder": "estimators",
    "TangentNeighborsClassifier": "estimators",
    "load": "estimators",
    "load_digits": "datasets",
    "load_mnist": "datasets",
    "tile_images": "plots",
}

__all__ = [
    "ContractiveAutoencoder",
    "ContractiveClassifier",
    "DenoisingAutoencoder",
    "ManifoldTangentClassifier",
    "StackedAutoencoder",
    "TangentNeighborsClassifier",
    "load",
    "load_digits",
    "load_mnist",
    "tile_images",
]


def __getattr__(name: str) -> Any:
    # Lazily, so that `contractive --help` does not wait for JAX.
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
