# Everything happens in .venv; no target needs more than Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
N ?= 200
SEED ?= 0
EACH ?= 6
YARDSTICKS ?= mnist_grey fashion_grey mnist_dynamic
HOURS ?= 0.16
# make lock UPGRADE=--upgrade takes the newest of everything; without it what still fits stays
UPGRADE ?=
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
    --custom-compile-command 'make lock'

.PHONY: install install-dev demo test quick check lock chaos fuzz bench gpu gpu-yardsticks scale clean

install: .venv/installed

install-dev: .venv/installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

# the locks name every package with its hashes, setuptools too, so that nothing else is downloaded to build the project
.venv/installed: requirements/user.lock pyproject.toml | $(BIN)/python
	$(PIP) install -q --require-hashes -r $<
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	$(PIP) install -q --require-hashes -r $<
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch .venv/installed $@

demo: install
	$(BIN)/python studies/digits_vae.py --final-workers 2

# two files at a time, of studies too, whose processes wait for each other a third of the time; what goes by the clock has
# the cores for itself; the slow files are begun in their order, or the longest, of one test each, would be the last
test: install-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "slow and not alone"
	$(BIN)/python -m pytest -m alone

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# before each commit: at most three minutes on two cores
quick: check
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not heavy and not real_data" --durations=10

lock: install-dev
	$(LOCK) $(UPGRADE) pyproject.toml --extra dev -o requirements/dev.lock
	$(LOCK) pyproject.toml -c requirements/dev.lock -o requirements/user.lock

chaos: install-dev
	$(BIN)/python tests/support/chaos.py --kills $(N) --seed $(SEED) --each $(EACH)

fuzz: install-dev
	VAE_FUZZ=2500 $(BIN)/python -m pytest tests/integration/test_hostile.py -k any

bench: install-dev
	$(BIN)/python tests/benchmarks

# on a machine with a GPU, whatever Python it has torch in: the tests that need one, then speeds; without Ray, at most 5 minutes
gpu:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) tests/gpu

# on a machine with a GPU and this package's requirements: what fits into ten minutes of it; the same again goes on
gpu-yardsticks:
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) studies/yardsticks.py $(YARDSTICKS) --max-hours $(HOURS)

scale: install-dev
	$(BIN)/python tests/benchmarks/driver.py --trials 100 --trials 1000 --trials 10000

clean:
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
