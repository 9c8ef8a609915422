# Every target sets up what it needs, once, in .venv: `make sweep` on a fresh machine is enough.
#   PYTHON=python3.12    the interpreter to build .venv from (3.11 or newer)
#   ARGS="--trials 200"  passed on to the command of the target
#   TORCH_INDEX=URL      one more package index, for PyTorch's CPU wheels: on Linux the usual index gives the CUDA build

PYTHON ?= python3
ARGS ?=
TORCH_INDEX ?=

VENV := .venv
INSTALLED := $(VENV)/.installed
PIP_INSTALL = $(VENV)/bin/python -m pip install $(PIP_FLAGS)
PIP_FLAGS = --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help sweep test check experiments publish fault-test bench lint fix types wheel lock clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

sweep: $(INSTALLED) ## Run the main job at its small budget; ARGS="--trials 200" for more
	$(VENV)/bin/prepe run sweeps/delete-red.toml $(ARGS)

test: $(INSTALLED) ## Run the quick tests; ARGS='-m "slow or cluster"' for the others
	$(VENV)/bin/pytest --numprocesses auto --dist loadscope $(ARGS)

check: $(INSTALLED) ## Check the claims of all experiments on the rows in published/; nothing is trained
	$(VENV)/bin/prepe check $(EXPERIMENTS) --results published --all

# Searches have no claims.
SEARCHES := sweeps/delete-red.toml sweeps/prune-red-search.toml
EXPERIMENTS := $(filter-out $(SEARCHES),$(wildcard sweeps/*.toml))

experiments: $(INSTALLED) ## Run every experiment, as far as results/ lacks it, and check its claims
	$(VENV)/bin/prepe run $(EXPERIMENTS) $(ARGS)
	$(VENV)/bin/prepe check $(EXPERIMENTS) --all

publish: $(INSTALLED) ## Copy what make experiments made from results/ to published/
	$(VENV)/bin/prepe publish $(filter-out sweeps/prune-red-parts.toml,$(EXPERIMENTS)) --to published --figures ''
	$(VENV)/bin/prepe publish prune-red-parts prune-red-search prune-red-search-confirm --to published --figures '' --max-mb 5
	for sweep in ex-1.8 ex-2.4.1 ex-2.9.1 factorial recovery recovery-codes labels; do $(VENV)/bin/prepe draw $$sweep || exit 1; done
	$(VENV)/bin/prepe publish ex-1.8 --to published --figures '*-combinations*'
	$(VENV)/bin/prepe publish ex-2.4.1 ex-2.9.1 --to published --figures '*-before-after*'
	$(VENV)/bin/prepe publish factorial --to published --figures '*-cells*'
	$(VENV)/bin/prepe publish recovery recovery-codes --to published --figures '*-recovery*'
	$(VENV)/bin/prepe publish labels --to published --figures '*-labels*'

fault-test: $(INSTALLED) ## Kill workers, nodes, heads and drivers fifty times, cut off a bucket, and check that nothing is lost
	PREPE_KILLS=50 $(VENV)/bin/pytest -m cluster tests/cluster/test_kills.py tests/cluster/test_bucket_faults.py $(ARGS)

bench: $(VENV)/.installed-bench ## Measure speed and memory beside plain PyTorch and JAX: about ten minutes
	$(VENV)/bin/python -m tests.bench $(ARGS)

lint: $(INSTALLED) ## Check style and layout
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

fix: $(INSTALLED) ## Mend what lint can mend by itself
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types: $(INSTALLED) ## Check types
	$(VENV)/bin/mypy

wheel: $(INSTALLED) ## Build dist/: the wheel, and the lock to install it with
	rm -rf dist
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	cp requirements.lock dist/

clean: ## Remove .venv and everything built; results/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here: name another, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "prepe needs Python 3.11 or newer, $(PYTHON) is older: name another, as in make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing requirements.lock into $(VENV): a few minutes the first time, seconds later"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-bench: $(INSTALLED) requirements-bench.lock
	@echo "Installing requirements-bench.lock into $(VENV)"
	@$(PIP_INSTALL) -r requirements-bench.lock
	@touch $@

# The oldest supported Python makes the lock, so that newer ones can use it. CUDA packages are left out: torch pins its own.
LOCK := build/lock
FREEZE = $(LOCK)/bin/python -m pip freeze --all --exclude pip --exclude-editable \
  | sed 's/+.*//' | grep -v -E '^(cuda|nvidia|triton)'

lock: ## Pin today's newest versions within pyproject.toml's ranges; ARGS="torch==2.13.0" holds one back
	rm -rf $(LOCK)
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python -m pip install $(PIP_FLAGS) $(ARGS) --editable '.[dev]'
	{ echo "# By make lock$(if $(ARGS), ARGS='$(ARGS)'), with $$($(PYTHON) --version)"; $(FREEZE); } > $(LOCK)/requirements.lock
	$(LOCK)/bin/python -m pip install $(PIP_FLAGS) -c $(LOCK)/requirements.lock --editable '.[bench]'
	{ echo "# By make lock: what make bench needs besides requirements.lock"; \
	  $(FREEZE) | grep -v -x -F -f $(LOCK)/requirements.lock; } > $(LOCK)/requirements-bench.lock
	mv $(LOCK)/requirements.lock $(LOCK)/requirements-bench.lock .
	rm -rf build
