# What a user types: `make install`, `make demo`, `make test`; for work on the code, `make check`
# and `make fuzz`, and `make newest`, which tests the newest versions of all dependencies, in
# .venv-newest.
# Options: PYTHON, the interpreter that makes .venv; ARGS, what `unrender demo` is given, and
# pytest in `make newest`.
# Without make: the README has the plain pip commands.

PYTHON ?= python3
ARGS ?=

VENV := .venv
NEWEST := .venv-newest
# All that pyproject.toml names, without upper bounds; torch stays, for its builds are gigabytes.
WITHOUT_BOUNDS := import re, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
  lines = project["dependencies"] + sum(project["optional-dependencies"].values(), []); \
  print(*(re.sub(",<[0-9.]+", "", line) for line in lines if "unrender[" not in line), sep="\n")
BIN := $(VENV)/bin

# A stamp is made last: what was broken off has none and is done again. Once pyproject.toml or
# constraints.txt is newer than a stamp, pip runs again.
MADE := $(VENV)/.made
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
# It lies there while the environment is being changed. Found at the start, it means that an
# earlier run was killed: pip cannot tell a half-copied package from a whole one, so all goes.
BUSY := $(VENV)/.busy

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: install demo test check fuzz newest clean always

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/unrender demo $(ARGS)

test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest

check: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

# An hour of damaged inputs; MINUTES and START (the first input's number) change it.
MINUTES ?= 60
START ?= $(shell date +%s)

fuzz: $(INSTALLED_DEV)
	$(BIN)/python benchmarks/robustness_fuzz.py --start $(START) --count 10000000 --minutes $(MINUTES)

# Made anew each time: pip keeps what is installed already, whatever is newer.
newest:
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -c '$(WITHOUT_BOUNDS)' > $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python -m pip install --quiet $$(grep '^torch==' constraints.txt) -r $(NEWEST)/requirements.txt
	$(NEWEST)/bin/python -m pip install --quiet --no-deps -e .
	$(NEWEST)/bin/python -m pip list
	$(NEWEST)/bin/python -m pytest $(ARGS)

clean:
	rm -rf $(VENV) $(NEWEST) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

ifneq ($(wildcard $(BUSY)),)
$(MADE): always
endif

# A whole environment that someone made by hand is used as it is.
$(MADE):
	@if [ -x $(BIN)/python ] && [ ! -e $(BUSY) ]; then exit 0; fi; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "unrender needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
	    "Name another one, as in: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; \
	  exit 1; }; \
	echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	rm -rf $(VENV) && mkdir $(VENV) && touch $(BUSY) && $(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) -m venv failed. Debian and Ubuntu have it in the package python3-venv" >&2; \
	  exit 1; }; \
	rm $(BUSY)
	@touch $@

# $(1) is what to install, $(2) more options. A pip that ends by itself, failed or not, leaves nothing half done.
define install_package
	@touch $(BUSY)
	@$(BIN)/python -m pip install $(2) -c constraints.txt -e $(1) || { rm $(BUSY); exit 1; }
	@rm $(BUSY)
	@touch $@
endef

$(INSTALLED): $(MADE) pyproject.toml constraints.txt
	@echo "Installing into $(VENV); the first time this fetches torch and takes minutes"
	$(call install_package,.,)

$(INSTALLED_DEV): $(INSTALLED)
	@echo "Installing the development tools into $(VENV)"
	$(call install_package,'.[dev]',--quiet)
