"""What the doctor says of this machine, each problem on a machine that has it, and the completion of a real shell."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import pytest

import contractive
from console import Outcome
from contractive import doctor
from contractive.doctor import examine
from contractive.native import build_kernel

Call = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no kernel that was found before."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "rows.npy").write_bytes(bytes(1234))
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(tmp_path / "cache"))
    build_kernel.cache_clear()
    return tmp_path / "cache"


def only_problem() -> tuple[str, str]:
    """The problem and the remedy where there is one of each."""
    ((problem, remedy),) = examine()[1]
    return problem, remedy


def test_facts_are_those_of_the_machine(cache: Path):
    facts, problems = examine()
    assert problems == []
    assert (facts["contractive"], facts["python"]) == (contractive.__version__, sys.version.split()[0])
    assert facts["processors"] == len(os.sched_getaffinity(0))
    for name in ("jax", "jaxlib", "numpy", "scikit-learn", "typer"):
        assert facts["packages"][name] == version(name)
    assert {name: facts["optional"][name] for name in ("onnx", "pyarrow", "tensorboardx")} == {
        name: version(name) for name in ("onnx", "pyarrow", "tensorboardx")
    }
    assert "pytest" not in {**facts["packages"], **facts["optional"]}
    assert [device.split(":")[0] for device in facts["devices"]] == [device.platform for device in jax.devices()]
    assert facts["cache"]["folder"] == str(cache)
    assert facts["cache"]["bytes"] == 1234
    assert facts["cache"]["writable"] is True
    assert facts["compiler"]["path"] == shutil.which(os.environ.get("CC", "cc"))
    assert facts["compiler"]["builds_kernel"] is True
    assert len(list(cache.glob("native/*.so"))) == 1


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch):
    wanted = ["numpy>=99", "nonesuch>=1", "pillow>=99; extra == 'data'", "absent; extra == 'onnx'", "x; extra == 'dev'"]
    monkeypatch.setattr(doctor, "requires", lambda name: wanted)
    facts, problems = examine()
    assert problems == [
        (f"numpy is {version('numpy')}; numpy>=99 is needed.", "pip install -U 'numpy>=99'"),
        ("nonesuch is missing.", "pip install 'nonesuch>=1'"),
        (f"pillow is {version('pillow')}; pillow>=99 is needed.", "pip install -U 'pillow>=99'"),
    ]
    assert facts["optional"] == {"absent": None, "pillow": version("pillow")}


def test_jax_that_does_not_start(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise RuntimeError("Unknown backend\n'tpux'")

    monkeypatch.setattr(jax, "devices", fail)
    assert only_problem() == ("JAX does not start: Unknown backend 'tpux'.", "pip install -U jax jaxlib")
    monkeypatch.setenv("JAX_PLATFORMS", "tpux")
    assert only_problem()[1] == "unset JAX_PLATFORMS, which is 'tpux'"


def test_a_card_that_jax_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_NVIDIA", tmp_path)
    problem, remedy = only_problem()
    assert "NVIDIA" in problem
    assert remedy == "pip install 'jax[cuda13]'"


def test_no_compiler_and_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CC", "nonesuch")
    problem, remedy = only_problem()
    assert "no C compiler 'nonesuch'" in problem
    assert "apt-get install gcc" in remedy
    build_kernel.cache_clear()
    monkeypatch.setenv("CC", str(shutil.which("false")))
    facts, ((problem, remedy),) = examine()
    assert "does not build the kernel" in problem
    assert facts["compiler"]["version"] is None


def test_a_cache_that_cannot_be_written_and_a_full_disk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_kernel(16, 1, doctor.np.dtype("float32"))  # what is built stays in use
    monkeypatch.setattr(doctor, "_LEAST_FREE", 1 << 60)
    assert "MB left" in only_problem()[0]
    monkeypatch.setenv("CONTRACTIVE_CACHE", str(cache / "rows.npy"))
    problem, remedy = only_problem()
    assert f"{str(cache / 'rows.npy')!r} cannot be written" in problem
    assert "CONTRACTIVE_CACHE" in remedy


def test_command_prints_a_table_or_json_and_its_code_tells_of_problems(call: Call, monkeypatch: pytest.MonkeyPatch):
    outcome = call("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"jax            {version('jax')}" in outcome.out.splitlines()
    assert outcome.out.endswith("\nno problems found\n")
    monkeypatch.setattr(doctor, "requires", lambda name: ["nonesuch>=1"])
    outcome = call("doctor")
    assert outcome.code == 1
    assert outcome.out.endswith("problem  nonesuch is missing.\nremedy   pip install 'nonesuch>=1'\n")
    found = json.loads((outcome := call("doctor", "--json")).out)
    assert outcome.code == 1
    assert found["problems"] == [{"problem": "nonesuch is missing.", "remedy": "pip install 'nonesuch>=1'"}]
    assert found["cache"]["bytes"] >= 1234


def in_bash(script: str, home: Path) -> str:
    """What a script prints in a real shell that finds the command."""
    places = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(home)}
    done: Any = subprocess.run(
        ["bash", "-c", script], env=os.environ | places, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_commands_and_options(tmp_path: Path):
    completed = in_bash(
        'eval "$(contractive --show-completion)"\n'
        "complete -p contractive\n"
        'for words in "contractive exp" "contractive export run --st"; do\n'
        "COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _contractive_completion contractive\n"
        'echo "${COMPREPLY[@]}"; done\n',
        tmp_path,
    )
    assert completed.splitlines() == [
        "complete -o default -F _contractive_completion contractive",
        "export",
        "--stablehlo",
    ]


def test_completion_is_installed_for_bash(tmp_path: Path):
    in_bash("contractive --install-completion; true", tmp_path)
    assert ".bash_completions/contractive.sh" in (tmp_path / ".bashrc").read_text()
    assert "_contractive_completion" in (tmp_path / ".bash_completions" / "contractive.sh").read_text()
