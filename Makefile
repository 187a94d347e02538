# Atelier on one machine. `make run` is all an artist needs; the rest is for people who change it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Most of a test's time is waiting for processes: three at once fill two cores. The long files are first in the alphabet.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test unit browser check format proto lock screenshots bench clean

help: ## this list
	@grep -hE '^[.a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv: $(VENV)/.run ## the environment that `make run` uses, from the hash-checked lock
$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Atelier needs Python 3.11 or newer: this is %s. Try: make run PYTHON=python3.12" % sys.version.split()[0])'
	@echo "Setting up $(VENV) (once; a minute without a package cache) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@touch $@

run: $(VENV)/.run ## the local edition on http://localhost:8000   (ARGS="--webui a1111 ..." adds options)
	@exec $(BIN)/atelier up $(ARGS)

test: $(VENV)/.dev ## every test that this machine can run
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

unit: $(VENV)/.dev ## the unit tests alone, under a minute
	@$(BIN)/python -m pytest $(PARALLEL) tests/unit $(ARGS)

browser: $(VENV)/.dev ## the tests that drive Chromium
	@$(BIN)/python -m pytest tests/browser $(ARGS)

check: $(VENV)/.dev ## lint, format, types, layers, and that generated files are fresh
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m agones_sdk.generate --check

format: $(VENV)/.dev ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(VENV)/.dev ## regenerate the gRPC stubs from proto/
	@$(BIN)/python -m agones_sdk.generate

lock: $(VENV)/.dev ## resolve the dependencies anew into the lock files
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group build pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

screenshots: $(VENV)/.dev ## pictures of every page, light and dark, into docs/pictures/
	@$(BIN)/python -m tests.browser.screenshots

bench: $(VENV)/.dev ## speed and memory, for docs/performance.md
	@$(BIN)/python benchmarks/first_image.py $(ARGS)

clean: ## remove what the targets above built
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
