"""Each module imports only what stands below it, and each foreign package has one home."""

import ast
from collections.abc import Iterator
from pathlib import Path

import contractive

ORDER = """
    _typing _files _memory _processors _validation presets activations corruption losses models batched jacobian
    penalties objectives geometry sampling native datasets sources serialization training supervised distributed
    estimators plots runs report export tracking doctor cli
""".split()
HOMES = {
    "sklearn": {"datasets", "estimators"},
    "matplotlib": {"plots", "runs"},
    "optax": {"training", "supervised"},
    "typer": {"cli"},
    "rich": {"cli"},
    "safetensors": {"serialization"},
    "jinja2": {"report"},
    "pyarrow": {"sources"},
    "onnx": {"export"},
    "tensorboardX": {"tracking"},
    "mlflow": {"tracking"},
}
FORBIDDEN = {"pickle", "marshal", "dill", "cloudpickle", "joblib", "shelve"}
# Modules in which an import may wait inside a function, because it is heavy.
LATE = {"plots", "runs", "datasets", "sources", "export", "tracking", "doctor", "cli"}
ONLY = {"plots": {"plots", "_typing", "_files", "_validation"}}
PACKAGE = Path(contractive.__file__).parent


def imports(path: Path, package: Path) -> Iterator[tuple[str, bool, bool]]:
    """Each import of a file: (dotted name with its dots resolved, whether of the package, whether in a function)."""
    inside = package.name, *path.relative_to(package).parent.parts
    tree = ast.parse(path.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*inside[: len(inside) + 1 - node.level], *filter(None, [node.module])])
            base = base if node.level else str(node.module)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, name.partition(".")[0] == package.name, id(node) in late


def faults(package: Path) -> list[str]:
    """What breaks the rules, one line a fault."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).parts[0].removesuffix(".py")
        if module == "__init__":
            continue  # it only re-exports
        if module not in ORDER:
            found.append(f"{module} is not in the layout")
            continue
        below = {*ORDER[: ORDER.index(module)], *({module} if path.parent != package else ())}
        allowed = ONLY.get(module, below)
        for name, own, late in imports(path, package):
            top = name.split(".")[0]
            target = f"{name}.".split(".")[1]
            if own and not (target in allowed or (module == "cli" and target == "__version__")):
                found.append(f"{module} imports {name}")
            if top in FORBIDDEN or module not in HOMES.get(top, {module}):
                found.append(f"{module} imports {name}")
            if late and module not in LATE:
                found.append(f"{module} imports {name} inside a function")
    return found


def test_layout_is_kept():
    assert {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()} >= set(ORDER)
    assert faults(PACKAGE) == []


def test_each_fault_is_found(tmp_path):
    package = tmp_path / PACKAGE.name
    (package / "datasets").mkdir(parents=True)
    (package / "models.py").write_text("from . import training\nfrom .losses import LOSSES\nimport jax, optax\n")
    (package / "losses.py").write_text("import contractive\nfrom contractive import load\n")
    (package / "plots.py").write_text("from .models import AutoEncoder\nfrom ._files import write_atomically\n")
    (package / "runs.py").write_text("def f():\n    from .cli import main\n    import pickle\n")
    (package / "jacobian.py").write_text("def f():\n    import jax\n")
    (package / "cli.py").write_text("from . import __version__\nfrom . import load\nimport typer\n")
    (package / "datasets" / "_mnist.py").write_text(
        "from .._files import x\nfrom ._digits import y\nfrom ..cli import z\n"
    )
    (package / "extra.py").write_text("import numpy\n")
    assert faults(package) == [
        "cli imports contractive.load",
        "datasets imports contractive.cli.z",
        "extra is not in the layout",
        "jacobian imports jax inside a function",
        "losses imports contractive",
        "losses imports contractive.load",
        "models imports contractive.training",
        "models imports optax",
        "plots imports contractive.models.AutoEncoder",
        "runs imports contractive.cli.main",
        "runs imports pickle",
    ]


def test_every_line_that_no_test_runs_says_why():
    lines = [line for path in PACKAGE.rglob("*.py") for line in path.read_text().splitlines() if "no cover" in line]
    assert lines
    assert all(len(line.split("# pragma: no cover - ")[1].split()) >= 3 for line in lines), lines
