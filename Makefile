# Everything from a fresh clone: `make repro` runs the pipeline, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install repro test lint bench clean
help:
	@echo "make repro   install, then run the whole pipeline (dvc repro)"
	@echo "make test    install, then run the tests"
	@echo "make lint    style, format and types"
	@echo "make bench   solve times and memory, written to docs/benchmarks.md (about ten minutes)"
	@echo "make clean   remove the environment and caches"

install: $(BIN)/.installed
$(BIN)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# So that .venv/bin/dvc finds .venv/bin/equibasis even where nobody activated the environment.
	@$(BIN)/python -c 'import pathlib, sysconfig; \
	  (pathlib.Path(sysconfig.get_path("purelib")) / "activate_path.pth").write_text( \
	  "import os, sys; os.environ[\"PATH\"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get(\"PATH\", \"\")])\n")'
	@touch $@

repro: install
	$(BIN)/dvc repro

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/solve.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
