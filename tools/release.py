"""Make all that a release has: sdist, wheel, and what comes with the wheel, as an SBOM and a list of licences.

Usage: python tools/release.py FOLDER

The version is that of the newest tag. The wheel is installed into an empty environment; `sbom.cdx.json` (CycloneDX) and
`licences.md` say what is in it then. What is in FOLDER before goes.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(folder: Path) -> None:
    """Make them."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        python = Path(name) / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        described = ["--output-reproducible", "--pyproject", ROOT / "pyproject.toml"]
        run(sys.executable, "-m", "cyclonedx_py", "environment", *described, "-o", folder / "sbom.cdx.json", python)
        listed = ["--format=markdown", "--order=name", "--ignore-packages", "pip", "setuptools"]
        run(
            sys.executable,
            "-m",
            "piplicenses",
            f"--python={python}",
            *listed,
            f"--output-file={folder / 'licences.md'}",
        )
    print("\n".join(sorted(str(path) for path in folder.iterdir())))


def run(*command: object) -> None:
    """Run it; what it prints is shown, and a failure ends the program."""
    if code := subprocess.run([*map(str, command)]).returncode:
        raise SystemExit(code)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
