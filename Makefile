# Every target is a thin front of the test-framework command or of one tool.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FRAMEWORK := $(BIN)/test-framework
BACKEND ?=
BENCH_ARGS ?=
# A worker for each processor; a file stays with one worker, since its tests share a stack.
PYTEST_ARGS ?= -n logical --maxprocesses 4 --dist loadfile
SOURCES := test_framework seeder monitor tests benchmarks scripts
SHELL_SCRIPTS := .ci/run $(wildcard scripts/*.sh scripts/ci/*.sh images/*/*.sh monitor/*.sh)

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

# Rebuilt only when the lock file or the build changes: a second call costs a few milliseconds.
$(VENV)/.installed: requirements.lock pyproject.toml scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py $(VENV)

.PHONY: test-up
test-up: $(VENV)/.installed ## set up what is missing, start and seed all servers, wait until healthy (BACKEND=native|compose|external)
	@$(FRAMEWORK) up $(if $(BACKEND),--backend $(BACKEND))

.PHONY: test-down
test-down: $(VENV)/.installed ## stop everything and leave nothing behind
	@$(FRAMEWORK) down

.PHONY: test-status
test-status: $(VENV)/.installed ## how every server is, asked now
	@$(FRAMEWORK) status

.PHONY: test-logs
test-logs: $(VENV)/.installed ## the end of every server's log
	@$(FRAMEWORK) logs

.PHONY: test-seed
test-seed: $(VENV)/.installed ## bring the seed data up to date with the fixtures
	@$(FRAMEWORK) seed

.PHONY: test-reset
test-reset: $(VENV)/.installed ## put the base data back to the seed, whatever was done to it
	@$(FRAMEWORK) reset

.PHONY: test-doctor
test-doctor: $(VENV)/.installed ## which backend would be used and why, what is missing, how to get it
	@$(FRAMEWORK) doctor

.PHONY: test
test: test-up ## run the project's own tests against the stack (PYTEST_ARGS="-k word")
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.installed ## lint, format check, types, import contracts, images, scripts; writes nothing
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint images/*/Dockerfile seeder/Dockerfile monitor/Dockerfile
	$(BIN)/compose-lint docker-compose.test.yml

.PHONY: format
format: $(VENV)/.installed ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: bench
bench: $(VENV)/.installed ## measure what docs/benchmarks.md reports (BENCH_ARGS="stack --write" records)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: lock
lock: $(VENV)/.installed ## renew requirements.lock from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --upgrade --quiet --custom-compile-command "make lock" \
		--output-file requirements.lock
	@UV=$(BIN)/uv scripts/ci/lock-images.sh

.PHONY: clean
clean: ## remove caches and the virtual environment (not the stack: make test-down)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build *.egg-info
