"""Model files and checkpoints: safetensors with a description."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import contractive
from contractive.estimators import load_checkpoint, snapshot
from contractive.serialization import read_checkpoint, read_model, write_checkpoint

from ._damage import EXTREMES, choose
from ._format import Format, Inconsistent

__all__ = ["CHECKPOINT", "MODEL"]

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
_DTYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "BOOL": "|b1", "C64": "<c8"}
_ODD_DTYPES = (*_DTYPES, "BF16", "F8_E4M3", "F8_E5M2", "F4", "F6_E2M3", "f8", "", "O")
_ODD = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    3,
    1e308,
    0.5,
    "",
    "x",
    "auto",
    "\n",
    [],
    [[]],
    [1, 2],
    {},
    {"a": 1},
    2**31,
    2**63,
    10**30,
)
_ODD_FACTS = (
    '"',
    "3",
    "[]",
    "null",
    "{}",
    "[" * 100_000,
    '{"version": 1}',
    '{"version": "1", "description": 3}',
    "\ud800",
)


class _Parts(NamedTuple):
    """A safetensors file taken apart."""

    header: dict[str, Any]
    values: bytes

    @property
    def entry(self) -> str:
        """The name of the only entry of the metadata."""
        return next(iter(self.header["__metadata__"]))


@cache
def _written() -> dict[str, tuple[bytes, ...]]:
    """A small auto-encoder and a stack of two, and the stack in the middle of its training."""
    taken: list[Any] = []
    layers = [contractive.ContractiveAutoencoder(size, max_epochs=1, batch_size=10, engine="jax") for size in (3, 2)]
    stack = contractive.StackedAutoencoder(layers, callbacks=[lambda model, _: taken.append(snapshot(model))])
    stack.fit(np.random.default_rng(0).random((20, 4), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written.safetensors"

        def content(write: Any, *arguments: Any) -> bytes:
            write(path, *arguments)
            return path.read_bytes()

        models = content(stack.save), content(stack.layers_[0].save)
        checkpoints = tuple(content(write_checkpoint, *taken[place]) for place in (0, -1))
    return {"model": models, "checkpoint": checkpoints}


def _apart(content: bytes) -> _Parts:
    end = 8 + int.from_bytes(content[:8], "little")
    return _Parts(json.loads(content[8:end]), content[end:])


def _together(parts: _Parts, length: int | None = None) -> bytes:
    text = json.dumps(parts.header, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return ((len(text) if length is None else length) % 2**64).to_bytes(8, "little") + text + parts.values


def _signed(parts: _Parts, description: Any) -> _Parts:
    """Another description, with the right digest."""
    text = json.dumps(description)
    arrays = _arrays(parts)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"\0{name}\0{arrays[name].dtype.str}\0{arrays[name].shape}\0".encode() + arrays[name].tobytes())
    facts = json.dumps({"version": "1", "description": text, "sha256": digest.hexdigest()})
    return _Parts(parts.header | {"__metadata__": {parts.entry: facts}}, parts.values)


def _arrays(parts: _Parts) -> dict[str, np.ndarray]:
    found = {}
    for name, entry in parts.header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(parts.values[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def _twisted(content: bytes, rng: np.random.Generator) -> bytes:
    """A false header, false facts, or a false description or other arrays that are signed."""
    parts = copy.deepcopy(_apart(content))
    act = int(rng.integers(8))
    if act == 0:
        return _together(parts, choose(rng, EXTREMES))
    if act == 1:
        _twist_tensor(parts.header, rng)
        return _together(parts)
    facts = json.loads(parts.header["__metadata__"][parts.entry])
    if act == 2:
        odd: Any = choose(rng, (*_ODD_FACTS, *map(json.dumps, _ODD)))
        if rng.random() < 0.7:
            odd = json.dumps(facts | {choose(rng, tuple(facts)): choose(rng, _ODD)})
        parts.header["__metadata__"][parts.entry] = odd
        return _together(parts)
    description = json.loads(facts["description"])
    if act == 3:
        parts = _swapped(parts, rng)
    else:
        for _ in range(int(rng.geometric(0.6))):
            description = _twist_description(description, rng)
    return _together(_signed(parts, description))


def _twist_tensor(header: dict[str, Any], rng: np.random.Generator) -> None:
    entry = header[choose(rng, [name for name in header if name != "__metadata__"])]
    numbers = [choose(rng, EXTREMES) for _ in range(int(rng.integers(4)))]
    key = choose(rng, ("dtype", "shape", "data_offsets", "more"))
    entry[key] = choose(rng, _ODD_DTYPES) if key == "dtype" else choose(rng, (numbers, choose(rng, _ODD)))


def _swapped(parts: _Parts, rng: np.random.Generator) -> _Parts:
    """An array under another name, of another shape or type, or left out: a whole file, of another model."""
    names = [name for name in parts.header if name != "__metadata__"]
    name, act = choose(rng, names), int(rng.integers(4))
    entry = parts.header.pop(name)
    if act == 0:
        parts.header[choose(rng, (*names, "weight2", "../weight", "0"))] = entry
    elif act == 1:
        size = math.prod(entry["shape"])
        parts.header[name] = entry | {"shape": choose(rng, ([size], [1, size], [size, 1], [1] * 60 + [size]))}
    elif act == 2:
        alike = {"F64": ("I64", "U64"), "F32": ("I32", "U32"), "I32": ("F32", "U32")}.get(entry["dtype"], ("I64",))
        parts.header[name] = entry | {"dtype": choose(rng, alike)}
    else:
        parts.header[name] = entry
        content = bytearray(parts.values)
        begin, end = entry["data_offsets"]
        content[begin:end] = choose(rng, (bytes(end - begin), b"\xff" * (end - begin), rng.bytes(end - begin)))
        return parts._replace(values=bytes(content))
    # Tensors must cover all bytes, so what is left out makes a file that safetensors refuses.
    return parts


def _twist_description(node: Any, rng: np.random.Generator) -> Any:
    """One value somewhere in it is another, or is left out."""
    inner = isinstance(node, dict | list) and len(node) > 0
    if not inner or rng.random() < 0.05:
        return choose(rng, _ODD)
    if isinstance(node, list):
        place = int(rng.integers(len(node)))
        return [*node[:place], _twist_description(node[place], rng), *node[place + int(rng.random() < 0.9) :]]
    key = choose(rng, tuple(node))
    if rng.random() < 0.1:
        return {name: value for name, value in node.items() if name != key}
    return node | {key: _twist_description(node[key], rng)}


def _read_model(path: str) -> dict[str, np.ndarray]:
    model = contractive.load(path)
    arrays, _ = read_model(path)
    if "weight" in arrays and not np.array_equal(model.components_, arrays["weight"], equal_nan=True):
        raise Inconsistent("the loaded weight")
    return arrays


def _read_checkpoint(path: str) -> dict[str, np.ndarray]:
    load_checkpoint(path)
    return read_checkpoint(path)[0]


def _expected(path: str) -> dict[str, np.ndarray]:
    parts = _apart(Path(path).read_bytes())
    arrays = _arrays(parts)
    facts = json.loads(parts.header["__metadata__"][parts.entry])
    again = json.loads(_signed(parts, json.loads(facts["description"])).header["__metadata__"][parts.entry])
    if facts["sha256"] != again["sha256"]:
        raise ValueError("another digest")
    return arrays


def _is_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, array in expected.items()
    )


MODEL, CHECKPOINT = (
    Format(
        ".safetensors",
        lambda rng, kind=kind: choose(rng, _written()[kind]),
        _twisted,
        read,
        _expected,
        is_same=_is_same,
    )
    for kind, read in (("model", _read_model), ("checkpoint", _read_checkpoint))
)
