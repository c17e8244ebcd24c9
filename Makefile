# The tasks of this repository. `make` alone lists them. They need Python 3.11 or later and make, nothing else: each
# target installs the tools that it uses into .venv, from the lock files in requirements/.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# The Python that creates .venv: the first of these that is new enough.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --require-virtualenv
PYTEST := $(BIN)/python -m pytest
ARGS ?=

# Python caches bytecode, whatever the environment says: the tests start hundreds of processes, which would each compile
# all modules again.
export PYTHONDONTWRITEBYTECODE :=

DEPLOY_TESTS := tests/helm tests/kubernetes
CLIENT_TESTS := tests/clients
WITHOUT_CLUSTER := $(addprefix --ignore=,$(DEPLOY_TESTS) $(CLIENT_TESTS))

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=… is passed on: make test ARGS='tests/unit/engine -x', make demo ARGS=--help"

# ── Set-up ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# Tiergate, installed editable, and its dependencies, including those of the control plane.
$(VENV)/.core: requirements/build.txt requirements/control-plane.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; name one with: make PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r requirements/build.txt -r requirements/control-plane.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The tools that test, check and lock it.
$(VENV)/.dev: $(VENV)/.core requirements/dev.txt
	@echo "installing the development tools into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/.core ## set up .venv with the `tiergate` command

# ── Use ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: demo
demo: $(VENV)/.core ## publish a sample, start a sidecar, run checks, publish a change
	@$(BIN)/tiergate demo $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## measure speed and memory, as ratios to a baseline
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: race
race: $(VENV)/.dev ## compare speed with other systems that are on the path
	@$(BIN)/python -m benchmarks.race $(ARGS)

# Needs an idle machine, and the other systems on the path; the results of missing ones stay.
.PHONY: performance
performance: $(VENV)/.dev ## measure again what docs/explanation/performance.md shows
	@$(BIN)/python -m benchmarks.race --update-page
	@$(BIN)/python -m benchmarks --update-page $(or $(ARGS),repeat batch engine uncached full-size growth pause reload)

# ── Check ────────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: check
check: test lint docs-check ## test, lint and docs-check

# First the tests that can share the machine, then those that measure time. Exit status 5: no test has the marker.
.PHONY: test
test: $(VENV)/.dev ## run the tests (a few minutes)
ifdef ARGS
	@$(PYTEST) $(ARGS)
else
	@$(PYTEST) --numprocesses auto --dist worksteal -m "not serial and not slow and not walkthrough" $(WITHOUT_CLUSTER)
	@$(PYTEST) -m "serial and not slow" $(WITHOUT_CLUSTER) $$(grep -rl --include='test_*.py' --exclude-dir=helm --exclude-dir=kubernetes 'mark\.serial' tests) || test $$? -eq 5
endif

# These tests need Helm, etcd, kube-apiserver and promtool on the path. `.ci/helm`, `.ci/kubernetes` and `.ci/promtool`
# build them with Go and print their folders.
.PHONY: test-deploy
test-deploy: $(VENV)/.dev ## test the Helm chart against a real API server
	@$(PYTEST) --numprocesses auto --dist worksteal -m "not serial and not slow" $(DEPLOY_TESTS) $(ARGS)
	@$(PYTEST) -m "serial and not slow" $(DEPLOY_TESTS) $(ARGS) || test $$? -eq 5

# These tests need Node, Go and the generators of tests/clients on the path. `.ci/clients` installs the generators and
# prints their folder.
.PHONY: test-clients
test-clients: $(VENV)/.dev ## test the clients in other languages, and generated ones
	@$(PYTEST) -o faulthandler_timeout=900 $(CLIENT_TESTS) $(ARGS)

.PHONY: test-slow
test-slow: $(VENV)/.dev ## run the tests that take minutes each
	@$(PYTEST) -m slow -o faulthandler_timeout=1800 $(ARGS)

# HYPOTHESIS_PROFILE=ci: 25 examples, as a change must pass to be merged.
.PHONY: properties
properties: $(VENV)/.dev ## run the property tests longer: 20,000 examples instead of 10
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-long} $(PYTEST) --numprocesses auto -o faulthandler_timeout=0 \
		-m "hypothesis and not slow" $$(grep -rl --include='test_*.py' '^from hypothesis' tests) $(ARGS)

.PHONY: simulate
simulate: $(VENV)/.dev ## simulate the lease protocol: a million schedules, or ARGS="--schedules 1000 --seed 7"
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--schedules 1000000)

# ARGS="-k postgresql"; TIERGATE_TRIAL_SEED and TIERGATE_TRIAL_FAULTS choose what happens, and how often.
.PHONY: trial
trial: $(VENV)/.dev ## kill, cut off and starve real processes that count usage, 300 times on each database
	@$(PYTEST) tests/system/test_usage_trial.py -m slow -s -o faulthandler_timeout=3600 $(ARGS)

.PHONY: lint
lint: lint-code lint-types lint-imports ## check format, code, types and layers

.PHONY: lint-code
lint-code: $(VENV)/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: lint-types
lint-types: $(VENV)/.dev
	@$(BIN)/mypy --strict src tests

.PHONY: lint-imports
lint-imports: $(VENV)/.dev
	@$(BIN)/lint-imports

.PHONY: docs-check
docs-check: $(VENV)/.dev ## check the pages: links, examples, generated parts
	@$(PYTEST) --numprocesses auto tests/docs $(ARGS)

# ── Write ────────────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: format
format: $(VENV)/.dev ## format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format

.PHONY: docs
docs: $(VENV)/.dev ## regenerate the generated pages, then check all pages
	@$(PYTEST) --quiet --update-goldens $$(grep -rl --include='test_*.py' 'golden: Golden' tests/docs) $(ARGS)
	@$(PYTEST) --numprocesses auto tests/docs --quiet $(ARGS)

.PHONY: session
session: $(VENV)/.dev ## record the terminal session that the README shows
	@$(BIN)/python packaging/record_session.py

.PHONY: goldens
goldens: $(VENV)/.dev ## regenerate the expected outputs of tests; read the diff before you commit
	@$(PYTEST) --update-goldens $$(grep -rl --include='test_*.py' 'golden: Golden' tests) $(ARGS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(ARGS)

.PHONY: lock
lock: $(VENV)/.dev ## write requirements/ from pyproject.toml (newer versions: ARGS=--upgrade)
	@$(LOCK) --group build --output-file requirements/build.txt
	@$(LOCK) --group build --group image --constraints requirements/build.txt --output-file requirements/image.txt
	@$(LOCK) pyproject.toml --output-file requirements/core.txt
	@$(LOCK) pyproject.toml --extra control-plane --constraints requirements/core.txt --output-file requirements/control-plane.txt
	@$(LOCK) pyproject.toml --extra control-plane --extra usage-export --constraints requirements/control-plane.txt \
		--output-file requirements/usage-export.txt
	@$(LOCK) pyproject.toml --extra control-plane --extra usage-export --group dev --constraints requirements/usage-export.txt \
		--constraints requirements/image.txt --output-file requirements/dev.txt

.PHONY: dist
dist: $(VENV)/.core ## build the wheel and the source distribution in dist/
	@$(BIN)/hatchling build --directory dist

# The first of these that works here. To choose one: make image BUILDER=podman.
BUILDER ?= $(shell for builder in docker podman buildah; do $$builder info >/dev/null 2>&1 && echo $$builder && break; done)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/tiergate/__init__.py)

.PHONY: image
image: ## build the images tiergate-sidecar and tiergate-control-plane
	@test -n "$(BUILDER)" || { echo "found none of docker, podman and buildah" >&2; exit 1; }
	@for target in control-plane sidecar; do \
		BUILDAH_FORMAT=docker $(BUILDER) build --file sidecar.Dockerfile --target $$target --tag tiergate-$$target:$(VERSION) \
			--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git describe --always --abbrev=40 --dirty --exclude '*') \
			--build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(ARGS) . || exit; \
	done

.PHONY: clean
clean: ## remove everything that these targets create
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
