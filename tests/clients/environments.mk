# An environment for each client of docs/clients.md, for some exclude each other's dependencies: make -f tests/clients/environments.mk

PYTHON ?= .venv/bin/python
LISTS := $(wildcard tests/clients/requirements-*.txt)

.PHONY: all
all: $(LISTS:tests/clients/requirements-%.txt=.clients/%/installed) $(if $(shell command -v npm),.clients/node/installed)

.clients/%/installed: tests/clients/requirements-%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --requirement $<
	touch $@

.clients/node/installed: tests/clients/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --prefix $(@D) --no-package-lock --no-audit --no-fund
	touch $@
