# Everything runs from a fresh machine: the virtual environment makes itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Three test processes with one thread each: some tests wait for seconds, and two cores are there.
# Python keeps what it compiles, also where the machine's settings say no: it starts often here.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadgroup

.PHONY: demo test test-all test-faults fast-tests all-tests lint docs bench planted-bugs clean

demo: $(VENV)/installed
	$(BIN)/thaw run catch-quick --out demo-catch

# The linters and the tests at the same time: mypy takes half a minute of one core.
test: $(VENV)/installed-dev
	$(MAKE) --jobs 2 lint fast-tests

test-all: $(VENV)/installed-dev
	$(MAKE) --jobs 2 lint all-tests

fast-tests: $(VENV)/installed-dev
	$(PYTEST) -m "not slow"

all-tests: $(VENV)/installed-dev
	$(PYTEST)

# Kills, damaged files, full disks, bad environments, wrong input (docs/reliability.md).
FAULT_TRIES ?= 10
FAULT_SEED ?= 0
test-faults: $(VENV)/installed-dev
	FAULT_TRIES=$(FAULT_TRIES) FAULT_SEED=$(FAULT_SEED) $(PYTEST) tests/faults

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell thaw tests benchmarks examples docs *.md

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict

planted-bugs: $(VENV)/installed-dev
	$(BIN)/python tests/support/planted_bugs.py

bench: $(VENV)/installed-dev
	$(BIN)/thaw bench --flavor atari/space_invaders@m1d1 --out benchmarks
	$(BIN)/thaw bench --flavor catch --out benchmarks
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/catch_steps_per_second.py

$(VENV)/installed: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

# --no-compile: pip would compile 19,000 files for 40 seconds; the tests import a fifth of them.
$(VENV)/installed-dev: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable ".[dev]"
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) demo-catch site build dist *.egg-info
