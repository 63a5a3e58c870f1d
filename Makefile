# Two commands do it all: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup web demo test check faults docs format types bench-train bench-service bench-queries clean

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is needed; set PYTHON=... to another 3.11+"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

setup: $(STAMP) web ## Make .venv, install everything, build the dashboard

web: web/dist/index.html ## Build the dashboard (needs Node; says so and goes on where it is missing)

web/dist/index.html: $(shell find web/src web/index.html web/package-lock.json web/vite.config.ts 2>/dev/null)
	@scripts/build-web

demo: setup ## Train a teacher, distil a student through the real service, print the table
	$(BIN)/kd demo

test: setup ## Run every test
	@scripts/install-chromium
	@scripts/install-faketime
	$(BIN)/python -m pytest

check: $(STAMP) ## Format, lint, types, arrows, sizes (under a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/contracts

RUNS ?= 200
faults: $(STAMP) ## Break the service RUNS=200 times, drawn from SEED (printed); FAULTS="--fault F6 --place servers" and more
	$(BIN)/python -m tests.faults --runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(FAULTS)

types: $(STAMP) ## Write the dashboard's types anew from the OpenAPI document (needs Node)
	@test -d web/node_modules || npm --prefix web ci --silent --no-audit --no-fund
	npm --prefix web run --silent types

docs: $(STAMP) ## Write docs/methods.md anew from the methods' docstrings and knobs
	$(BIN)/python -m scripts.methods_docs

PEERS := .bench/peers-train
$(PEERS)/.installed: bench/peers-train.txt constraints.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r bench/peers-train.txt
	@touch $@

bench-train: $(STAMP) $(PEERS)/.installed ## Training speed beside plain eager PyTorch, torchdistill and the floor (BENCH="--accuracy" and more)
	$(BIN)/python -m bench.train --quick $(BENCH)

format: $(STAMP) ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-service: $(STAMP) ## Measure the control plane beside MLflow, Ray Jobs and Celery (installs them apart)
	$(BIN)/python -m bench.service --places embedded servers

bench-queries: $(STAMP) ## Explain the hot queries on PostgreSQL with a million jobs (ten minutes, 8 GB)
	$(BIN)/python -m bench.queries

clean: ## Remove what set-up made
	rm -rf $(VENV) .bench web/node_modules web/dist *.egg-info
