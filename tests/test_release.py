"""What is released works where nothing else is installed, on the oldest and the newest Python at hand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def interpreters() -> list[str]:
    """The oldest and the newest of this machine's Pythons that the package supports."""
    found: dict[tuple[int, int], str] = {sys.version_info[:2]: sys.executable}
    versions = Path.home() / ".pyenv" / "versions"
    for minor in range(11, 20):
        on_path = [path for path in [shutil.which(f"python3.{minor}")] if path]
        for path in [*on_path, *map(str, versions.glob(f"3.{minor}.*/bin/python"))]:
            if subprocess.run([path, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0:
                found.setdefault((3, minor), path)
    return [found[version] for version in sorted({min(found), max(found)})]


def run(*command: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes."""
    pytest.importorskip("build", reason="`make .venv/.release` installs what makes a release")
    folder = tmp_path_factory.mktemp("release") / "dist"
    run(sys.executable, ROOT / "tools" / "release.py", folder, folder=folder.parent)
    return folder


@pytest.mark.slow
def test_release_is_whole(dist: Path):
    names = {re.sub(r"-\d.*?(?=-py3|\.tar)", "", path.name) for path in dist.iterdir()}
    assert names == {"contractive-py3-none-any.whl", "contractive.tar.gz", "sbom.cdx.json", "licences.md"}
    components = {part["name"] for part in json.loads((dist / "sbom.cdx.json").read_text())["components"]}
    assert {"jax", "equinox", "optax", "numpy", "scikit-learn"} <= components
    licences = (dist / "licences.md").read_text()
    assert all(f"| {name} " in licences for name in ("jax", "equinox", "numpy"))
    assert not re.search(r"\bUNKNOWN\b|\bGPL", licences), licences


@pytest.mark.slow
@pytest.mark.parametrize("place", [pytest.param(0, id="oldest"), pytest.param(-1, id="newest")])
def test_wheel_does_the_tutorial_s_job_in_an_empty_environment(dist: Path, tmp_path: Path, place: int):
    python = interpreters()[place]  # not while tests are collected, as it starts each of them
    [wheel] = dist.glob("*.whl")
    run(python, "-m", "venv", "env", folder=tmp_path)
    pip = ["env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, wheel, folder=tmp_path)
    run("env/bin/contractive", "train", "mnist", "--preset", "tutorial", "--epochs", 1, "--out", "run", folder=tmp_path)
    assert {"model.safetensors", "filters.png", "report.html"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert run("env/bin/contractive", "--version", folder=tmp_path).split()[1] in wheel.name


@pytest.mark.slow
def test_public_types_are_known(dist: Path, tmp_path: Path):
    """Of the wheel as it is installed, `py.typed` and all; in an editable one pyright finds no package."""
    [wheel] = dist.glob("*.whl")
    run(sys.executable, "-m", "venv", "env", folder=tmp_path)
    run("env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, folder=tmp_path)
    environment = os.environ | {"PATH": f"{tmp_path / 'env/bin'}:{os.environ['PATH']}"}  # whose python pyright asks
    pyright = [Path(sys.executable).with_name("pyright"), "--ignoreexternal", "--verifytypes", "contractive"]
    done = subprocess.run(pyright, cwd=tmp_path, env=environment, capture_output=True, text=True)
    score = re.search(r"Type completeness score: ([\d.]+)%", done.stdout)
    assert score is not None, done.stdout + done.stderr
    assert float(score[1]) >= 95, done.stdout
