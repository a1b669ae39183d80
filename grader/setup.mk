# Rules for setting up and grading, included by the Makefiles of this project and of exported repositories.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := grade

# Candidates for the Python to use: the first one from 3.11 to 3.13. Choose another: make PYTHON=/path/to/python3.12
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
BIN := .venv/bin
READY := .venv/installed
PINS := grader/constraints.txt
# The build of PyTorch: cpu or cuda. Left out, a new .venv gets cpu, and one that is there keeps what it has.
TORCH :=
$(if $(TORCH),$(shell [ "$$(cat .venv/torch 2>/dev/null)" = "$(TORCH)" ] || rm -f $(READY)))

.PHONY: grade setup clean

grade: setup
	@$(BIN)/kata grade $(KATA) $(if $(CODE),--code $(CODE))

setup: $(READY)

$(READY): pyproject.toml $(PINS)
	@python=; for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "make: Python 3.11, 3.12 or 3.13 is needed; tried $(PYTHONS) (this is $$(python3 -V 2>&1 || echo 'no Python 3')). Try make PYTHON=/path/to/python, or have uv download one: make PYTHON=\"\$$(bash grader/python.sh)\"" >&2; exit 2; fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	  echo "Creating .venv with $$("$$python" -V)"; \
	  "$$python" -m venv --clear .venv >.venv-error 2>&1 || { \
	    echo "make: could not create .venv: $$(tail -n 1 .venv-error) (Debian and Ubuntu: install python3-venv)" >&2; rm -f .venv-error; exit 2; }; \
	  rm -f .venv-error; fi
	@$(install_torch)
	@echo "Installing the pinned packages into .venv: about 75 MB the first time$(if $(EXTRAS), and $(EXTRAS))"
	@$(call install,-e '.$(EXTRAS)')
	@touch $@

clean:
	rm -rf .venv .kata *.egg-info .pytest_cache

# Install with pip. The whole output goes to .venv/install.log; downloads and the first error are shown.
define install
{ $(BIN)/python -m pip install --disable-pip-version-check --no-input -c $(PINS) $(1) 2>&1 || echo "ERROR: pip failed"; } \
  | tee .venv/install.log | { grep --line-buffered -E '^ *(Downloading|Installing collected)' || true; } | cut -c1-100; \
if grep -q '^ERROR: pip failed' .venv/install.log; then \
  echo "make: installing failed: $$(grep -o 'ERROR: .*' .venv/install.log | head -n 1 | cut -c1-300) (full log: .venv/install.log)" >&2; exit 2; fi
endef

# Install PyTorch's CPU build, where it has one of its own and its index answers within seconds. Otherwise the next
# step installs the default build, which on Linux brings the CUDA libraries.
define install_torch
had=$$(cat .venv/torch 2>/dev/null || true); build=$(or $(TORCH),$${had:-cpu}); \
case $$build in cpu|cuda) ;; *) echo "make: TORCH=$$build: it is cpu or cuda" >&2; exit 2;; esac; \
if [ -n "$$had" ] && [ "$$had" != "$$build" ]; then $(BIN)/python -m pip uninstall -q -y torch; fi; \
uv="env UV_HTTP_TIMEOUT=$${UV_HTTP_TIMEOUT:-5} $(BIN)/uv pip install --python $(BIN)/python --no-deps -c $(PINS) --torch-backend cpu torch"; \
if [ "$$build" = cpu ] && [ "$$(uname -s)" = Linux ] && ! $(BIN)/python -m pip show -q torch 2>/dev/null; then \
  if $(BIN)/python -m pip install -q --no-input -c $(PINS) uv 2>/dev/null && UV_HTTP_RETRIES=0 timeout 20 $$uv -q --dry-run 2>/dev/null; then \
    echo "Downloading PyTorch's CPU build: about 200 MB"; \
    $$uv || { echo "make: PyTorch could not be downloaded: try again, or TORCH=cuda for the default build" >&2; exit 2; }; \
  else echo "PyTorch's index of CPU builds does not answer: the default build follows, on Linux 2.7 GB with CUDA"; fi; fi; \
echo "$$build" > .venv/torch
endef
