# Two commands set everything up on a fresh machine with Python 3.11+: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit format fuzz mutations oracle verify-all record bench clean faults

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# The CPU build alone: the plain name would bring CUDA along, some gigabytes, where pip finds it.
# Without one, the tests of `ckptfix verify` are skipped and say so.
$(VENV)/.installed-torch: $(VENV)/.installed-dev requirements-torch.txt
	@$(BIN)/python -c 'import torch' 2>/dev/null \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-torch.txt \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-torch.txt \
		--extra-index-url https://download.pytorch.org/whl/cpu \
	|| echo 'no CPU build of torch: the tests of verify are skipped; install one into $(VENV) to run them'
	@touch $@

demo: $(VENV)/.installed ## make a small Nano VL checkpoint with the bug, and repair it
	@$(BIN)/ckptfix demo

test: lint types unit ## lint, type-check, run all tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.installed-torch
	$(BIN)/mypy

unit: $(VENV)/.installed-torch
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses auto
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

format: $(VENV)/.installed-dev ## format the code and regenerate the generated docs
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python tools/generate_docs.py

fuzz: $(VENV)/.installed-dev ## hostile files for ten minutes, or FUZZ_SECONDS; counts executions
	$(BIN)/python -m tests.fuzz.long_run

faults: $(VENV)/.installed-dev ## fail every call of a rewrite in every way, and print the matrix (half an hour)
	FAULTS=all $(BIN)/python -m pytest tests/faults -q

mutations: $(VENV)/.installed-dev ## break every healthy fixture in every way, and print the kill rate (minutes)
	MUTATION_SEEDS=4 $(BIN)/python -m pytest tests/mutations -q

oracle: $(VENV)/.installed-dev ## judge rewrites with the real vLLM loader of ../shared/oracle (minutes)
	../shared/oracle/setup.sh
	$(BIN)/python -m pytest tests/oracle -m oracle -v

verify-all: $(VENV)/.installed-torch ## run `verify` on every fixture, and with every companion corrupted (half an hour)
	$(BIN)/python -m pytest tests/verify -m full -v

record: ## record again what the real vLLM objects of ../shared/oracle hold (minutes)
	../shared/oracle/setup.sh
	$${ORACLE_HOME:-$$HOME/.cache/ckptfix-oracle}/venv/bin/python tools/record_oracle.py

bench: $(VENV)/.installed-dev ## measure start-up and large checkpoints next to baselines (minutes)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/large.py

clean: ## remove what make has made
	rm -rf $(VENV) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
