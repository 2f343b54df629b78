"""Model files and checkpoints: safetensors arrays and JSON in one file, written atomically, never run as code."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ._files import write_atomically
from ._validation import shortened
from .sources import aligned_empty

__all__ = ["read_checkpoint", "read_model", "write_checkpoint", "write_model"]

_FORMATS = {"model": "contractive.model", "checkpoint": "contractive.checkpoint"}
_VERSION = 1


def write_model(path: str | Path, arrays: dict[str, np.ndarray], description: dict[str, Any]) -> None:
    """Write arrays with a description into one file, at once or not at all.

    The file is in the safetensors format. Its metadata have one entry, `contractive.model`: JSON with `version`,
    `description` and `sha256`, the digest of the description and of every array with its name, dtype and shape.
    The same content gives the same bytes.

    Args:
        path: the file to make or replace.
        arrays: what is stored, by name.
        description: anything that JSON holds.

    Raises:
        OSError: if the file cannot be written; what was there stays.
    """
    _write(path, arrays, description, "model")


def write_checkpoint(path: str | Path, arrays: dict[str, np.ndarray], description: dict[str, Any]) -> None:
    """Write a training in the middle as `write_model` writes a model, under an entry of its own: another kind of file.

    Args:
        path: the file to make or replace.
        arrays: what is stored, by name.
        description: anything that JSON holds.

    Raises:
        OSError: if the file cannot be written; what was there stays.
    """
    _write(path, arrays, description, "checkpoint")


def _write(path: str | Path, arrays: dict[str, np.ndarray], description: dict[str, Any], kind: str) -> None:
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    # safetensors writes its metadata in an order of the moment: with one entry the same content is the same bytes.
    facts = {"version": str(_VERSION), "description": text, "sha256": _digest(arrays, text)}
    metadata = {_FORMATS[kind]: json.dumps(facts)}
    content = save(arrays, metadata)
    write_atomically(Path(path), lambda stream: stream.write(content))


def read_model(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_model` wrote.

    Args:
        path: the file.

    Returns:
        The arrays by name, and the description.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is truncated, altered, or no model file of this package; the message names the file.
    """
    return _read(path, "model")


def read_checkpoint(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_checkpoint` wrote; arguments, what is returned and errors as for `read_model`."""
    return _read(path, "checkpoint")


def _read(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    path = Path(path)
    what = {"model": "a model file", "checkpoint": "a checkpoint"}[kind]
    with path.open("rb"):  # a missing file, a folder or a forbidden one is the system's error, with its name
        pass
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            arrays = {name: _aligned(stream.get_tensor(name)) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, AttributeError) as error:  # the last of dtypes that NumPy has not
        reason = shortened(error, 200)
        raise ValueError(f"{str(path)!r} must be {what}; it is truncated, altered or foreign ({reason}).") from error
    try:
        facts = _object(metadata.get(_FORMATS[kind]))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} must be {what} of contractive; got another safetensors file.") from error
    if facts.get("version") != str(_VERSION):
        raise ValueError(
            f"{str(path)!r} must be of version {_VERSION}; got {shortened(facts.get('version'))}. "
            "Use the contractive that wrote it."
        )
    text = facts.get("description")
    if not isinstance(text, str) or facts.get("sha256") != _digest(arrays, text):
        raise ValueError(f"{str(path)!r} was altered after it was written (its SHA-256 differs); use another copy.")
    try:
        return arrays, _object(text)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} must be {what} of contractive; it describes none ({error}).") from error


def _object(text: object) -> dict[str, Any]:
    """What JSON holds that must be an object.

    Raises:
        ValueError: if it is another thing, or no JSON; the message names no file.
    """
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _aligned(array: np.ndarray) -> np.ndarray:
    """The array where JAX need not copy it each time that it is computed with."""
    aligned = aligned_empty(array.shape, array.dtype)
    aligned[...] = array
    return aligned


def _digest(arrays: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))  # JSON may hold half a pair
    for name in sorted(arrays):
        digest.update(f"\0{name}\0{arrays[name].dtype.str}\0{arrays[name].shape}\0".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
