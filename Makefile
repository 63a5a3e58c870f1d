# Two commands do it all: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
DASHBOARD := distillery/web/index.html
step = @printf '\n==> %s\n' '$(1)'

.DEFAULT_GOAL := help
.PHONY: help setup web demo test test-fast check dist faults docs format types bench-train bench-service bench-queries clean

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is needed; set PYTHON=... to another 3.11+"; exit 1; }
	$(call step,Making a Python environment in $(VENV) (a few seconds))
	@$(PYTHON) -m venv $(VENV)

# What runs the service, and beside it what tests it: the demo needs the first alone.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(call step,Installing the service and PyTorch into $(VENV) (2 GB; 1 to 5 minutes, half of it after the last download))
	@$(PIP_INSTALL) -e ".[all]"
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(call step,Installing what tests and checks need (under a minute))
	@$(PIP_INSTALL) -e ".[dev]"
	@touch $@

setup: $(INSTALLED_DEV) web ## Make .venv, install everything, build the dashboard

web: $(DASHBOARD) ## Build the dashboard (needs Node; says so and goes on where it is missing)

$(DASHBOARD): $(shell find web/src web/public web/index.html web/package-lock.json web/vite.config.ts 2>/dev/null)
	@scripts/build-web

demo: $(INSTALLED) web ## Train a teacher, distil a student through the real service, print the table
	$(call step,Running the demo: teacher and student from real digits (about a minute))
	@$(BIN)/kd demo

# Tests mostly wait for processes, so there are two for every core; each library thread pool is one
# thread, for pools that wait for each other on a busy core take ten times as long. Compiled modules
# are kept, for the suite starts hundreds of processes.
TEST_PROCESSES ?= $(shell expr 2 \* $$(nproc 2>/dev/null || echo 2))
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadgroup --no-loadscope-reorder

test: setup ## Run every test, in TEST_PROCESSES=2 processes per core
	@scripts/install-chromium
	@scripts/install-faketime
	$(PYTEST) -n $(TEST_PROCESSES)

test-fast: $(INSTALLED_DEV) ## Run the unit tests: no servers, no processes (about a minute)
	$(PYTEST) -n $(shell nproc 2>/dev/null || echo 2) -m "not servers and not processes and not e2e and not faults"

check: $(INSTALLED_DEV) ## Format, lint, types, import rules, sizes (under a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/contracts

dist: $(INSTALLED_DEV) web ## Build the wheel and the source archive into dist/
	@test -e $(DASHBOARD) || { echo "make: the dashboard is not built (needs Node)"; exit 1; }
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

RUNS ?= 200
faults: $(INSTALLED_DEV) ## Break the service RUNS=200 times, drawn from SEED (printed); FAULTS="--fault F6 --place servers" and more
	$(BIN)/python -m tests.faults --runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(FAULTS)

types: $(INSTALLED_DEV) ## Write the dashboard's types anew from the OpenAPI document (needs Node)
	@test -d web/node_modules || npm --prefix web ci --silent --no-audit --no-fund
	npm --prefix web run --silent types

docs: $(INSTALLED_DEV) ## Regenerate the pages written from the code, and build the site into site/
	$(BIN)/python -m scripts.methods_docs
	$(BIN)/python -m scripts.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The site is in site/: $(BIN)/python -m http.server --directory site"

PEERS := .bench/peers-train
$(PEERS)/.installed: bench/peers-train.txt constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install -c constraints.txt -r bench/peers-train.txt
	@touch $@

bench-train: $(INSTALLED_DEV) $(PEERS)/.installed ## Training speed beside plain eager PyTorch, torchdistill and the floor (BENCH="--accuracy" and more)
	$(BIN)/python -m bench.train --quick $(BENCH)

format: $(INSTALLED_DEV) ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-service: $(INSTALLED_DEV) ## Measure the control plane beside MLflow, Ray Jobs and Celery (installs them apart)
	$(BIN)/python -m bench.service --places embedded servers

bench-queries: $(INSTALLED_DEV) ## Explain the hot queries on PostgreSQL with a million jobs (ten minutes, 8 GB)
	$(BIN)/python -m bench.queries

clean: ## Remove what set-up made
	rm -rf $(VENV) .bench web/node_modules distillery/web build dist *.egg-info
