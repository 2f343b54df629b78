"""Which threads compute, and how many there are."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import contractive._processors as processors
from contractive import ContractiveAutoencoder, load_digits
from contractive._processors import computing_in_callers, n_callers

# The commands' own process, which tells at its end how many threads XLA's pool had.
PROBE = """
import atexit, pathlib
from contractive.cli import main

def tell():
    names = [(task / "comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()]
    print("pool", names.count("tf_XLAEigen"))

atexit.register(tell)
main()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux lists threads so")
@pytest.mark.parametrize(
    ("command", "own", "pool"), [("encode", None, 1), ("score", None, 1), ("encode", "3", 3)], ids=str
)
def test_rows_are_computed_in_the_threads_that_read_them(command: str, own: str | None, pool: int, tmp_path: Path):
    if own is None and not 1 < processors.n_processors() <= 4:
        pytest.skip("of one processor, or of many, the pool is as ever")
    ContractiveAutoencoder(4, max_epochs=1).fit(load_digits()[0][0]).save(tmp_path / "model.safetensors")
    kept = {name: value for name, value in os.environ.items() if name != "NPROC"}
    words = [sys.executable, "-c", PROBE, command, tmp_path, "digits", "--out", tmp_path / "out.npy"]
    environment = kept if own is None else kept | {"NPROC": own}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["pool", str(pool)]


@pytest.mark.parametrize(("n", "callers", "pool"), [(1, 2, "1"), (2, 2, "1"), (4, 4, "1"), (5, 3, None), (64, 3, None)])
def test_few_processors_have_a_thread_each(n: int, callers: int, pool: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processors, "n_processors", lambda: n)
    monkeypatch.delenv("NPROC", raising=False)
    assert n_callers() == callers
    with pytest.raises(KeyboardInterrupt), computing_in_callers():  # noqa: PT012
        assert os.environ.get("NPROC") == pool
        assert jax.config.read("jax_cpu_enable_async_dispatch") is False
        raise KeyboardInterrupt
    assert "NPROC" not in os.environ
    assert jax.config.read("jax_cpu_enable_async_dispatch") is True


def test_the_users_own_pool_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processors, "n_processors", lambda: 2)
    monkeypatch.setenv("NPROC", "7")
    with computing_in_callers():
        assert os.environ["NPROC"] == "7"
    assert os.environ["NPROC"] == "7"
