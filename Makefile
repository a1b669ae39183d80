# make grade           set up, then grade katas/ (CODE=solutions the reference, KATA=16 one kata)
# make test            set up, then run every test of the project
# make bench           how fast grading is here, against cold pytest
# make mutants KATA=16 how well a kata's specs catch generated mutants of its reference
# make stubs           keep the stubs of katas/ as what kata reset puts back
# make clean           remove what the set-up made

include grader/setup.mk

.PHONY: test bench mutants stubs

test: .venv/installed-tests
	@$(BIN)/python -m pytest

bench: setup
	@$(BIN)/python tests/bench/bench_grading.py
	@$(BIN)/python -m tests.bench.bench_watch

mutants: .venv/installed-mutants
	@$(BIN)/python -m tests.mutants $(KATA)

stubs: setup
	@$(BIN)/python -m tests.keep_stubs

.venv/installed-%: $(READY)
	@echo "Installing what the $* need into .venv"
	@$(call install,-e '.[$*]')
	@touch $@
