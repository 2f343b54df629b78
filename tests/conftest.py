"""What the tests share: a cache of their own, float64 on request, the command line in one call."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

from console import Outcome, run_here

_CACHE = "CONTRACTIVE_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    """Keep all tests, doctests and child processes out of the user's own cache; xdist's workers inherit the folder."""
    if not hasattr(config, "workerinput"):
        os.environ[_CACHE] = tempfile.mkdtemp(prefix="contractive-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that cache with the last process that used it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)


@pytest.fixture(scope="session")
def mnist_cache() -> Path:
    """The cache folder that the whole session shares."""
    return Path(os.environ[_CACHE])


@pytest.fixture
def x64() -> Iterator[None]:
    """JAX computes in float64 while the test runs."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `contractive ARGUMENTS` in this process and in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["contractive", *map(str, arguments)])
        capsys.readouterr()
        code = run_here()
        out, err = capsys.readouterr()
        return Outcome(code, str(out), str(err))

    return run
