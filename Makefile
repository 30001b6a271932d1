# The front door. Each target calls one thing; scripts/ has the details.
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check chaos quality bench docs format requirements clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## .venv with ai-engine in it
	@scripts/setup.sh base

setup-dev: ## the same with everything that tests need, system packages included
	@scripts/setup.sh dev

demo: setup ## the engine, a simulated DingTalk and a local model, in one go
	@.venv/bin/ai-engine demo

test: setup-dev ## everything that must hold
	@scripts/test.sh all

check: setup-dev ## the quick loop: lint, types, floors, unit tests
	@scripts/test.sh quick

chaos: setup-dev ## kill the real process again and again
	@$(PY) -m pytest tests/chaos -n 0

quality: setup-dev ## every connector's grade, and whether the tests notice a broken rule
	@$(PY) scripts/quality.py --disable

bench: setup ## figures for docs/benchmarks.md
	@$(PY) benchmarks/run.py

docs: setup-dev ## regenerate the reference pages
	@$(PY) scripts/config_reference.py && $(PY) scripts/cli_reference.py

format: setup-dev ## ruff format and the safe fixes
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

requirements: setup ## pin again what requirements/*.in ask for
	@scripts/requirements.sh

clean: ## what the other targets made
	rm -rf .venv .cache .demo .pytest_cache .ruff_cache .hypothesis
