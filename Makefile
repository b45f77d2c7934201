# Everything sets itself up: Python 3.11, pip and make are all that is needed beforehand.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo tools test test-all lint bench arena clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(READY)

demo: $(READY)
	$(BIN)/roda demo

# Files of tests are shared out among as many processes as there are cores. The contracts are compiled, tested and
# compared with the shipped artifacts wherever npm could install their compiler.
test: lint tools
	@if [ -e contracts/node_modules/.package-lock.json ]; then $(MAKE) --no-print-directory contracts-test contracts-check; fi
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist loadfile

test-all: lint tools contracts contracts-deep contracts-coverage contracts-findings
	$(BIN)/python -m pytest

# Compiler, reference chain, browser and x402's TypeScript client for the tests that use them; without those the tests
# are skipped and say so.
tools:
	@command -v chromium > /dev/null || { command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] \
	&& apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium > /dev/null; } \
	|| echo "chromium is not installed: tests in the browser will be skipped"
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory contracts/node_modules/.package-lock.json \
	tests/serve/typescript/node_modules/.package-lock.json \
	|| echo "npm could not install the tools: tests against the compiler and against anvil will be skipped"; \
	else echo "npm is not installed: tests against the compiler and against anvil will be skipped"; fi

tests/serve/typescript/node_modules/.package-lock.json: tests/serve/typescript/package.json
	cd tests/serve/typescript && npm install --no-save --no-audit --no-fund
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benches/run.py

# Attacks on the rules of pay, on real texts; bars that are missed are printed as missed, and the exit status is 1.
arena: $(READY)
	$(BIN)/python -m arena.run

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache rodagila-demo build dist

include contracts/contracts.mk
