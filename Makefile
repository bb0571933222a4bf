# One verb a target; `make help` lists them. Every recipe is idempotent.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
UV_VERSION := 0.13.9
STAMP := $(VENV)/.installed
LOCK := $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11
DISTRIBUTIONS := operator/api operator/controller operator/cli trainer server airflow cluster
PYTHON_ROOTS := $(DISTRIBUTIONS) tests examples

.PHONY: help venv up down status demo airflow screenshots images test test-fast test-cluster test-e2e soak bench-airflow bench-operator gates format crds lock

help:  ## list the verbs
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | expand -t 16

$(STAMP): requirements/dev.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	@echo "development environment: installing into $(VENV) (usually 1 min)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fairlead needs Python 3.11 or newer: python3 is " + sys.version.split()[0])'
	@test -x $(UV) || { python3 -m venv $(VENV) && $(PY) -m pip install --quiet uv==$(UV_VERSION); }
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	@touch $@

venv: $(STAMP)  ## make the development environment

up: $(STAMP)  ## start the cluster on this machine (or install into FAIRLEAD_CONTEXT)
	@$(PY) -m fairlead_cluster up

down: $(STAMP)  ## remove every cluster of this machine (or uninstall from FAIRLEAD_CONTEXT; VOLUMES=1)
	@$(PY) -m fairlead_cluster down --all $(if $(VOLUMES),--volumes)

status: $(STAMP)  ## show the cluster's components
	@$(PY) -m fairlead_cluster status

demo: $(STAMP)  ## train a model, serve it and ask it questions
	@$(PY) -m fairlead_cluster demo $(if $(SEED),--seed $(SEED))

airflow: $(STAMP)  ## run Airflow with our DAGs on the demo's cluster (PORT=8080) until Ctrl-C
	@$(PY) -m fairlead_cluster airflow $(if $(PORT),--port $(PORT))

screenshots: $(STAMP)  ## take the docs' pictures of a running `make airflow` (PORT=8080)
	@$(PY) docs/screenshots/take.py $(if $(PORT),--port $(PORT))

images: $(STAMP)  ## build all images; `make images push REGISTRY=…` also pushes them
	@$(PY) -m fairlead_cluster images $(if $(filter push,$(MAKECMDGOALS)),push $(if $(REGISTRY),--registry $(REGISTRY)),build)

ifneq ($(filter images,$(MAKECMDGOALS)),)
.PHONY: push
push: ; @:
endif

gates: $(STAMP)  ## format, lint, types, import rules
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(STAMP)  ## let ruff format and mend the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

test: $(STAMP)  ## gates and all tests, from a bare checkout
	@$(PY) tests/run.py gates fast cluster e2e

test-fast: $(STAMP)  ## gates and the tests that need Python and helm only (3 min)
	@$(PY) tests/run.py gates fast

test-cluster: $(STAMP)  ## tests against a real API server
	@$(PY) tests/run.py cluster

test-e2e: $(STAMP)  ## tests against the whole cluster with images
	@$(PY) tests/run.py e2e

soak: $(STAMP)  ## campaigns of the proof harness, results to docs/testing (hours; MOST=1500 runs of each)
	@mkdir -p docs/testing; code=0; \
	$(PY) tests/chaos/fairlead_model --states 1000000 --seed 1 --processes 2 --write docs/testing/model.json || code=$$?; \
	FAIRLEAD_RESULTS=docs/testing $(PY) -m pytest -q -m cluster tests/cluster/admission || code=$$?; \
	$(PY) tests/chaos/fairlead_chaos soak --most $(or $(MOST),1500) --write docs/testing || code=$$?; \
	$(PY) tests/chaos/fairlead_chaos pages && exit $$code

bench-airflow: $(STAMP)  ## thousands of waiting tasks: shared watch against polling (25 min; WRITE=1: to docs/)
	@$(PY) tests/bench/waiters $(if $(WRITE),--write docs/benchmarks)

bench-operator: $(STAMP)  ## thousands of FineTuneJobs: Fairlead against bare Jobs and a naive operator (1-2 h; WRITE=1: to docs/)
	@$(PY) tests/bench/fleet $(if $(WRITE),--write docs/benchmarks)

crds: $(STAMP)  ## write the chart's CRDs from the pydantic models
	@$(PY) -m fairlead_cli crds --directory charts/fairlead/templates/crds

lock: $(STAMP)  ## resolve requirements/dev.in anew, and what follows it in the images
	@$(LOCK) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) requirements/airflow.in -o requirements/airflow.txt
	@$(LOCK) $(addprefix --no-emit-package ,packaging pygments typing-extensions) requirements/image-tests.in -o requirements/image-tests.txt
