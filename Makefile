# Everything a developer types. Works with GNU make 3.81 and Python 3.11 or newer; brings the rest itself.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SAM_CLI_TELEMETRY := 0

# The first Python that is new enough; `make PYTHON=…` chooses another.
PYTHON ?= $(or $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; \
    done),$(error agentfabric needs Python 3.11 or newer: none found; say which with make PYTHON=/path/to/python))

# A stamp's name is a checksum of all that an environment depends on, and of its place: scripts carry paths.
key = $(shell { cat $(1) tools/environment.py; pwd; } | cksum | tr -dc 0-9)
READY := .venv/.ready-$(call key,requirements-dev.txt pyproject.toml)
SAM_READY := .venv-sam/.ready-$(call key,requirements-sam.txt)
CHECKOV_READY := .venv-checkov/.ready-$(call key,requirements-checkov.txt)
MINISTACK_READY := .venv-ministack/.ready-$(call key,requirements-ministack.txt)
AZURITE_READY := tools/azurite/node_modules/.ready-$(call key,tools/azurite/package-lock.json)
ASL_READY := tools/asl-validator/node_modules/.ready-$(call key,tools/asl-validator/package-lock.json)

# $(call without,TOOL,HOW TO INSTALL): in CI a missing tool is a failure, elsewhere a skip that says so.
without = if [ "$$CI" = true ]; then echo "error: $(1) cannot be had; $(2)" >&2; exit 1; \
    else echo "skip: $(1) cannot be had; $(2)"; fi

JOBS ?= 2

# What is checked; tests/gates gives each check something with a planted flaw, which has to turn it red.
LINTED ?= .
TYPED ?=
TEMPLATE ?= template.yaml
MACHINES ?= $(wildcard statemachines/*.json)
SCANNED ?=

.PHONY: help demo test check render bench package stack emulators stack clean lock check-lint check-format \
    check-types check-secrets check-cfn-lint check-sam check-checkov check-statemachines

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(READY) $(if $(filter emulators,$(STACK)),stack) ## review the licences of the installed packages across the three clouds, here
	@.venv/bin/agentfabric demo $(if $(STACK),--stack $(STACK)) $(ARGS)

test: $(READY) emulators ## run the tests; ARGS="-k approval" chooses
	@.venv/bin/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

check: check-lint check-format check-types check-secrets check-cfn-lint check-sam check-checkov \
    check-statemachines ## lint, types, secrets, templates

render: $(READY) ## write the state machines and JSON Schemas from their sources
	@.venv/bin/agentfabric render $(ARGS)

bench: $(READY) ## measure, next to peers and limits
	@.venv/bin/python -m benchmarks $(ARGS)

package: $(READY) ## stage what each cloud is given: build/aws, build/azure, build/gcp; ARGS="gcp" chooses
	@$(MAKE) -s $(SAM_READY) || echo "aws-sam-cli cannot be had; its lock is requirements-sam.txt" >&2
	@.venv/bin/python -m tools.package $(ARGS)

stack: $(READY) emulators ## install what `agentfabric up` starts: a local AWS and Azure storage
	@.venv/bin/agentfabric doctor || [ "$$CI" != true ]

emulators:
	@$(MAKE) -s $(SAM_READY) $(MINISTACK_READY) || { $(call without,the local AWS,its locks are requirements-*.txt); }
	@if command -v npm >/dev/null && $(MAKE) -s $(AZURITE_READY); then :; \
	else $(call without,azurite,install Node.js with npm then run make stack); fi

lock: $(READY) ## pin pyproject.toml's dependencies anew; UPGRADE=1 takes the newest
	@.venv/bin/uv pip compile $(compile) pyproject.toml --group dev -o requirements-dev.txt
	@.venv/bin/uv pip compile $(compile) pyproject.toml -c requirements-dev.txt -o requirements.txt
	@.venv/bin/uv pip compile $(compile) aws/requirements.in -c requirements-dev.txt -o aws/requirements.txt
	@.venv/bin/uv pip compile $(compile) gcp/requirements.in -c requirements.txt -o gcp/requirements.txt
	@.venv/bin/uv pip compile $(compile) azure/requirements.in -c requirements.txt -o azure/requirements.txt
	@.venv/bin/uv pip compile $(compile) --group pyproject.toml:sam -o requirements-sam.txt
	@echo 'ministack[full]' | .venv/bin/uv pip compile $(compile) - -o requirements-ministack.txt
	@echo checkov | .venv/bin/uv pip compile $(compile) - -o requirements-checkov.txt
	@echo uv | .venv/bin/uv pip compile $(compile) - -c requirements-dev.txt -o tools/bootstrap.txt
	@if command -v npm >/dev/null; then for tool in asl-validator azurite; do \
	    (cd tools/$$tool && npm install --silent --package-lock-only) || exit 1; done; fi
	@echo "locked: requirements*.txt, tools/bootstrap.txt, tools/*/package-lock.json"

# Hashes for every platform, and no index: each machine asks the registry it is configured for.
compile = -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

clean: ## remove environments, state and caches
	@rm -rf .venv .venv-* .agentfabric build dist .aws-sam tools/*/node_modules \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-lint: $(READY)
	@.venv/bin/ruff check --quiet $(LINTED) && echo "ruff check: ok"

check-format: $(READY)
	@.venv/bin/ruff format --quiet --diff $(LINTED) && echo "ruff format: ok"

check-types: $(READY)
	@.venv/bin/mypy --no-error-summary $(TYPED) && echo "mypy: ok"

check-secrets: $(READY)
	@.venv/bin/python -m tools.leaks $(SCANNED) && echo "secrets: ok"

check-cfn-lint:
	@if $(MAKE) -s $(SAM_READY); then .venv-sam/bin/cfn-lint $(TEMPLATE) && echo "cfn-lint: ok"; \
	else $(call without,cfn-lint,its lock is requirements-sam.txt); fi

# With --lint sam would run cfn-lint once more and not look at what SAM itself asks for.
check-sam:
	@if $(MAKE) -s $(SAM_READY); then \
	    said=$$(AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --template $(TEMPLATE) 2>&1) \
	    || { echo "$$said" >&2; exit 1; }; echo "sam validate: ok"; \
	else $(call without,aws-sam-cli,its lock is requirements-sam.txt); fi

# checkov looks at what SAM makes of the template: of a policy that stands inside a SAM resource it sees nothing.
check-checkov:
	@if $(MAKE) -s $(SAM_READY) && $(MAKE) -s $(CHECKOV_READY); then \
	    made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT \
	    && .venv-sam/bin/python tools/transformed.py $(TEMPLATE) > "$$made/template.yaml" \
	    && { said=$$(.venv-checkov/bin/checkov -f "$$made/template.yaml" --framework cloudformation \
	        --skip-download --compact --quiet 2>&1) || { echo "$$said" >&2; exit 1; }; } && echo "checkov: ok"; \
	else $(call without,checkov,its locks are requirements-checkov.txt and requirements-sam.txt); fi

check-statemachines:
	@if command -v npm >/dev/null && $(MAKE) -s $(ASL_READY); then \
	    said=$$(tools/asl-validator/node_modules/.bin/asl-validator \
	        $(foreach file,$(MACHINES),--json-path $(file)) 2>&1) \
	    || { echo "$$said" >&2; exit 1; }; echo "asl-validator: ok"; \
	else $(call without,asl-validator,install Node.js with npm then run npm ci in tools/asl-validator); fi

$(READY):
	@$(PYTHON) tools/environment.py .venv requirements-dev.txt --stamp $@ --editable

$(SAM_READY):
	@$(PYTHON) tools/environment.py .venv-sam requirements-sam.txt --stamp $@

$(CHECKOV_READY):
	@$(PYTHON) tools/environment.py .venv-checkov requirements-checkov.txt --stamp $@

$(MINISTACK_READY):
	@$(PYTHON) tools/environment.py .venv-ministack requirements-ministack.txt --stamp $@

$(AZURITE_READY):
	@cd tools/azurite && npm ci --silent && touch ../../$@

$(ASL_READY):
	@cd tools/asl-validator && npm ci --silent && touch ../../$@
