# make grade           set up, then grade katas/ (CODE=solutions the reference, KATA=16 one kata)
# make test            set up, then run the quick tests: every kata's heart, all of what has changed in katas
# make test-all        every test of the project: the quick ones, then the rest
# make test-rest       what the quick tests leave out
# make test-report     what the last runs of both cost, by file and kind, beside what is on record
# make check           what a commit needs: style, types, imports, generated files; a minute the first time
# make stubs           write stubs, lesson heads and tables from solutions/ and each kata.toml
# make mutants KATA=16 how well a kata's specs catch generated mutants of its reference and textbook solution
# make truth           the references beside PyTorch's own tests, transformers, peft and trl: docs/truth.md
# make seals KATA=16   find anew which specs of a kata judge from another process, too
# make bench           what commands, locks, katas, a save and a class cost, beside their budgets (ARGS=--record sets these)
# make bench-gpt       a GPT's training step on this device, rung by rung, beside nanoGPT's (ARGS="--quick")
# make wheel           build the release file, which needs no checkout: dist/torch_katas-….whl
# make diagrams        draw the lessons' diagrams whose source has changed (KATA=16 those of one kata)
# make pictures        draw the README's pictures from the real program
# make site            build the course's web site in build/site (NOTEBOOKS=no leaves the papers' notebooks out)
# make clean           remove what the set-up made

include grader/setup.mk

.PHONY: test test-all test-rest test-report check stubs mutants truth seals bench bench-gpt wheel diagrams pictures site

RUN_TESTS = $(BIN)/python -m pytest -p tests.tiers -n auto --dist loadgroup

test: .venv/installed-quick
	@rm -f .kata/known.sqlite
	@$(RUN_TESTS) --tier quick

test-all: test
	@$(MAKE) --no-print-directory test-rest

test-rest: .venv/installed-tests
	@$(RUN_TESTS) --tier rest

test-report: setup
	@$(BIN)/python -m tests.cost

check: .venv/installed-dev
	@$(BIN)/ruff check -q --output-format concise .
	@$(BIN)/ruff check -q --output-format concise --preview --select PLW1514 grader workshop  # every file is UTF-8
	@$(BIN)/ruff format -q --check --output-format concise . || { echo "run .venv/bin/ruff format"; false; }
	@for system in linux darwin win32; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit; done
	@said=$$($(BIN)/lint-imports 2>&1) || { grep -F -e ' -> ' <<< "$$said" || echo "$$said"; \
	  echo "imports go one way: see docs/grader.md"; false; }
	@$(BIN)/kata generate --check
	@$(BIN)/kata diagrams --check

stubs: setup
	@$(BIN)/kata generate

mutants: .venv/installed-mutants
	@$(BIN)/kata mutants $(KATA)
	@$(BIN)/kata mutants --textbook $(KATA)

truth: .venv/installed-truth
	@$(BIN)/python -m tests.truth

seals: setup
	@$(BIN)/kata seals $(KATA)

bench: setup
	@$(BIN)/python tests/bench/bench_grading.py
	@$(BIN)/python -m tests.bench.performance $(ARGS)

bench-gpt: setup
	@$(BIN)/python -m tests.bench.gpt $(ARGS)

wheel: setup
	@$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps -w dist .
	@ls -sh dist/*.whl

diagrams: setup
	@$(BIN)/kata diagrams $(KATA)

pictures: setup
	@$(BIN)/python -m tests.bench.pictures

site: .venv/installed-site
	@$(BIN)/kata site $(if $(filter no,$(NOTEBOOKS)),--no-notebooks) $(if $(REPOSITORY),--repository $(REPOSITORY))

.venv/installed-%: $(READY)
	@echo "Installing what the $* need into .venv"
	@$(call install,-e '.[$*]')
	@touch $@
