# Every target makes its own environment first: Python 3.11 or later and make are all that has to be there.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
RUN = $(VENV)/bin/python
READY = $(VENV)/.ready
PEERS_READY = $(VENV)/.peers-ready

.PHONY: help demo test test-slow soak lint format bench bench-peers clean

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements-dev.txt setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, but PYTHON=$(PYTHON) is older")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt --editable .
	touch $@

$(PEERS_READY): $(READY) requirements-bench.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt --requirement requirements-bench.txt
	touch $@

demo: $(READY) ## trains a classifier from an S3 endpoint of its own, and compares the loaders
	$(RUN) examples/imagenet.py --demo

test: $(READY) ## runs the tests
	$(RUN) -m pytest -m "not slow"

test-slow: $(READY) ## runs the tests that take minutes
	$(RUN) -m pytest -m slow

MINUTES ?= 10
soak: $(READY) ## reads for MINUTES (10) amid random faults and compares every sample
	$(RUN) -m benchmarking.soak --minutes $(MINUTES)

lint: $(READY) ## checks style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY) ## formats the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(READY) ## measures torch's loader and ours in one interleaved run
	$(RUN) -m benchmarking.bench

bench-peers: $(PEERS_READY) ## does the same with the peers, on more workloads, in about 45 minutes
	$(RUN) -m benchmarking.bench --peers

clean: ## removes what the targets made
	rm -rf $(VENV) build dist *.egg-info bench-results demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
