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

.PHONY: contracts-deep contracts-coverage contracts-findings contracts-mutation

# The invariants at full depth; continuous integration runs them at the default profile's.
contracts-deep: export FOUNDRY_PROFILE = deep
contracts-deep: contracts/node_modules/.package-lock.json
	$(FORGE) test --match-test invariant

contracts-coverage: contracts-build
	$(FORGE) coverage --report lcov --report-file lcov.info > /dev/null
	$(PYTHON) contracts/coverage.py

# Slither in an environment of its own, with a pin: it is a tool, not a part of the package.
contracts/.slither/bin/slither:
	$(PYTHON) -m venv contracts/.slither
	contracts/.slither/bin/python -m pip install --quiet --disable-pip-version-check slither-analyzer==0.11.6

contracts-findings: contracts/node_modules/.package-lock.json contracts/.slither/bin/slither
	$(FORGE) build --force --build-info --skip 'test/**' > /dev/null
	$(PYTHON) contracts/findings.py --slither "$(CURDIR)/contracts/.slither/bin/slither"

contracts-mutation: contracts/node_modules/.package-lock.json
	$(PYTHON) contracts/mutation.py Rewards Channels Escrow
