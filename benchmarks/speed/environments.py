"""The peers' own virtual environments: built once, by pip, apart from the product's."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DEEP_PEERS",
    "ENVIRONMENTS",
    "ENVS_FOLDER",
    "PACKAGE_PEERS",
    "PEERS",
    "Environment",
    "MissingPeerError",
    "ensure",
]

ENVS_FOLDER = Path(__file__).parent / ".envs"
_STAMP = "requirements.json"
_LOG = "install.log"


class MissingPeerError(RuntimeError):
    """A peer cannot run here; the message is one line saying why and the remedy."""


@dataclass(frozen=True)
class Environment:
    """What one virtual environment holds.

    Attributes:
        requirements: Exact pins, installed first.
        sdists: Exact pins built from source against `requirements`, without build isolation.
        python: The (major, minor) version that the pins need, or None for the running one.
        needs_compiler: Whether its peers compile C++ against Python's headers.
        needs_openblas: Whether its peers link with `-lopenblas`.
    """

    requirements: tuple[str, ...]
    sdists: tuple[str, ...] = ()
    python: tuple[int, int] | None = None
    needs_compiler: bool = False
    needs_openblas: bool = False

    def stamp(self, python: str) -> str:
        """What the stamp file of a finished environment says."""
        pins = {"python": python, "requirements": self.requirements, "sdists": self.sdists}
        return json.dumps(pins, indent=1)


ENVIRONMENTS: dict[str, Environment] = {
    # Theano 1.0.5 needs NumPy before 1.24 (which has wheels up to Python 3.11), whose
    # `numpy.distutils` needs setuptools before 60, and `nose` to be importable.
    "theano": Environment(
        requirements=(
            "setuptools==59.8.0",
            "wheel==0.45.1",
            "numpy==1.23.5",
            "scipy==1.10.1",
            "nose==1.3.7",
            "six==1.17.0",
        ),
        sdists=("Theano==1.0.5",),
        python=(3, 11),
        needs_compiler=True,
        needs_openblas=True,
    ),
    "torch": Environment(
        requirements=("torch==2.13.0", "numpy==2.4.6", "safetensors==0.8.0"),
        needs_compiler=True,
    ),
    "keras": Environment(requirements=("keras==3.15.1", "jax==0.10.2", "numpy==2.4.6")),
    "jax": Environment(requirements=("jax==0.10.2", "numpy==2.4.6")),
    "sklearn": Environment(requirements=("scikit-learn==1.9.1", "scipy==1.17.1", "numpy==2.4.6")),
    "autoencoders": Environment(requirements=("autoencoders==0.6.8", "torch==2.13.0", "numpy==2.4.6")),
    "rapidae_jax": Environment(requirements=("rapidae==0.0.5", "keras==3.15.1", "jax==0.10.2", "numpy==2.4.6")),
    "rapidae_tensorflow": Environment(
        requirements=("rapidae==0.0.5", "keras==3.15.1", "tensorflow-cpu==2.21.0", "numpy==2.4.6")
    ),
    "pythae": Environment(requirements=("pythae==0.1.2", "torch==2.13.0", "numpy==2.4.6")),
    # pyod imports tqdm with its auto-encoder, and does not ask for it.
    "pyod": Environment(requirements=("pyod==3.6.7", "torch==2.13.0", "numpy==2.4.6", "tqdm==4.70.1")),
}

# Peer (a script in `peers/`) -> the environment it runs in.
PEERS: dict[str, str] = {
    "theano_tutorial": "theano",
    "theano_as_published": "theano",
    "torch_closed_form": "torch",
    "torch_compiled": "torch",
    "torch_by_hand": "torch",
    "keras_jax": "keras",
}

# The same for what `make bench-peers` adds: published packages, and JAX without this package.
PACKAGE_PEERS: dict[str, str] = {
    "jax_jacrev": "jax",
    "autoencoders_cae": "autoencoders",
    "rapidae_sigmoid": "rapidae_tensorflow",
    "rapidae_relu": "rapidae_tensorflow",
    "rapidae_jax": "rapidae_jax",
    "pythae_ae": "pythae",
    "pyod_ae": "pyod",
    "sklearn_rbm": "sklearn",
}

# The same for the deep job; its contenders on plain JAX run in this package's own environment.
DEEP_PEERS: dict[str, str] = {
    "deep_torch_compiled": "torch",
    "deep_torch_jacrev": "torch",
    "deep_torch_compiled_plain": "torch",
    "deep_torch_plain": "torch",
}


def ensure(name: str, folder: Path = ENVS_FOLDER) -> Path:
    """Builds an environment unless it is there already.

    Args:
        name: A key of `ENVIRONMENTS`.
        folder: Where the environments live; this one goes to `folder / name`.

    Returns:
        The environment's Python interpreter.

    Raises:
        MissingPeerError: If the machine lacks what the environment needs or pip fails.
    """
    environment = ENVIRONMENTS[name]
    home = folder.resolve() / name
    python = home / "bin" / "python"
    base = _base_python(name, environment)
    _check_system(name, environment, base)
    stamp = home / _STAMP
    wanted = environment.stamp(_version(environment))
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    _build(name, environment, home, base)
    stamp.write_text(wanted)
    return python


def _version(environment: Environment) -> str:
    major, minor = environment.python or sys.version_info[:2]
    return f"{major}.{minor}"


def _base_python(name: str, environment: Environment) -> str:
    """The interpreter to build from: this one if its version fits, else one on the path."""
    if environment.python in (None, sys.version_info[:2]):
        return sys.executable
    found = shutil.which(f"python{_version(environment)}")
    if found is None:
        raise MissingPeerError(
            f"{name}: needs Python {_version(environment)}; got {sys.version.split()[0]} "
            f"and no python{_version(environment)} on the path."
        )
    return found


def _check_system(name: str, environment: Environment, base: str) -> None:
    """Names the missing system package before pip spends minutes."""
    if not environment.needs_compiler:
        return
    if shutil.which("g++") is None:
        raise MissingPeerError(f"{name}: needs a C++ compiler: apt-get install g++")
    if base == sys.executable and not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise MissingPeerError(f"{name}: needs Python's headers: apt-get install python3-dev")
    if not environment.needs_openblas:
        return
    # The compiler answers with a full path when its linker would find the library.
    command = ["g++", "-print-file-name=libopenblas.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        raise MissingPeerError(f"{name}: needs OpenBLAS: apt-get install libopenblas-dev")


def _build(name: str, environment: Environment, home: Path, base: str) -> None:
    print(f"benchmark: building the `{name}` environment in {home}", file=sys.stderr)
    if base == sys.executable:
        venv.create(home, clear=True, with_pip=True, symlinks=True)
    else:
        subprocess.run([base, "-m", "venv", "--clear", str(home)], check=True)
    _pip(name, home, *environment.requirements)
    if environment.sdists:
        _pip(name, home, "--no-build-isolation", *environment.sdists)


def _pip(name: str, home: Path, *arguments: str) -> None:
    command = [str(home / "bin" / "python"), "-m", "pip", "install", *arguments]
    log = home / _LOG
    with log.open("a") as stream:
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT).returncode
    if code:
        lines = log.read_text().strip().splitlines()
        last = next((line for line in reversed(lines) if "ERROR" in line), "see the log")
        raise MissingPeerError(f"{name}: pip failed ({last.strip()}); log: {log}")


def main() -> int:
    """Builds the environments named on the command line (all by default)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(ENVIRONMENTS)}; default all")
    parser.add_argument("--folder", type=Path, default=ENVS_FOLDER)
    arguments = parser.parse_args()
    failed = False
    for name in arguments.names or ENVIRONMENTS:
        try:
            print(name, ensure(name, arguments.folder))
        except MissingPeerError as error:
            failed = True
            print(f"missing: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
