"""StableHLO: the model as JAX compiles it, for any number of rows, on processors and NVIDIA's cards."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax import export

from .._files import write_atomically
from .._typing import Array, Hidden, Visible
from ..models import Classifier, Model
from ._parts import autoencoder_of, checked_part

__all__ = ["stablehlo_content", "to_stablehlo"]

_PLATFORMS = ("cpu", "cuda")


def to_stablehlo(estimator: Any, path: str | Path, *, part: str = "all") -> int:
    """Write a fitted estimator as a serialised `jax.export.Exported`, whole or not at all.

    It holds StableHLO for CPU and CUDA, takes any number of rows, and needs no part of this package:
    `jax.export.deserialize(bytearray(content)).call(x)` gives a dictionary. An encoder of the user's own goes with it.

    Args:
        estimator: a fitted auto-encoder or classifier.
        path: the file to make or replace.
        part: as for `to_onnx`.

    Returns:
        Bytes written.

    Raises:
        NotFittedError: if `fit` was not called.
        TypeError: if the estimator is of another package.
        ValueError: if there is no such part.
        ImportError: if the package flatbuffers is missing.
        OSError: if the file cannot be written; what was there stays.

    Example:
        >>> import jax, numpy as np, tempfile
        >>> from pathlib import Path
        >>> from contractive import ContractiveAutoencoder
        >>> X = np.eye(4, dtype="float32")
        >>> cae = ContractiveAutoencoder(2, max_epochs=1).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = to_stablehlo(cae, Path(folder) / "model.stablehlo")
        ...     content = (Path(folder) / "model.stablehlo").read_bytes()
        >>> made = jax.export.deserialize(bytearray(content)).call(X)
        >>> sorted(made), made["code"].shape
        (['code', 'reconstruction', 'score'], (4, 2))
    """
    content = stablehlo_content(estimator, part)
    write_atomically(Path(path), lambda stream: stream.write(content))
    return len(content)


def stablehlo_content(estimator: Any, part: str = "all") -> bytes:
    """What `to_stablehlo` writes; arguments and errors are its own."""
    model, _ = checked_part(estimator, part)
    width = model.n_hidden if part == "decoder" and isinstance(model, Model) else model.n_features
    with jax.enable_x64(model.dtype.itemsize == 8):
        batch = export.symbolic_shape("batch")[0]
        rows = jax.ShapeDtypeStruct((batch, width), model.dtype)
        function = jax.jit(jax.vmap(partial(_function(model, part), model)))
        exported = export.export(function, platforms=_PLATFORMS)(rows)
    try:
        return bytes(exported.serialize())
    except ImportError as error:
        raise ImportError(
            "StableHLO files need the package flatbuffers: pip install 'contractive[onnx]'", name="flatbuffers"
        ) from error


def _function(model: Model | Classifier, part: str) -> Callable[[Any, Any], dict[str, Array]]:
    if part == "decoder":
        return _decoder
    if part == "encoder":
        return _encoder
    return _classifier if isinstance(model, Classifier) else _autoencoder


def _encoder(model: Model | Classifier, x: Visible) -> dict[str, Array]:
    return {"code": autoencoder_of(model).encode(x)}


def _decoder(model: Model, code: Hidden) -> dict[str, Array]:
    return {"reconstruction": model.decode(code)}


def _autoencoder(model: Model, x: Visible) -> dict[str, Array]:
    forward = model.forward(x)
    return {
        "code": forward.hidden,
        "reconstruction": model.output_nonlinearity.function(forward.output),
        "score": -model.reconstruction_loss.error(x, forward.output),
    }


def _classifier(model: Classifier, x: Visible) -> dict[str, Array]:
    return {"code": model.autoencoder.encode(x), "probabilities": model.probabilities(x)}
