"""What the tests share: a cache of their own, float64 on request, the command line in one call."""

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jaxtyping
import pytest

from console import Outcome, assert_one_line, listing, run_here, without_report

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
def unchecked() -> Iterator[None]:
    """The type checks that only the tests have are off: what is refused is refused by the package itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything is compiled in a fifth of the time, to slower code: for tests of many shapes; the training step."""
    return _quicken(monkeypatch)


@pytest.fixture(scope="module")
def module_quickly_compiled() -> Iterator[None]:
    """The same for a whole module, its own fixtures included."""
    with pytest.MonkeyPatch.context() as patch:
        _quicken(patch)
        yield


def _quicken(patch: pytest.MonkeyPatch) -> Any:
    quick = _quick()
    for name, function in quick.items():
        patch.setattr(f"contractive.{name}", function)
    return quick["training._engines.run_chunk"]


@cache
def _quick() -> dict[str, Any]:
    # Imported here, as the package must not be before the type checks of the tests are set up.
    from contractive.batched import _apply
    from contractive.geometry._contraction import _ratios
    from contractive.sampling import _walks
    from contractive.supervised import run_supervised_chunk
    from contractive.training import run_chunk
    from routes import jit_for_once

    steps, mapped, fine_tuning, ratios, walks = map(
        inspect.unwrap, (run_chunk, _apply, run_supervised_chunk, _ratios, _walks)
    )
    return {
        "training._engines.run_chunk": jit_for_once(steps, static_argnames="transformation", donate_argnames="state"),
        "batched._apply": jit_for_once(mapped, static_argnames="function"),
        "supervised._loop.run_supervised_chunk": jit_for_once(
            fine_tuning, static_argnames="transformation", donate_argnames="state"
        ),
        "geometry._contraction._ratios": jit_for_once(ratios),
        "sampling._walks": jit_for_once(walks, static_argnames="n_kept"),
    }


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `contractive ARGUMENTS` in this process and in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["contractive", *without_report(arguments)])
        capsys.readouterr()
        code = run_here()
        out, err = capsys.readouterr()
        return Outcome(code, str(out), str(err))

    return run


@pytest.fixture
def refused(call: Callable[..., Outcome], tmp_path: Path) -> Callable[..., None]:
    """Check that a command is refused in one line with these words and leaves every file as it was."""

    def check(arguments: list[object], words: list[str], code: int = 2) -> None:
        before = listing(tmp_path)
        assert_one_line(call(*arguments), *words, code=code)
        assert listing(tmp_path) == before

    return check
