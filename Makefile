# make install   the command `optimize`       make demo   a ranked list in minutes       make test   everything that must pass
#
# PYTHON=python3.12 chooses an interpreter; pip reads its usual settings (PIP_INDEX_URL, PIP_FIND_LINKS, ...).

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --prefer-binary \
	--constraint constraints.txt
# the first of these that starts and is 3.11, 3.12 or 3.13
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

.DEFAULT_GOAL := help
.PHONY: help install demo test lint clean
.DELETE_ON_ERROR:

help:
	@echo "make install   install into $(VENV); then: . $(BIN)/activate && optimize --help"
	@echo "make demo      install into $(VENV) and run the campaign 'quickstart'; again: go on, or print its list"
	@echo "make test      install with the development tools; ruff, mypy and every test. Root on Debian or a relative:"
	@echo "               Chromium and PostgreSQL are installed where missing; LATENTORE_APT=no forbids it"
	@echo "make lint      ruff and mypy only"
	@echo "make clean     remove $(VENV) and caches; runs/ stays"

install: $(VENV)/installed
	@echo "installed; in each terminal first: . $(BIN)/activate"

demo: $(VENV)/installed
	$(BIN)/optimize run quickstart

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find campaigns generative surrogates optimizer benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(CANDIDATES); do \
		if $$python -c '$(SUITABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "make: none of '$(CANDIDATES)' is Python 3.11, 3.12 or 3.13." >&2; \
		echo "make: install one of these, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 2; \
	fi; \
	if ! $$found -c 'import venv, ensurepip' >/dev/null 2>&1; then \
		echo "make: $$found has no module venv. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 2; \
	fi; \
	$$found -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (one to three minutes) ..."
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (one to three minutes) ..."
	@$(PIP_INSTALL) --editable '.[dev,dask,postgresql,benchmarks]'
	@touch $@ $(VENV)/installed
