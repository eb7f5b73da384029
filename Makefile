# Two commands set everything up on a fresh machine with Python 3.11+: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RELEASE := .venv-release
DOCS := .venv-docs
PINS := requirements
LOCK ?=
TRUTH ?= 1
COMPILE = $(RELEASE)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(LOCK) \
	--custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help answers architectures demo test lint types unit coverage format snapshots fuzz mutations oracle verify-all record published truth bench docs lock build sbom clean faults

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Every file that comes from an index is pinned by its hash; the project itself is built by the pinned backend.
$(VENV)/.installed: $(BIN)/python pyproject.toml $(PINS)/run.txt $(PINS)/build.txt
	$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement $(PINS)/run.txt --requirement $(PINS)/build.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed $(PINS)/dev.txt
	$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement $(PINS)/dev.txt
	@touch $@

# The CPU build alone: the plain name would bring CUDA along, some gigabytes, where pip finds it.
# Without one, the tests of `ckptfix verify` are skipped and say so.
$(VENV)/.installed-torch: $(VENV)/.installed-dev $(PINS)/torch.txt
	@$(BIN)/python -c 'import torch' 2>/dev/null \
	|| $(BIN)/python $(PIP_INSTALL) --requirement $(PINS)/torch.txt \
	|| $(BIN)/python $(PIP_INSTALL) --requirement $(PINS)/torch.txt \
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
	$(BIN)/python -m pytest --numprocesses auto

coverage: $(VENV)/.installed-torch ## run all tests and list the lines none of them reaches (twice the time of the tests)
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses auto
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

format: $(VENV)/.installed-dev ## format the code and regenerate the generated docs
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python tools/generate_docs.py

snapshots: $(VENV)/.installed-torch ## write the expected screens and the transcripts of README.md again
	UPDATE_SNAPSHOTS=1 $(BIN)/python -m pytest -q tests/test_snapshots.py

fuzz: $(VENV)/.installed-dev ## every key with every kind of value (minutes), and hostile files for FUZZ_SECONDS, or ten minutes
	EVERY_KIND=1 $(BIN)/python -m pytest tests/fuzz/test_keys.py -q --numprocesses auto
	$(BIN)/python -m tests.fuzz.long_run

faults: $(VENV)/.installed-dev ## fail every call of a rewrite in every way, and print the matrix (an hour)
	FAULTS=all $(BIN)/python -m pytest tests/faults -q

answers: $(VENV)/.installed-dev ## compare verdict, formats, exit code and advice on every recorded mutation (minutes)
	EVERY_ANSWER=1 $(BIN)/python -m pytest tests/operations/test_one_answer.py -q --numprocesses auto

mutations: $(VENV)/.installed-dev ## break every healthy fixture in every way, and print the kill rate (minutes)
	MUTATION_SEEDS=4 $(BIN)/python -m pytest tests/mutations -q

oracle: $(VENV)/.installed-dev ## judge rewrites with the real vLLM loader of ../shared/oracle (minutes)
	../shared/oracle/setup.sh
	$(BIN)/python -m pytest tests/oracle -m oracle -v

verify-all: $(VENV)/.installed-torch ## run `verify` on every fixture, and with every companion corrupted (half an hour)
	$(BIN)/python -m pytest tests/verifying -m full -v

record: ## record again what the real vLLM objects of ../shared/oracle hold (minutes)
	../shared/oracle/setup.sh
	$${ORACLE_HOME:-$$HOME/.cache/ckptfix-oracle}/venv/bin/python tools/record_oracle.py

release: $(VENV)/.installed-dev ## add a release of a runtime, from its wheel: make release RUNTIME=vllm VERSION=0.33.0 (an hour); without VERSION all that are missing
	tools/place_learner/setup.sh
	$(BIN)/python tools/add_release.py $(RUNTIME) $(VERSION)

.PHONY: learn release
learn: $(VENV)/.installed-dev ## learn where RUNTIME VERSION puts modules, from its own classes: make learn RUNTIME=vllm VERSION=0.33.0 (half an hour)
	tools/place_learner/setup.sh
	$(BIN)/python tools/learn_places.py $(RUNTIME) $(VERSION)

architectures: $(VENV)/.installed-dev ## record what the real loaders of ../shared/oracle do with an export of every architecture, and with changed ones (hours)
	../shared/oracle/setup.sh && ../shared/oracle/learn/setup.sh
	PYTHONPATH=../shared/oracle/published:../shared/oracle/learn $${ORACLE_HOME:-$$HOME/.cache/ckptfix-oracle}/venv/bin/python tools/architecture_exports.py build/architectures
	$(BIN)/python tools/record_architectures.py build/architectures
	PYTHONPATH=../shared/oracle/published:../shared/oracle/learn $${ORACLE_HOME:-$$HOME/.cache/ckptfix-oracle}/venv/bin/python tools/architecture_exports.py --changes build/changed-architectures
	$(BIN)/python tools/record_architectures.py build/changed-architectures changed_architectures

published: $(VENV)/.installed-dev ## check published releases, tensors made up, against what the real classes of ../shared/oracle did (minutes)
	@if [ -d ../shared/oracle ]; then ../shared/oracle/setup.sh && ../shared/oracle/learn/setup.sh; fi
	$(BIN)/python tools/published.py

truth: $(VENV)/.installed-dev ## break fixtures at random, let real vLLM and SGLang judge, compare; TRUTH='SEED --record ...' (half an hour)
	@if [ -d ../shared/oracle ]; then ../shared/oracle/setup.sh; fi
	$(BIN)/python tools/truth.py $(TRUTH)

bench: $(VENV)/.installed-dev ## measure start-up and large checkpoints next to baselines (minutes)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/large.py
	$(BIN)/python benchmarks/growth.py

$(DOCS)/.installed: $(PINS)/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(PIP_INSTALL) --require-hashes --requirement $(PINS)/docs.txt
	@touch $@

docs: $(DOCS)/.installed ## build the documentation in site/, and check every link between its pages
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# The tools of a release live apart: nothing that the tests need depends on them.
$(RELEASE)/.installed: $(PINS)/release.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python $(PIP_INSTALL) --require-hashes --requirement $(PINS)/release.txt
	@touch $@

lock: $(RELEASE)/.installed ## write the pinned requirements again; LOCK=--upgrade for newer versions
	$(COMPILE) pyproject.toml --output-file $(PINS)/run.txt
	$(COMPILE) $(PINS)/build.in --constraint $(PINS)/run.txt --output-file $(PINS)/build.txt
	$(COMPILE) pyproject.toml $(PINS)/dev.in \
		--constraint $(PINS)/run.txt --constraint $(PINS)/build.txt --output-file $(PINS)/dev.txt
	$(COMPILE) $(PINS)/docs.in --output-file $(PINS)/docs.txt
	$(COMPILE) $(PINS)/release.in --constraint $(PINS)/build.txt --output-file $(PINS)/release.txt
	$(COMPILE) --resolution lowest-direct pyproject.toml $(PINS)/oldest.in --output-file $(PINS)/oldest.txt

build: $(RELEASE)/.installed ## wheel and source distribution, in dist/
	rm -rf dist
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} \
		$(RELEASE)/bin/python -m build --no-isolation

sbom: build ## software bill of materials of the wheel and its pinned dependencies, in sbom/
	rm -rf sbom && mkdir sbom && $(PYTHON) -m venv --without-pip sbom/venv
	$(RELEASE)/bin/uv pip install --quiet --python sbom/venv --require-hashes --requirement $(PINS)/run.txt
	$(RELEASE)/bin/uv pip install --quiet --python sbom/venv --no-deps dist/*.whl
	@# cyclonedx-py takes the version from pyproject.toml, where ours is dynamic.
	sed "s/^dynamic = .*/version = \"$$(basename dist/*.whl | cut -d- -f2)\"/" pyproject.toml > sbom/venv/pyproject.toml
	$(RELEASE)/bin/cyclonedx-py environment --pyproject sbom/venv/pyproject.toml --mc-type application \
		--output-reproducible --output-file sbom/ckptfix.cdx.json sbom/venv/bin/python
	rm -rf sbom/venv

clean: ## remove what make has made
	rm -rf $(VENV) $(RELEASE) $(DOCS) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist sbom site
