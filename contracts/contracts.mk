# Compile, test and export the contracts. Needs node 20 or newer; nothing else in the project does.
# Included by the Makefile at the root: `make contracts`.
PYTHON ?= python3
# The binary itself: the launcher in node_modules/.bin exits with 0 whatever forge said.
FORGE := cd contracts && node_modules/@foundry-rs/forge-*/bin/forge

.PHONY: contracts contracts-build contracts-test contracts-check

# GasTest measures what each act costs, as a transaction of its own; the export writes that to contracts/gas.json.
contracts: contracts-test
	$(PYTHON) contracts/export_artifacts.py

# Not npm ci: the lock cannot name forge's builds for every platform, and ci refuses such a lock. The pins hold all the same.
contracts/node_modules/.package-lock.json: contracts/package.json contracts/package-lock.json
	cd contracts && npm install --no-save --no-audit --no-fund
	touch $@

contracts-build: contracts/node_modules/.package-lock.json
	$(FORGE) build

contracts-test: contracts-build
	$(FORGE) fmt --check
	$(FORGE) test

contracts-check: contracts-build
	$(PYTHON) contracts/export_artifacts.py --check
