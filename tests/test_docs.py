"""The documentation: every public name has a page, every block of code runs or parses, and the site builds."""

import ast
import json
import os
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import contractive
from console import call_in
from contractive.cli import app
from contractive.cli._settings import build_estimator, read_settings
from launching import free_port

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUP: Any = typer.main.get_command(app)
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, as in `contractive.cli`
_COMMAND = re.compile(r"(?:^|[ '])contractive (?=[a-z])(.*)")
_EXTERNAL = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>""")


class Block(NamedTuple):
    """A block of code and where it stands."""

    page: Path
    language: str
    code: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in _FENCED.finditer(text):
        yield Block(page, match[1], match[2])
    for match in _INDENTED.finditer(_FENCED.sub("", text)):
        yield Block(page, "", match[0])


BLOCKS = [block for page in PAGES for block in blocks(page)]


def commands(code: str) -> list[list[str]]:
    """The arguments of each `contractive ...` in shell code, without comments and redirections."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        match = _COMMAND.search(line)
        if match:
            open_quote = line[: match.start(1)].count("'") % 2 == 1  # of `sh -c '...'`
            words = match[1].partition("'")[0] if open_quote else match[1]
            words = re.sub(r"\$\w+", "1", words)
            found.append(shlex.split(words, comments=True))
    return found


def fault(arguments: list[str]) -> str | None:
    """What the parser of the command line has against these arguments; nothing is run."""
    name, *rest = arguments
    if name not in GROUP.commands:
        return f"no command {name}"
    try:
        GROUP.commands[name].make_context(name, rest)
    except _UsageError as error:
        return error.format_message()
    return None


def public_names() -> dict[str, list[str]]:
    """`__all__` of the package, under "", and of each public module; nothing is imported."""
    package = Path(contractive.__file__).parent
    names = {}
    for path in [*package.glob("*.py"), *package.glob("*/__init__.py")]:
        module = path.stem if path.parent == package else path.parent.name
        if module.startswith("_") and module != "__init__":
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names["" if module == "__init__" else module] = ast.literal_eval(node.value)
    return names


def test_every_public_name_has_a_page_and_no_other_has():
    found = public_names()
    assert len(found) > 20
    assert found.keys() == {"", *(path.stem for path in API.glob("*.md"))} - {"contractive"}
    for module, names in found.items():
        dotted = re.escape(f"contractive.{module}")
        page = (API / f"{module or 'contractive'}.md").read_text()
        if module:
            listed = re.findall(rf"^::: {dotted}\.(\w+)$", page, re.MULTILINE)
            listed += re.findall(rf"^## .*{{ #{dotted}\.(\w+) }}$", page, re.MULTILINE)  # what others have written
        else:
            listed = re.findall(r"^- \[`(\w+)`\]\[contractive\.\w+\.\1\]$", page, re.MULTILINE)
        assert sorted(listed) == sorted(names), module


def test_every_python_block_is_a_doctest_or_runs_elsewhere():
    others = {block.page.name: block for block in BLOCKS if block.language == "python" and ">>> " not in block.code}
    assert others.keys() == {"distributed.md", "export.md", "tracking.md"}
    assert others["distributed.md"] == join_block()  # runs below
    assert (
        "import torch\n" in others["export.md"].code
    )  # runs in benchmarks/export/pytorch.py, which takes it from there
    assert (
        "mlflow.pyfunc.load_model" in others["tracking.md"].code
    )  # tests/test_tracking.py does that with a run of its own


def join_block() -> Block:
    return next(block for block in BLOCKS if "with join(" in block.code)


def test_every_command_of_the_documentation_parses():
    shell = [
        block for block in BLOCKS if block.language not in ("python", "console", "text")
    ]  # dialogues are run below
    found = [(block.page.name, words) for block in shell for words in commands(block.code)]
    assert len(found) > 40
    assert {page for page, _ in found} >= {"README.md", "large-data.md", "distributed.md", "report.md", "quickstart.md"}
    assert [(page, words, fault(words)) for page, words in found if fault(words)] == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("contractive train mnist --out a --epoch 3", "No such option"),
        ("contractive train mnist", "Missing option"),
        ("contractive fit mnist", "no command fit"),
        ("contractive encode runs/a --out b", "Missing argument"),
        ("contractive train mnist --epochs many --out a  # words", "valid integer"),
    ],
)
def test_a_command_that_does_not_parse_is_found(line: str, complaint: str):
    (arguments,) = commands(line)
    assert complaint in (fault(arguments) or "")


def test_every_settings_file_of_the_documentation_makes_an_estimator(tmp_path: Path):
    found = [block for block in BLOCKS if block.language == "toml"]
    assert found
    for block in found:
        (tmp_path / "settings.toml").write_text(block.code)
        assert build_estimator(None, None, None, read_settings(tmp_path / "settings.toml"), {})


def test_every_dialogue_goes_as_it_is_shown(tmp_path: Path):
    """Blocks of a page share a folder; what is no `contractive` is done by the shell."""
    dialogues = [block for block in BLOCKS if block.language == "console"]
    assert len(dialogues) > 5
    for block in dialogues:
        folder = tmp_path / block.page.stem
        folder.mkdir(exist_ok=True)
        for exchange in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
            line, _, expected = exchange.partition("\n")
            if not line.startswith("contractive "):
                assert subprocess.run(["sh", "-c", line], cwd=folder, timeout=60).returncode == 0, line
                continue
            outcome = call_in(folder, *shlex.split(line)[1:])
            code = 2 if expected.startswith("contractive: ") else 0
            assert (outcome.code, outcome.err or outcome.out) == (code, expected), line


def test_the_table_of_lambdas_is_what_was_measured():
    lines = json.loads((ROOT / "docs" / "images" / "sweep.json").read_text())["models"]
    text = (ROOT / "docs" / "choosing.md").read_text()
    digits = {
        "reconstruction_error": 1,
        "jacobian_norm": 1,
        "effective_dimension": 0,
        "error": 1,
        "error_with_noise": 1,
    }
    for line in lines:
        cells = [f"{line['contraction']:g}", *(f"{line[name]:.{places}f}" for name, places in digits.items())]
        assert f"| {' | '.join(cells)} |\n" in text
    best, best_with_noise = (min(lines, key=lambda line: line[name]) for name in ("error", "error_with_noise"))
    assert f"up to λ = {best['contraction']:g} " in text
    assert f"the best is λ = {best_with_noise['contraction']:g};" in text


def test_the_methods_that_others_are_sent_to_are_there():
    text = (ROOT / "docs" / "coming-from.md").read_text()
    methods = set(re.findall(r"`-?\(?(\w+)\([XH]\)", "".join(line.split(" | ")[1] for line in table_lines(text))))
    assert methods >= {"transform", "jacobian", "inverse_transform", "score_samples", "contraction_norm"}
    assert [name for name in methods if not hasattr(contractive.ContractiveAutoencoder, name)] == []


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


@pytest.mark.slow
def test_the_block_of_several_processes_runs_in_two(tmp_path: Path):
    code = join_block().code.replace("node1:9000", f"127.0.0.1:{free_port()}")
    code = "import numpy as np\nX = np.random.default_rng(0).random((256, 5), dtype='float32')\n" + code
    processes = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        source = code.replace("process_id=0", f"process_id={number}")
        processes.append(subprocess.Popen([sys.executable, "-c", source], cwd=tmp_path / str(number)))
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    assert contractive.load(tmp_path / "0" / "model.safetensors").n_features_in_ == 5
    assert not (tmp_path / "1" / "model.safetensors").exists()


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install contractive[docs]")
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    assert (
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 60
    )  # seconds; its own, on a busy machine, too
    pages = {str(page.relative_to(tmp_path / "site")): page.read_text() for page in tmp_path.rglob("site/**/*.html")}
    assert {"index.html", "example-code.html", "command-line.html", "benchmarks/papers.html"} < pages.keys()
    assert {page: _EXTERNAL.findall(text) for page, text in pages.items() if _EXTERNAL.search(text)} == {}
    for module, names in public_names().items():
        page = pages[f"api/{module or 'contractive'}.html"]
        mark = f'id="contractive.{module}.' if module else "#contractive."
        assert [name for name in names if not re.search(rf'{re.escape(mark)}(\w+\.)?{name}"', page)] == [], module
    assert "--checkpoint-every" in pages["command-line.html"]
    assert "Parzen log-likelihood" in pages["benchmarks/papers.html"]
    for path in (ROOT / "examples").glob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))
        assert path.name in pages["example-code.html"]


def test_the_site_and_the_readme_lead_to_each_other():
    assert "docs/index.md" not in {str(page.relative_to(ROOT)) for page in PAGES}  # the README is that page
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in nav
