# Everything sets itself up: a virtual environment in .venv, made with the first Python >= 3.11 that is found.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests wait for servers and processes much of the time: more workers than there are cores.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 2 )))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

.PHONY: help demo test docs compat bench bench-quick format lint types clean

help:
	@echo 'make demo    run both example apps against a stand-in provider, and see who spent what'
	@echo 'make test    run the tests'
	@echo 'make docs    write the pages that are made of tables in the code'
	@echo 'make compat  run against the oldest and newest versions, and libraries that sit on SDKs'
	@echo 'make bench   measure what it costs, and what others cost; writes docs/benchmarks.md (three quarters of an hour; fewer rounds with BENCH_ROUNDS=6)'
	@echo 'make bench-quick  compare what it costs with benchmarks/baseline.json (below 3 minutes)'
	@echo 'make format  format the code'
	@echo 'make lint    check format and style'
	@echo 'make types   check the types'

$(READY): pyproject.toml
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed, and none was found; or name one: make PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'Python has no venv here; on Debian and Ubuntu: apt install python3-venv'; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,jwt,compression]' --group test
	@touch $(READY)

demo: $(READY)
	@$(BIN)/payi-middleware demo

test: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

docs: $(READY)
	@$(BIN)/python -m tests.docs.providers_page

compat: $(READY)
	@$(BIN)/python -m tests.compat.run

bench: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python -m benchmarks.peers

bench-quick: $(READY)
	@$(BIN)/python -m benchmarks.peers.quick

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(READY)
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) .compat .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis
