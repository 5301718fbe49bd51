# The commands of this repository; plain `make` prints them. Every target first installs what it lacks, into .venv
# (.ci/install says how), and a second call installs nothing.
#
#   PYTHON=python3.12   the Python that makes .venv
#   TORCH=2.13.0        the torch that goes into it; one that is there and works is left as it is

PYTHON ?= python3
TORCH ?= 2.13.0
RECIPE ?= image_vit
CONFIG ?=
STUDENT ?=
# More arguments for pytest or the benchmarks: make test ARGS='tests/cache -x'
ARGS ?=
# Test processes; each of them uses one thread.
JOBS ?= 2
export PYTHON TORCH

BIN := .venv/bin
STAMP := .venv/.installed
DEMO := pipeline/recipes/$(RECIPE)/recipe.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test teacher-cache train-student report check lint format bench sample-data sample-teacher install \
	clean distclean need-config

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(STAMP) ## both phases on the shipped data and teacher, then the report [RECIPE=image_vit]
	$(if $(wildcard pipeline/recipes/$(RECIPE)/prepare.py),$(BIN)/python -m teachercache.pipeline.recipes.$(RECIPE).prepare)
	$(BIN)/teachercache run $(DEMO)

test: $(STAMP) ## run the tests [ARGS='tests/cache -x'] [JOBS=2]
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

teacher-cache: need-config $(STAMP) ## phase one: build the cache of CONFIG=recipe.yaml
	$(BIN)/teachercache cache build "$(CONFIG)"

train-student: need-config $(STAMP) ## phase two: train the students of CONFIG=recipe.yaml [STUDENT=name]
	$(BIN)/teachercache train "$(CONFIG)" $(if $(STUDENT),--student "$(STUDENT)")

report: $(STAMP) ## write the report of CONFIG=recipe.yaml; of the demo when left out
	$(BIN)/teachercache report "$(or $(CONFIG),$(DEMO))"

check: lint test ## lint, format, strict types and tests

lint: $(STAMP) ## ruff, the format and mypy --strict, without the tests
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(STAMP) ## let ruff put imports and format right
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(STAMP) ## measure the figures of docs [ARGS=...]
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

sample-data: $(STAMP) ## make a recipe's shipped data again, from the packages that its card names [RECIPE=image_vit]
	$(BIN)/python -m teachercache.pipeline.recipes.$(RECIPE).make_samples

sample-teacher: $(STAMP) ## train a recipe's shipped teacher again, minutes on 2 cores [RECIPE=image_vit]
	$(BIN)/python -m teachercache.pipeline.recipes.$(RECIPE).train_teacher

install: $(STAMP) ## make .venv and install everything; the other targets do it by themselves

clean: ## remove the demo's run and what the tools left; other runs and .venv stay
	rm -rf runs/demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find .ci .src pipeline stages data cache tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf .venv

need-config:
	@test -n "$(CONFIG)" || { echo "Say which configuration, for example: make $(or $(firstword $(MAKECMDGOALS)),teacher-cache) CONFIG=$(DEMO)" >&2; exit 2; }

# A copied or moved checkout installs again: its .venv still points at the files of the old place.
ifneq ($(CURDIR),$(shell cat $(STAMP) 2>/dev/null))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml .ci/install
	@.ci/install
