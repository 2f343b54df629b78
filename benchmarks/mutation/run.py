"""Change the mathematics a little, one place at a time, and see whether the tests notice. Writes `results.jsonl`.

`make mutation` at the root of the checkout runs it in an environment that has Cosmic Ray. Each change gets a line the
moment it has been tried. What was killed is not tried again while its module is the same; what survived is, as tests
may have been added. At the end `README.md` is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import Queue, get_context
from pathlib import Path
from typing import Any, NamedTuple

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.jsonl"
# The modules, and the tests of each, those first that notice most.
ALL = ("jacobian", "losses", "objectives", "penalties", "golden", "known_traps")
TESTS = {
    "losses.py": ("losses", *ALL),
    "penalties.py": ("penalties", "objectives", *ALL),
    "objectives.py": ("objectives", "properties", *ALL),
    "jacobian/__init__.py": ("jacobian", *ALL),
    "jacobian/_chain.py": ("jacobian", *ALL),
    "jacobian/_differential.py": ("jacobian", *ALL),
}
# One change of each kind of operator is as good as eleven; and `X | None` is never evaluated.
LEFT_OUT = re.compile(
    r"core/(ReplaceBinaryOperator_(BitOr_.*|\w+_(BitOr|BitAnd|BitXor|RShift|LShift|Mod|FloorDiv|Pow)"
    r"|(Mul|Div)_Sub|(Add|Sub|MatMul|Pow)_Div|Div_Add)"
    r"|ReplaceUnaryOperator_USub_.*"
    r"|ReplaceComparisonOperator_((Eq|NotEq)_(Is|IsNot|Lt|Gt|GtE|LtE)|(Is|IsNot)_(Eq|NotEq|Lt|Gt|GtE|LtE)"
    r"|(Lt|Gt|GtE|LtE)_(Is|IsNot|Eq|NotEq)))"
)
SECONDS = 600  # a change that runs longer than that counts as noticed
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiled once, run once
# What a change leaves as it was is compiled once for all of them: half of the time.
KEEP = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


class Change(NamedTuple):
    """One place to change, in a module of a certain content."""

    module: str
    digest: str
    spec: MutationSpec

    @property
    def key(self) -> str:
        """What a line of the results calls it."""
        return f"{self.module}@{self.digest}:{self.spec.operator_name}:{self.spec.occurrence}"


def main() -> None:
    """Try what has not been tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="whose environment has the tests'")
    parser.add_argument("--modules", nargs="+", choices=TESTS, default=[*TESTS])
    parser.add_argument("--every", type=int, default=1, help="try one of so many, by a hash of the place")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    known = {line["key"]: line for line in read_lines()}
    changes = [
        change
        for module in options.modules
        for change in changes_of(module)
        if (known[change.key]["outcome"] != "killed" if change.key in known else is_drawn(change, options.every))
    ]
    print(f"{len(changes)} changes to try", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        # Processes that start anew, each with a copy of its own that it may change.
        places = get_context("spawn").Queue()
        for number in range(options.workers):
            place = Path(folder) / str(number)
            for name in ("src", "tests"):
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", place)
            places.put(str(place))
        with (
            ProcessPoolExecutor(options.workers, get_context("spawn"), settle, (places, options.python)) as pool,
            RESULTS.open("a") as stream,
        ):
            for done in as_completed([pool.submit(tried, change) for change in changes]):
                line = done.result()
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                print(line["outcome"], line["key"], f"{line['seconds']:.0f} s", flush=True)
    write_page()


def changes_of(module: str) -> Iterator[Change]:
    """The places of a module."""
    path = ROOT / "src/contractive" / module
    text = path.read_text()
    digest = digest_of(module)
    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/changes.sqlite", WorkDB.Mode.create) as database:
        init([path.relative_to(ROOT)], database, {})
        for item in database.work_items:
            [spec] = item.mutations
            line = text.splitlines()[spec.start_pos[0] - 1]
            is_star = "_Mul_" in spec.operator_name and re.search(r"\bdef \w+\(.*[(,] ?\*,", line)  # no product
            if not LEFT_OUT.fullmatch(spec.operator_name) and not is_star:
                yield Change(module, digest, spec)


def digest_of(module: str) -> str:
    """What a module's content is known by."""
    return hashlib.sha256((ROOT / "src/contractive" / module).read_bytes()).hexdigest()[:12]


def is_drawn(change: Change, every: int) -> bool:
    """Whether a change is among one of so many."""
    return int(hashlib.sha256(change.key.encode()).hexdigest(), 16) % every == 0


def settle(places: Queue[str], python: str) -> None:
    """Work in a copy of one's own from now on."""
    place = places.get()
    os.chdir(place)
    os.environ |= {"PYTHONPATH": f"{place}/src", "XLA_FLAGS": QUICK, "OMP_NUM_THREADS": "1", "TESTED_BY": python}
    os.environ |= {**KEEP, "JAX_COMPILATION_CACHE_DIR": f"{Path(place).parent}/compiled"}


def tried(change: Change) -> dict[str, Any]:
    """Make a change, run the tests, take it back."""
    began = time.perf_counter()
    tests = dict.fromkeys(f"tests/test_{name}.py" for name in TESTS[change.module])
    command = [os.environ["TESTED_BY"], "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *tests]
    result = mutate_and_test([change.spec], " ".join(command), SECONDS)
    outcome = result.test_outcome.value if result.test_outcome else result.worker_outcome.value
    line = {"key": change.key, "line": change.spec.start_pos[0], "outcome": outcome}
    if outcome != "killed":
        line["diff"] = [text for text in (result.diff or "").splitlines() if re.match(r"[+-](?![+-])\s*\S", text)]
    return {**line, "seconds": round(time.perf_counter() - began, 1)}


def read_lines() -> list[dict[str, Any]]:
    """The last line of each change, of modules as they are now."""
    if not RESULTS.exists():
        return []
    modules = {f"{module}@{digest_of(module)}" for module in TESTS}
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return [*{line["key"]: line for line in lines if line["key"].split(":")[0] in modules}.values()]


def write_page() -> None:
    """Write `README.md`, and leave in the results only what it shows."""
    lines = read_lines()
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = ["| module | changes | tried | noticed | share |", "|---|---|---|---|---|"]
    totals = [0, 0, 0]
    for module in TESTS:
        own = [line for line in lines if line["key"].startswith(f"{module}@")]
        counts = [sum(1 for _ in changes_of(module)), len(own), sum(line["outcome"] == "killed" for line in own)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        rows.append(_row(f"`{module}`", counts))
    survivors = [
        f"- `{line['key'].split('@')[0]}`, line {line['line']}: "
        + " → ".join(f"`{text[1:].strip()}`" for text in line["diff"])
        for line in lines
        if line["outcome"] != "killed"
    ]
    (HERE / "README.md").write_text(
        "# Do the tests notice?\n\n"
        "Written by `make mutation`; do not edit. Each change is one place of the mathematics made wrong by Cosmic "
        "Ray: a number, an operator, a comparison, a condition, a flag. Noticed is what makes a test fail. Where not "
        "all were tried, those that were came first or were drawn by a hash of the place.\n\n"
        + "\n".join([*rows, _row("together", totals)])
        + "\n\n## Not noticed\n\n"
        + "\n".join(survivors)
        + "\n"
    )


def _row(name: str, counts: list[int]) -> str:
    share = f"{100 * counts[2] / counts[1]:.1f} %" if counts[1] else "–"
    return f"| {name} | {' | '.join(map(str, counts))} | {share} |"


if __name__ == "__main__":
    main()
