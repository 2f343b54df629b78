# Each target makes .venv by itself; nothing but a Python >= 3.11 and a package registry is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-all coverage mutation lint types examples docs check bench bench-peers reproduce-quick dist clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/.runtime ## train the tutorial's contractive auto-encoder on MNIST into runs/tutorial
	$(BIN)/contractive train mnist --preset tutorial --seed 123 --out runs/tutorial --overwrite

test: .venv/.test ## the tests that take less than a few minutes together
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test-all: .venv/.release ## every test
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

coverage: .venv/.release ## every test, and which lines of the package none of them runs: each must say why
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --cov --cov-report=term

mutation: .venv/.test benchmarks/mutation/.env ## make the mathematics wrong in one place after the other, for hours: do the tests notice?
	benchmarks/mutation/.env/bin/python benchmarks/mutation/run.py

lint: .venv/.dev ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev ## static types of the package, its tests and its tools
	$(BIN)/pyright

examples: .venv/.test ## every example, with little data
	$(BIN)/python -m pytest -q -n 2 tests/test_examples.py

docs: .venv/.dev ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: lint types docs test ## what the continuous integration runs

bench: .venv/.runtime ## speed against the peers, side by side; makes their environments itself
	$(BIN)/python benchmarks/speed/run.py && $(BIN)/python benchmarks/speed/deep.py

bench-peers: .venv/.runtime ## speed and penalties of the published packages too, side by side
	$(BIN)/python benchmarks/speed/peers_run.py

reproduce-quick: .venv/.test ## every path of the papers' tables, with a few hundred rows and tiny models
	$(BIN)/contractive reproduce all --quick

dist: .venv/.release ## sdist, wheel, bill of materials and licences of all dependencies, into dist/
	$(BIN)/python tools/release.py dist

clean: ## remove the environment and everything that was made
	rm -rf .venv runs dist site benchmarks/speed/.envs benchmarks/mutation/.env

benchmarks/mutation/.env: benchmarks/mutation/requirements.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "contractive needs Python 3.11 or newer; got %s. Set PYTHON=/path/to/python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@ .venv/.runtime

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@ .venv/.test .venv/.runtime

.venv/.release: .venv/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[release]"
	touch $@
