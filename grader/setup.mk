# Rules for setting up and grading, included by the Makefiles of this project and of exported repositories.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := grade

# Candidates for the Python to use: the first one from 3.11 to 3.13. Choose another: make PYTHON=/path/to/python3.12
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
BIN := .venv/bin
READY := .venv/installed
PINS := grader/constraints.txt

.PHONY: grade setup clean

grade: setup
	@$(BIN)/kata grade $(KATA) $(if $(CODE),--code $(CODE))

setup: $(READY)

$(READY): pyproject.toml $(PINS)
	@python=; for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "make: Python 3.11, 3.12 or 3.13 is needed; tried $(PYTHONS) (this is $$(python3 -V 2>&1 || echo 'no Python 3')). Try make PYTHON=/path/to/python" >&2; exit 2; fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	  echo "Creating .venv with $$("$$python" -V)"; \
	  "$$python" -m venv --clear .venv >.venv-error 2>&1 || { \
	    echo "make: could not create .venv: $$(tail -n 1 .venv-error) (Debian and Ubuntu: install python3-venv)" >&2; rm -f .venv-error; exit 2; }; \
	  rm -f .venv-error; fi
	@echo "Installing the pinned packages into .venv (the first time, this downloads PyTorch and takes some minutes)"
	@$(call install,-e .)
	@touch $@

clean:
	rm -rf .venv .kata *.egg-info .pytest_cache

# Install with pip. The whole output goes to .venv/install.log; downloads and the first error are shown.
define install
{ $(BIN)/python -m pip install --disable-pip-version-check --no-input -c $(PINS) $(1) 2>&1 || echo "ERROR: pip failed"; } \
  | tee .venv/install.log | { grep --line-buffered -E '^ *(Downloading|Installing collected)' || true; } | cut -c1-100; \
if grep -q '^ERROR: pip failed' .venv/install.log; then \
  echo "make: installing failed: $$(grep '^ERROR' .venv/install.log | head -n 1 | cut -c1-300) (full log: .venv/install.log)" >&2; exit 2; fi
endef
