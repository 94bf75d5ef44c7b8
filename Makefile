# `make demo` and `make test` need Python 3.11 or later and nothing else; each makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# pip compiles thousands of modules that are never imported, for a minute; with --no-compile Python
# compiles what it imports, and keeps that where this is not set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all lint types wheel clean

help:
	@echo "make demo    run the built-in model on the built-in texts: a dataset in outputs/demo"
	@echo "make test    run the tests"
	@echo "make test-all  those too that take half a minute or more each"
	@echo "make lint    style (ruff)"
	@echo "make types   types (mypy)"
	@echo "make wheel   build a wheel in dist/"
	@echo "make clean   remove $(VENV), dist/ and every cache; datasets in outputs/ stay"
	@echo "Another interpreter: make PYTHON=python3.12 ..."

demo: $(INSTALLED)
	@$(BIN)/gatescope run

test: $(INSTALLED)
	@$(BIN)/python -m pytest

test-all: $(INSTALLED)
	@$(BIN)/python -m pytest -m ""

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED)
	@$(BIN)/mypy

wheel: $(INSTALLED)
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: make PYTHON=<path of Python 3.11 or later> $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d, and Gatescope needs 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2])'
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --no-compile -c constraints.txt -e '.[dev]'
	@touch $@
