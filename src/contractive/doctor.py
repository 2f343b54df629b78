"""What this machine has and lacks: versions, devices, caches, the compiler, and problems with their remedies."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from packaging.requirements import Requirement

from ._files import cache_folder
from ._processors import n_processors
from ._validation import shortened
from .native import build_kernel

__all__ = ["Problem", "examine"]

_EXTRAS = ("data", "onnx", "tracking")
_LEAST_FREE = 1 << 28  # bytes: MNIST and one of its variations
_NVIDIA = Path("/proc/driver/nvidia/version")
_SECONDS_TO_ANSWER = 10


class Problem(NamedTuple):
    """Something that does not work, or not as fast as it could, and what helps."""

    problem: str
    remedy: str


def examine() -> tuple[dict[str, Any], list[Problem]]:
    """Look at the machine; nothing but the cache is written to, where the kernel is built as training would build it.

    Returns:
        Facts as JSON holds them: `contractive`, `python`, `platform`, `processors`, `packages` and `optional` (versions
        by name, None where one is missing), `devices`, `cache` and `compiler`. And the problems.

    Example:
        >>> facts, problems = examine()
        >>> facts["packages"]["numpy"] == np.__version__, len(facts["devices"]) >= 1
        (True, True)
    """
    problems: list[Problem] = []
    facts = {
        "contractive": version("contractive"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": n_processors(),
        **_packages(problems),
        "devices": _devices(problems),
        "cache": _cache(problems),
        "compiler": _compiler(problems),
    }
    return facts, problems


def _packages(problems: list[Problem]) -> dict[str, dict[str, str | None]]:
    """What this package needs and may use, by its own metadata; what is missing or too old is a problem."""
    needed, optional = {"jaxlib": _version("jaxlib")}, {}
    for requirement, extra in _requirements():
        found = _version(requirement.name)
        (needed if extra is None else optional)[requirement.name] = found
        if found is None and extra is None:
            problems.append(Problem(f"{requirement.name} is missing.", f"pip install '{requirement}'"))
        elif found is not None and not requirement.specifier.contains(found, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            problems.append(
                Problem(f"{requirement.name} is {found}; {wanted} is needed.", f"pip install -U '{wanted}'")
            )
    return {"packages": dict(sorted(needed.items())), "optional": dict(sorted(optional.items()))}


def _requirements() -> Iterator[tuple[Requirement, str | None]]:
    """What is required, each with the extra that asks for it, or None; packages of this one's own extras only."""
    for requirement in map(Requirement, requires("contractive") or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement, None
            continue
        for extra in _EXTRAS:
            if requirement.marker.evaluate({"extra": extra}):
                yield Requirement(f"{requirement.name}{requirement.specifier}"), extra


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices(problems: list[Problem]) -> list[str]:
    """What JAX computes on; none is a problem, and so is a card that it does not see."""
    try:
        import jax

        found = jax.devices()
    except (ImportError, RuntimeError, AttributeError) as error:  # versions at odds; a platform that is not there
        chosen = os.environ.get("JAX_PLATFORMS")
        remedy = f"unset JAX_PLATFORMS, which is {chosen!r}" if chosen else "pip install -U jax jaxlib"
        problems.append(Problem(f"JAX does not start: {shortened(error, 200).rstrip('.')}.", remedy))
        return []
    if _NVIDIA.exists() and all(device.platform == "cpu" for device in found):
        problems.append(Problem("there is an NVIDIA driver, but JAX computes on the CPU.", "pip install 'jax[cuda13]'"))
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in found]


def _cache(problems: list[Problem]) -> dict[str, Any]:
    """Where decompressed data and the kernels are; a folder that cannot be written or a full disk is a problem."""
    folder = cache_folder()
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    writable = _is_writable(there)
    free = shutil.disk_usage(there).free
    remedy = "set CONTRACTIVE_CACHE to a folder that can be written"
    if not writable:
        problems.append(Problem(f"the cache {str(folder)!r} cannot be written; MNIST is decompressed into it.", remedy))
    elif free < _LEAST_FREE:
        problems.append(Problem(f"the disk of the cache {str(folder)!r} has {free / 1e6:.0f} MB left.", remedy))
    return {
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in files),
        "free_bytes": free,
        "writable": writable,
    }


def _is_writable(place: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=place):  # permissions do not tell of a disk that is read only
            return True
    except OSError:
        return False


def _compiler(problems: list[Problem]) -> dict[str, Any]:
    """The C compiler, and whether it makes the kernel; that it does not is a problem on Linux, as it is used there."""
    name = os.environ.get("CC", "cc")
    path = shutil.which(name)
    builds = build_kernel(16, 1, np.dtype(np.float32)) is not None
    if path is None and sys.platform == "linux":
        remedy = "apt-get install gcc libc6-dev, or what your system has for it"
        problems.append(Problem(f"there is no C compiler {name!r}; plain SGD on small batches runs on JAX.", remedy))
    elif not builds and sys.platform == "linux":
        remedy = "apt-get install gcc libc6-dev, or name another compiler in CC"
        problems.append(Problem(f"{path} does not build the kernel; plain SGD on small batches runs on JAX.", remedy))
    return {"path": path, "version": None if path is None else _first_line(path), "builds_kernel": builds}


def _first_line(compiler: str) -> str | None:
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return shortened((done.stdout.splitlines() or [""])[0], 120)
