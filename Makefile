# Raygate. `make` alone lists what can be made.

PORT ?= 8000
CONFIG ?= configs/quickstart.yaml

BIN := .venv/bin
FIND_PYTHON = for python in python3.11 python3.12 python3 python; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& command -v $$python && exit; done

.PHONY: help serve test test-unit test-fast test-clients lint bench proto env dev-env clean
.DEFAULT_GOAL := help

help: ## List the targets
	@echo "Usage: make TARGET [VARIABLE=value ...]"
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo "Variables of serve: PORT=$(PORT)  CONFIG=$(CONFIG)  RAYGATE_HOME=~/.raygate  RAYGATE_API_KEY=(made at first start)"

serve: env ## Install what is missing, then serve CONFIG on PORT until Ctrl-C
	@exec $(BIN)/raygate serve "$(CONFIG)" --port "$(PORT)"

test: dev-env ## Run every test, unit and end-to-end
	@$(BIN)/python -m pytest tests/unit -n 2 --dist loadfile
	@exec $(BIN)/python -m pytest tests/e2e tests/security tests/contract

test-unit: dev-env ## Run the unit tests
	@exec $(BIN)/python -m pytest tests/unit -n 2 --dist loadfile

test-fast: dev-env ## Run the end-to-end tests with clusters side by side
	@exec $(BIN)/python -m pytest tests/e2e tests/security tests/contract -n 2 --dist loadscope --no-loadscope-reorder

test-clients: dev-env ## Run the recipes of docs/clients.md, each with its client in an environment of its own
	@$(MAKE) --no-print-directory -f tests/clients/environments.mk
	@exec $(BIN)/python -m pytest tests/clients

lint: dev-env ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: dev-env ## Measure this machine: the engine alone, Raygate, and Ray Serve's ordinary path
	@exec $(BIN)/python benchmarks/run.py

proto: dev-env ## Generate the Python code of gateway/grpc/chat.proto
	@exec $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. gateway/grpc/chat.proto

clean: ## Remove the environment and the caches, not the data in RAYGATE_HOME
	rm -rf .venv .clients build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

env: $(BIN)/python
	@$(BIN)/python scripts/setup.py

dev-env: $(BIN)/python
	@$(BIN)/python scripts/setup.py --dev

$(BIN)/python:
	@python=$$($(FIND_PYTHON)); \
	test -n "$$python" || { echo "Raygate needs Python 3.11 or 3.12 with its venv module (Debian: apt-get install python3-venv)." >&2; exit 2; }; \
	echo "Creating .venv with $$python"; \
	"$$python" -m venv --clear .venv
