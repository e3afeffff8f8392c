# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need in .venv, and both may be
# run again: what is done already is not done twice. Needed beforehand: Python >= 3.10 with venv, and make.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements/constraints.txt
SETTINGS := pyproject.toml requirements/constraints.txt

.DEFAULT_GOAL := help
# As many test processes as there are cores; a file's tests stay together, so that what they share is made once.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: help demo test test-all lint types tests format screenshots bench bench-board bench-browse bench-cluster gpu-check models board query pins clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: .venv/.core  ## set up, then score an example method against the embedded benchmark
	@echo "==> harness evaluate examples/margin.py"
	$(BIN)/harness evaluate examples/margin.py

test: lint types tests  ## set up, then lint, check types, run the tests

test-all: lint types .venv/.dev .venv/.system  ## the same with the long campaigns
	$(PYTEST) -m "slow or not slow" --hypothesis-profile explore

lint: .venv/.dev  ## ruff: rules and format; zizmor: workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --no-progress --quiet .github

types: .venv/.dev  ## mypy --strict
	$(BIN)/mypy

tests: .venv/.dev .venv/.system  ## the tests alone
	$(PYTEST)

format: .venv/.dev  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: .venv/.dev .venv/.system  ## pictures of every page, at two widths, light and dark, in runs/screenshots
	PYTHONPATH=. $(BIN)/python tests/reports/screenshots.py runs/screenshots

bench: .venv/.dev  ## measure speed: what may take how long, attribution metrics against Quantus (some minutes; close everything else)
	-OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/limits.py
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/attribution_speed.py
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/evaluation_speed.py

bench-board: .venv/.dev  ## measure how long a board of 200 submissions takes to build
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/board_speed.py

bench-browse: .venv/.dev  ## measure how fluid the failure browser is, by a real mouse in Debian's chromium
	PYTHONPATH=. $(BIN)/python tests/performance/browse_frames.py

bench-cluster: .venv/.dev  ## simulate campaigns on 1 to 1,000 graphics processors (a page in runs/bench), plan a million units
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/cluster_simulation.py
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/plan_scale.py

gpu-check: .venv/.dev  ## compare a CUDA card with the processor, and print a report to paste into an issue (some minutes)
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python tests/performance/gpu_check.py

models: .venv/.dev  ## train the embedded networks, and explain them, anew (for maintainers)
	$(BIN)/python -m harness.tracks.confidence.training train confidence-mnist --out datasets/confidence-mnist
	$(BIN)/harness data fetch pneumoniamnist breastmnist
	$(BIN)/python -m harness.tracks.confidence.training train confidence-pneumonia --out datasets/confidence-pneumonia
	$(BIN)/python -m harness.tracks.attribution.training train --out datasets/attribution-mnist
	$(BIN)/harness data fetch pneumoniamnist
	$(BIN)/python -m harness.tracks.attribution.training xrays --out datasets/attribution-pneumonia
	$(BIN)/python -m harness.tracks.attribution_metric.making make --out datasets/meta-mnist --scores submissions/attribution-mnist@1

board: .venv/.core  ## build the embedded boards from their submissions
	$(BIN)/harness board build confidence-mnist@2
	$(BIN)/harness board build confidence-pneumonia@1
	$(BIN)/harness board build attribution-mnist@1
	$(BIN)/harness board build query-mnist@2
	$(BIN)/harness board build query-mni152@2
	$(BIN)/harness board build query-realistic-al@2
	$(BIN)/harness board build meta-mnist@1
	$(BIN)/harness data fetch pneumoniamnist
	$(BIN)/harness board build attribution-pneumonia@1
	$(BIN)/harness board build query-pneumonia@1

query: .venv/.query  ## add nnU-Net (without torchvision) and the template of its embedded benchmark

pins:  ## write requirements/constraints.txt anew (for maintainers)
	python3.11 requirements/renew.py python3.10 python3.11

clean:  ## remove the environment and everything computed in this folder
	rm -rf .venv runs .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.made:
	@echo "==> creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11 demo")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.core: .venv/.made $(SETTINGS)
	@echo "==> installing the harness (torch is large: a few minutes on a slow line)"
	$(PIP) --editable .
	@touch $@

.venv/.query: .venv/.core requirements/query-alone.txt requirements/query-needs.txt
	@echo "==> installing nnU-Net (pip will say that timm is missing: only parts that are not used need it)"
	$(PIP) --no-deps -r requirements/query-alone.txt
	$(PIP) -r requirements/query-needs.txt
	@touch $@

.venv/.dev: .venv/.core .venv/.query
	@echo "==> installing the tools for tests"
	$(PIP) --editable '.[dev]'
	@touch $@

# Tests of pages need chromium, those of the sandbox bubblewrap: installed on Debian as root. Elsewhere, and where that
# fails, these tests are skipped and say why.
.venv/.system: .venv/.made
	@if { command -v chromium && command -v bwrap; } > /dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; \
	then :; else \
	  echo "==> installing chromium and bubblewrap"; \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium bubblewrap; } > /dev/null 2>&1 \
	    || echo "they could not be installed"; \
	fi
	@touch $@
