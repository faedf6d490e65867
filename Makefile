# `make demo` and `make test` do all the set-up: each creates .venv and installs what is needed; a second call is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export HF_HUB_OFFLINE := 1

.PHONY: demo demo-quick test coverage lint docs clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mindanim needs Python 3.11 or newer: run make with PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing mindanim and its dependencies into $(VENV) (a few GB, about 3 minutes, first time only)"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/mindanim demo

demo-quick: $(STAMP)
	$(BIN)/mindanim demo --quick

PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST)

# The same tests, traced: they take about half as long again.
coverage: $(STAMP)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=85

lint: $(STAMP)
	$(BIN)/ruff check mindanim tests examples
	$(BIN)/ruff format --check mindanim tests examples
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m mindanim.cli.reference

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
