# Everything starts here: `make` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run demo test models crash chaos check docs reset lock .tools/servers

PYTHON ?= python3
PYTEST ?=
CELLS ?=
PROFILE ?= standard
SEED ?=
BUG ?=
MAKE_STARTED ?= $(shell date +%s)
export MAKE_STARTED := $(MAKE_STARTED)

BIN := .venv/bin
STACK := $(BIN)/python deploy/local/stack.py
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml sandbox/pyproject.toml cli/pyproject.toml))
UV := VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv --quiet pip install --compile-bytecode
CRASHES := PYTHONPATH=tests:docs:deploy/local $(BIN)/python -m crash
PARALLEL := $(MAKE) --silent --no-print-directory -j2

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what running needs, .venv (Python) and .tools (Kafka, MongoDB), and create the keys in .local
	@$(PARALLEL) .venv/runtime.stamp .tools/servers
	@$(STACK) keys

run: setup ## start everything, buy a licence step by step, stay up until Ctrl-C
	@exec $(STACK) run --journey "$(BIN)/purser demo" --since $(MAKE_STARTED) --stay

demo: setup ## the same as run, but it ends: exit code 0 when the licence was bought
	@exec $(STACK) run --journey "$(BIN)/purser demo" --since $(MAKE_STARTED)

test: ## run every test on real servers; PYTEST="-k name" gives pytest more arguments
	@$(PARALLEL) .venv/dev.stamp .tools/servers
	@$(BIN)/pytest --numprocesses 2 --dist loadgroup $(PYTEST)

models: .venv/dev.stamp ## search the protocols' models in larger worlds than make test does (20 min)
	@MODELS=large $(BIN)/pytest tests/models $(PYTEST)

crash: ## crash every process at every named point, 10 times in each way; CELLS="--rounds 1 --only order"
	@$(PARALLEL) .venv/dev.stamp .tools/servers
	@$(CRASHES) $(CELLS)

chaos: ## buy under every fault, then judge; PROFILE=short|standard|soak|outages|planted (BUG=names), SEED=number
	@$(PARALLEL) .venv/dev.stamp .tools/servers
	@PYTHONPATH=tests:deploy/local $(BIN)/python -m chaos --profile $(PROFILE) $(SEED:%=--seed %) $(BUG:%=--bug %)

check: ## everything else that CI holds: style, types, generated files, sends crashed once, a short chaos run
	@$(PARALLEL) .venv/dev.stamp .tools/servers
	@.ci/check

docs: .venv/dev.stamp ## write the generated parts of the documentation and of the contracts
	@$(BIN)/python docs/generate.py

reset: ## stop what still runs from .local and delete its data and keys together
	@[ ! -x $(BIN)/python ] || [ ! -d .local ] || $(STACK) down
	@rm -rf .local

lock: .venv/runtime.stamp ## write the dependency locks anew
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/compile

.venv/bin/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is missing: install it, or name one with make PYTHON=<path>" >&2; exit 1; }
	@echo "installing the Python environment into .venv"
	@$(PYTHON) -m venv .venv || \
	  { echo "Python's venv module is missing: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/runtime.stamp: .venv/bin/uv requirements/runtime.txt $(MEMBERS:=/pyproject.toml)
	@$(UV) --require-hashes -r requirements/runtime.txt
	@$(UV) --no-deps --no-build-isolation $(addprefix -e ,$(MEMBERS))
	@touch $@

.venv/dev.stamp: .venv/runtime.stamp requirements/dev.txt
	@$(UV) --require-hashes -r requirements/dev.txt
	@touch $@

# looks for itself whether there is anything to fetch
.tools/servers:
	@$(PYTHON) deploy/local/local_servers.py fetch
