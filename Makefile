# Needs only make and Python 3.11 or 3.12; everything else is installed into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: help setup demo test lint check pipeline clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install SGPS with its development tools.

$(STAMP): pyproject.toml constraints.txt
	@if ! [ -x $(BIN)/python ]; then \
	  for candidate in python3.11 python3.12 python3; do \
	    if "$$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	        2>/dev/null; then found="$$candidate"; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "error: no Python 3.11 or 3.12 with venv on PATH; install one, then run make again" >&2; \
	    exit 2; \
	  fi; \
	  echo "creating $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv $(VENV); \
	fi
	@echo "installing into $(VENV) (some minutes the first time)"
	@$(PIP) install torch==2.13.0 -c constraints.txt
	@$(PIP) install -e '.[dev]' -c constraints.txt
	@touch $@

demo: setup ## Phantom images to a registered classifier, on the embedded stores.
	@$(BIN)/sgps demo

# Three processes on two cores, as a third of the time is waiting for servers; in the order of
# files, as by default those with the fewest and longest tests come last.
test: setup ## Run the tests.
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: setup ## Run ruff, mypy and the import contracts.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test ## Run lint and the tests.

pipeline: setup ## Run the DVC pipeline: ingest, validate, episodes, train, evaluate.
	@[ -d .git ] || { echo "error: make pipeline needs a git clone" >&2; exit 2; }
	@PATH="$(abspath $(BIN)):$$PATH" DVC_NO_ANALYTICS=1 dvc repro

clean: ## Remove what was built, except .venv.
	@rm -rf build dist reports runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
	  .hypothesis ./*.egg-info
	@find sgps flows tests -name __pycache__ -type d -prune -exec rm -rf {} +
