# Everything from a fresh clone: `make repro` runs the pipeline, `make test` the tests.
PYTHON ?= python3
# `make repro TORCH=cpu` installs PyTorch from its own index of that name: there without CUDA.
TORCH ?=
TORCH_INDEX ?= $(if $(TORCH),--extra-index-url https://download.pytorch.org/whl/$(TORCH))
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install repro test test-lowest lint docs docs-test docs-links audit crash bench fuzz dist-check clean
help:
	@echo "make repro   install, then run the whole pipeline (dvc repro); TORCH=cpu: PyTorch without CUDA"
	@echo "make test    install, then run the tests but the slowest; TESTS=\"-m ''\" for all, as CI does;"
	@echo "             TESTS=... for some of them, or for options:"
	@echo "             TESTS='--hypothesis-profile thorough' draws 50 times as many examples"
	@echo "make test-lowest  the same with the lowest versions allowed"
	@echo "make lint    style, format and types"
	@echo "make docs    the documentation, its notebooks executed, in build/docs (a few minutes)"
	@echo "make docs-test    the same, and every page opened in Chromium"
	@echo "make docs-links   the same, and every link to elsewhere asked for"
	@echo "make audit   run the committed pipeline in a clean clone, and compare (a few minutes)"
	@echo "make crash   kill 100 solves, 100 users of the cache and 20 pipeline runs at random moments (six minutes)"
	@echo "make bench   times of layers and solvers, and what is learned, written into the pages (about half an hour)"
	@echo "make fuzz    mutated basis files for ten minutes; tells which, if any, broke something"
	@echo "make dist-check  build wheel and sdist, install the wheel in fresh environments, plain and with"
	@echo "             EXTRAS='nn pipeline', one after the other, use it; PYTHONS='python3.10 python3.13'"
	@echo "make clean   remove the environment and caches"

# $(call environment,FOLDER,CONSTRAINTS,EXTRA): an environment with this tree's package and an extra.
define environment
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX) -c $(2) -e '.[$(3)]'
	@# So that its dvc finds its python even where nobody activated the environment.
	@$(1)/bin/python -c 'import pathlib, sysconfig; \
	  (pathlib.Path(sysconfig.get_path("purelib")) / "activate_path.pth").write_text( \
	  "import os, sys; os.environ[\"PATH\"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get(\"PATH\", \"\")])\n")'
	@touch $(1)/.installed
endef

install: .venv/.installed
.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(call environment,.venv,constraints.txt,dev)

.venv-lowest/.installed: setup.cfg pyproject.toml constraints-lowest.txt
	$(call environment,.venv-lowest,constraints-lowest.txt,test)

repro: install
	@$(BIN)/equibasis mend
	$(BIN)/dvc repro

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(TESTS)

test-lowest: .venv-lowest/.installed
	PATH="$(CURDIR)/.venv-lowest/bin:$$PATH" .venv-lowest/bin/python -m pytest -n 2 --dist loadfile $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

SITE := $(BIN)/python -m sphinx -W --keep-going -E -q -j auto
docs: install
	$(SITE) -b html docs build/docs

docs-test: docs
	EQUIBASIS_SITE=build/docs $(BIN)/python -m pytest -n 2 tests/test_site.py

docs-links: install
	$(SITE) -D nb_execution_mode=off -b linkcheck docs build/docs-links

audit: install
	$(BIN)/equibasis audit

crash: install
	$(BIN)/python tests/crash.py

bench: install
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/solve.py
	$(BIN)/python benchmarks/sizes.py
	$(BIN)/python benchmarks/learning.py
	$(BIN)/python benchmarks/convolutions.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/results.py

fuzz: install
	$(BIN)/python tests/fuzz.py

PYTHONS ?= $(PYTHON)
EXTRAS ?= nn pipeline
dist-check: install
	$(BIN)/python tests/dist.py $(PYTHONS:%=--python %) $(EXTRAS:%=--extra %)

clean:
	rm -rf .venv .venv-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis
