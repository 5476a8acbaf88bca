# Everything needs Python 3.11 or newer and make; what is installed goes into .venv and .cache, nowhere else.

VENV   := .venv
BENCH  := .cache/bench/venv
PY     := $(VENV)/bin/python
SHELL  := /bin/sh
UV     := uv==0.13.9
MAKEFLAGS += --no-print-directory

.PHONY: help demo test faults bench lint style types arrows generated lock clean runtime dev python
.DEFAULT_GOAL := help

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## the whole system on this machine, with simulated traffic and an outage in it
	@$(PY) -m cli demo

# ARGS hands more to pytest: make test ARGS="tests/rollups -x"
# TESTERS=0 runs one test at a time
TESTERS := 3
test: $(VENV)/.dev ## every test that this machine can run; says which it skipped, and what they need
	@$(PY) -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The first two begin no run after 7 and 5 minutes, the third takes 4, the fourth 12.
bench: $(VENV)/.dev $(BENCH)/.installed ## Tillwatch beside other stream processors, what an event costs, how soon a page is out; half an hour
	@$(PY) -m bench.compare $(ARGS)
	@$(PY) -m bench.cost
	@$(PY) -m bench.live
	@$(PY) -m bench.paging
	@$(PY) -m bench.report

# One that failed again: make faults SEED=7 SEEDS=1. ARGS hands more on: make faults ARGS="--harms kill_worker,fail_over"
SEED := 1
SEEDS := 10
faults: $(VENV)/.dev ## ten long runs with harm in them (SEED=7 SEEDS=1: one of them), and one of pages; takes an hour
	@$(PY) -m tests.faults.run --seed $(SEED) --seeds $(SEEDS) $(ARGS)
	@$(PY) -m tests.faults.paging --seed $(SEED)

lint: style types arrows generated ## style, types, the rooms' imports, and whether what is generated is up to date

style: $(VENV)/.dev
	$(PY) -m ruff check .

types: $(VENV)/.dev
	$(PY) -m mypy

arrows: $(VENV)/.dev
	@$(PY) -c 'from importlinter.cli import lint_imports_command as run; run()'

generated: $(VENV)/.dev
	$(PY) -m schemas.generate --check
	$(PY) -m console.openapi --check

lock: python ## pin what pyproject.toml asks for, with the hashes of all files
	@test -x .cache/lock/bin/uv || { $(FIND_PYTHON); "$$python" -m venv .cache/lock && .cache/lock/bin/python -m pip install -q $(UV); }
	@$(COMPILE) --group build pyproject.toml -o requirements.txt $(ARGS)
	@$(COMPILE) -c requirements.txt --group build --group dev pyproject.toml -o requirements-dev.txt $(ARGS)
	@$(COMPILE) --group bench -o bench/requirements.txt $(ARGS)
	@grep -c == requirements.txt requirements-dev.txt bench/requirements.txt

COMPILE = .cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

clean: ## take away what was installed and built (not tillwatch-data)
	rm -rf $(VENV) .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- installing -------------------------------------------------------------------------------------------------------

# Leaves the first Python that is new enough in $python. The locked packages have ready-made files for 3.11 to 3.13.
FIND_PYTHON = \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11 none; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
		echo "Tillwatch needs Python 3.11, 3.12 or 3.13; found: $$(python3 --version 2>&1 || true)." >&2; \
		echo "Install one of them, or say where it is: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; \
	fi

runtime: $(VENV)/.runtime ## install what Tillwatch needs to run
dev: $(VENV)/.dev ## install what tests and checks need as well

python:
	@$(FIND_PYTHON)

$(PY):
	@$(FIND_PYTHON); \
	"$$python" -m venv --clear $(VENV) || { \
		rm -rf $(VENV); \
		echo "$$python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	}

$(VENV)/.runtime: requirements.txt pyproject.toml | $(PY)
	@lock=requirements.txt; $(INSTALL)
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt pyproject.toml | $(PY)
	@lock=requirements-dev.txt; $(INSTALL)
	@touch $(VENV)/.runtime $@

# A virtual environment of its own: what it holds is no part of Tillwatch. The benchmark can do without.
$(BENCH)/.installed: bench/requirements.txt
	@$(FIND_PYTHON); \
	{ "$$python" -m venv --clear $(BENCH) && $(BENCH)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--no-deps --require-hashes -r $< && touch $@; } || { rm -rf $(BENCH); echo "Quix Streams could not be installed." >&2; }

# The lock is complete, so nothing is resolved; every file is checked against its hash. The last step links this folder.
INSTALL = \
	total="$$(grep -c == $$lock)"; \
	echo "Installing $$total packages into $(VENV) (once; half a minute or so)"; \
	: > $(VENV)/install.log; \
	{ $(PIP) install --no-deps --require-hashes -r $$lock 2>&1; echo "exit $$?"; } | while IFS= read -r line; do \
		echo "$$line" >> $(VENV)/install.log; \
		case "$$line" in \
			Collecting*|"Requirement already"*) n=$$((n + 1)); test -t 1 && printf '\r  %d of %d' "$$n" "$$total";; \
			"Installing collected"*) test -t 1 && printf '\r'; echo "  unpacking";; \
			ERROR*|WARNING*) echo "$$line";; \
			"exit "*) set -- $$line; exit "$$2";; \
		esac; \
	done && $(PIP) install --quiet --no-deps --no-build-isolation --editable . || { \
		echo "The packages could not be installed: $(VENV)/install.log says why." >&2; \
		echo "They come from Python's package registry, or from pip's cache or find-links folder where there is no way out." >&2; \
		exit 1; \
	}

PIP = $(PY) -m pip --disable-pip-version-check --no-input
