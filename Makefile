# Everything happens in .venv; no target needs more than Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
N ?= 200
SEED ?= 0
EACH ?= 6

.PHONY: install demo test check chaos fuzz bench scale clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	$(BIN)/python studies/digits_vae.py --final-workers 2

test: install
	$(BIN)/python -m pytest

chaos: install
	$(BIN)/python tests/support/chaos.py --kills $(N) --seed $(SEED) --each $(EACH)

fuzz: install
	VAE_FUZZ=2500 $(BIN)/python -m pytest tests/integration/test_hostile.py -k any

bench: install
	$(BIN)/python tests/benchmarks

scale: install
	$(BIN)/python tests/benchmarks/driver.py --trials 100 --trials 1000 --trials 10000

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache
