# Rules for setting up and grading, included by the Makefiles of this project and of exported repositories.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := grade

# A new .venv gets the newest Python here that fits. Choose another: make PYTHON=/path/to/python3.12
BIN := .venv/bin
READY := .venv/installed
PINS := grader/constraints.txt
UNREACHED := connection broken by# what pip says where no index answers
# The build of PyTorch: cpu or cuda. Left out, a new .venv gets cpu, and one that is there keeps what it has.
TORCH :=
$(if $(TORCH),$(shell [ "$$(cat .venv/torch 2>/dev/null)" = "$(TORCH)" ] || rm -f $(READY)))

.PHONY: grade setup clean

grade: setup
	@$(BIN)/kata grade $(KATA) $(if $(CODE),--code $(CODE))

setup: $(READY)

$(READY): pyproject.toml $(PINS)
	@if ! bash grader/python.sh --here $(BIN)/python >/dev/null 2>&1; then \
	  python=$$(bash grader/python.sh --here $(PYTHON)) || exit 2; \
	  echo "Creating .venv with $$("$$python" -V)"; \
	  "$$python" -m venv --clear .venv >.venv-error 2>&1 || { \
	    echo "make: could not create .venv: $$(tail -n 1 .venv-error) (Debian and Ubuntu: install python3-venv)" >&2; rm -f .venv-error; exit 2; }; \
	  rm -f .venv-error; fi
	@$(install_torch)
	@echo "Installing the pinned packages into .venv: about 75 MB beside PyTorch, the first time$(if $(EXTRAS), and $(EXTRAS))"
	@$(call install,-e '.$(EXTRAS)')
	@touch $@

clean:
	rm -rf .venv .kata *.egg-info .pytest_cache

# Install with pip. The whole output goes to .venv/install.log; downloads and the first error are shown.
define install
{ $(BIN)/python -m pip install --disable-pip-version-check --no-input -c $(PINS) $(1) 2>&1 || echo "ERROR: pip failed"; } \
  | tee .venv/install.log | awk '/^ *(Downloading|Installing collected)/ {print substr($$0, 1, 100); fflush()}'; \
if grep -q '^ERROR: pip failed' .venv/install.log; then \
  why=$$(grep -o 'ERROR: .*' .venv/install.log | head -n 1 | cut -c1-300); \
  if grep -q 'find a version' <<< "$$why" && grep -q '$(UNREACHED)' .venv/install.log; then \
    why="the package index cannot be reached: check the network, the proxy and pip config list"; fi; \
  echo "make: installing failed: $$why (full log: .venv/install.log)" >&2; exit 2; fi
endef

# Install PyTorch's CPU build, where it has one of its own and its index answers within seconds. Otherwise the next
# step installs the default build, which on Linux brings the CUDA libraries.
define install_torch
had=$$(cat .venv/torch 2>/dev/null || true); build=$(or $(TORCH),$${had:-cpu}); \
case $$build in cpu|cuda) ;; *) echo "make: TORCH=$$build: it is cpu or cuda" >&2; exit 2;; esac; \
if [ -n "$$had" ] && [ "$$had" != "$$build" ]; then $(BIN)/python -m pip uninstall -q -y torch; fi; \
uv="env UV_HTTP_TIMEOUT=$${UV_HTTP_TIMEOUT:-5} $(BIN)/uv pip install --python $(BIN)/python --no-deps -c $(PINS) --torch-backend cpu torch"; \
if [ "$$build" = cpu ] && [ "$$(uname -s)" = Linux ] && ! $(BIN)/python -m pip show -q torch 2>/dev/null; then \
  if $(BIN)/python -m pip install -q --no-input -c $(PINS) uv 2>.venv/install.log && UV_HTTP_RETRIES=0 timeout 20 $$uv -q --dry-run 2>/dev/null; then \
    echo "Downloading PyTorch's CPU build: about 200 MB"; \
    $$uv || { echo "make: PyTorch could not be downloaded: try again, or TORCH=cuda for the default build" >&2; exit 2; }; \
  elif ! grep -q '$(UNREACHED)' .venv/install.log; then \
    echo "PyTorch's index of CPU builds does not answer: pip brings its own build next, on Linux up to 2.7 GB with CUDA"; fi; fi; \
echo "$$build" > .venv/torch
endef
