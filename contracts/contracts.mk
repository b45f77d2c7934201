# Compile, test and export the contracts. Needs node 20 or newer; nothing else in the project does.
# Included by the Makefile at the root: `make contracts`.
PYTHON ?= python3
FORGE := cd contracts && node_modules/.bin/forge

.PHONY: contracts contracts-build contracts-test contracts-gas contracts-check

contracts: contracts-test contracts-gas
	$(PYTHON) contracts/export_artifacts.py

contracts/node_modules/.package-lock.json: contracts/package.json contracts/package-lock.json
	cd contracts && npm ci --no-audit --no-fund
	touch $@

contracts-build: contracts/node_modules/.package-lock.json
	$(FORGE) build

contracts-test: contracts-build
	$(FORGE) test

# The tests of GasTest write what each act costs, as a transaction of its own, for gas.json.
contracts-gas: contracts-build
	$(FORGE) test --match-contract GasTest

contracts-check: contracts-build
	$(PYTHON) contracts/export_artifacts.py --check
