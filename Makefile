# `make` sets everything up, renders the three overlays, validates them and says where the result is. `make help` lists the rest.

.DEFAULT_GOAL := all
.SUFFIXES:
.PHONY: all setup dev crane link uninstall render validate test test-cluster cluster-tools e2e bench lint format schema update-goldens clean help

# What a person may name on the command line: make KUSTOMIZE=/path/to/kustomize
PYTHON ?=
GO ?=
KUSTOMIZE ?=
KUBECONFORM ?=
# LINKS=no: make no links outside this folder.   FORCE=1: take over links that lead elsewhere.
LINKS ?= yes
FORCE ?=
# More options for pytest: make test ARGS='-k launcher'
ARGS ?=

# The command line tool and the tests take them from the environment; an empty one would be a name that is no program.
ifneq ($(strip $(KUSTOMIZE)),)
export KUSTOMIZE
else
unexport KUSTOMIZE
endif
ifneq ($(strip $(KUBECONFORM)),)
export KUBECONFORM
else
unexport KUBECONFORM
endif

VENV := .venv/bin
EMQX_GITOPS := $(VENV)/emqx-gitops
NEEDS_CLUSTER_TOOLS := tests/cluster tests/parity tests/formed
NEEDS_SYNC_TOOLS := tests/e2e
# Containers run only on Linux and as root; elsewhere the tests that need it say so, and what they need is not built.
E2E_PROGRAMS = if [ "$$(uname) $$(id -u)" = "Linux 0" ]; then echo e2e; else echo sync; fi
# Stories at once, each with a control plane of its own.
E2E_PROCESSES := 3
NOT_WITHOUT_TOOLS := $(patsubst %,--ignore=%,$(NEEDS_CLUSTER_TOOLS) $(NEEDS_SYNC_TOOLS))

# The first Python that is new enough; set -- keeps a path with blanks in one piece.
BOOTSTRAP = @set --; \
	for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	  if [ -n "$$python" ] && "$$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then set -- "$$python"; break; fi; \
	  if [ -n "$(PYTHON)" ]; then break; fi; \
	done; \
	if [ $$\# = 0 ]; then echo "emqx-gitops: expected Python 3.10 or newer$(if $(PYTHON), as PYTHON=$(PYTHON), on PATH); install it (Debian: python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2; exit 3; fi; \
	exec "$$1" -I tools/bootstrap.py $(if $(PYTHON),--python-asked) --go "$(GO)" --kustomize "$(KUSTOMIZE)" --kubeconform "$(KUBECONFORM)" \
	  $(if $(filter no,$(LINKS)),--no-links) $(if $(FORCE),--force-links)

all: setup
	@$(EMQX_GITOPS) render --all --output-dir rendered
	@$(EMQX_GITOPS) validate --all
	@echo "rendered and validated: rendered/ (one file for each overlay and cluster)"
	@echo "the same by hand, in any shell: kustomize build --enable-alpha-plugins overlays/persistent"

setup: ## Python packages, kustomize, kubeconform, and the links by which kustomize finds the plugin
	$(BOOTSTRAP)

dev: ## setup, and what tests and checks need
	$(BOOTSTRAP) --dev

crane: ## setup, and the program that `emqx-gitops publish --oci` needs
	$(BOOTSTRAP) --crane

link: setup ## make the links; FORCE=1 takes over those that lead elsewhere

uninstall: ## remove the links that lead to this clone
	$(BOOTSTRAP) --uninstall

render: setup ## render every overlay and cluster into rendered/
	@$(EMQX_GITOPS) render --all --output-dir rendered

validate: setup ## render, and check schemas and rules for all supported Kubernetes versions
	@$(EMQX_GITOPS) validate --all

test: dev ## the tests that need nothing but set-up
	@$(VENV)/python -m pytest tests $(NOT_WITHOUT_TOOLS) --numprocesses=auto --dist=loadfile $(ARGS)

cluster-tools: dev ## build etcd, kube-apiserver and older kustomizes for test-cluster (some ten minutes, once)
	@$(VENV)/python tests/tools/build.py

test-cluster: cluster-tools ## the tests against a real API server, kubectl, older kustomizes and the shells of the images
	@$(VENV)/python -m pytest $(NEEDS_CLUSTER_TOOLS) $(ARGS)

# No link leads to a clone from which only tests ran.
e2e: LINKS = no
e2e: dev ## from a commit to a running cluster: Flux, Argo CD, members that really run (an hour the first time, to build it all)
	@$(VENV)/python tests/tools/build.py "$$($(E2E_PROGRAMS))"
	@$(VENV)/python -m pytest $(NEEDS_SYNC_TOOLS) --numprocesses=$(E2E_PROCESSES) $(ARGS)

bench: dev ## measure the function, whole builds and a review against their floors
	@$(VENV)/python tests/bench/bench.py $(ARGS)
	@$(VENV)/python tests/bench/review.py $(ARGS)

lint: dev ## every check on code, YAML and workflows
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports
	@$(VENV)/yamllint --strict .
	@$(VENV)/hadolint Dockerfile
	@if [ -d .github/workflows ]; then .tools/bin/actionlint -color && $(VENV)/zizmor --offline --quiet .github; fi
	@$(EMQX_GITOPS) schema --check

format: dev ## format the code
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

schema: dev ## write the JSON Schemas of both kinds into plugins/schemas/
	@$(EMQX_GITOPS) schema

update-goldens: dev ## write the expected results of the tests anew; review the difference line by line
	@$(VENV)/python -m pytest tests $(NOT_WITHOUT_TOOLS) --update-goldens $(ARGS)

clean: ## remove what can be made again, except .venv and .tools
	@rm -rf rendered build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

help: ## this list
	@echo "make                 set up, render, validate"
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-15s %s\n", $$1, $$2 }'
