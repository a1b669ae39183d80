# make grade           set up, then grade katas/ (CODE=solutions the reference, KATA=16 one kata)
# make test            set up, then run every test of the project, in two processes
# make bench           how fast grading is here, against cold pytest
# make mutants KATA=16 how well a kata's specs catch generated mutants of its reference
# make bench-gpt       kata 30's speed ladder on whatever device there is
# make pictures        draw the README's pictures from the real program
# make stubs           keep the stubs of katas/ as what kata reset puts back
# make clean           remove what the set-up made

include grader/setup.mk

.PHONY: test bench bench-gpt mutants stubs pictures

test: .venv/installed-tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile

bench: setup
	@$(BIN)/python tests/bench/bench_grading.py
	@$(BIN)/python -m tests.bench.bench_watch

mutants: .venv/installed-mutants
	@$(BIN)/python -m tests.mutants $(KATA)

bench-gpt: setup
	@$(BIN)/python tests/bench/bench_gpt.py

pictures: setup
	@$(BIN)/python -m tests.pictures

stubs: setup
	@$(BIN)/python -m tests.keep_stubs

.venv/installed-%: $(READY)
	@echo "Installing what the $* need into .venv"
	@$(call install,-e '.[$*]')
	@touch $@
