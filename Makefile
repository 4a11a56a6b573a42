# Two commands on a fresh Debian or Ubuntu machine with Python 3.11+:
#   make demo   install, run the main job on synthetic faces, say where the report is
#   make test   install, run checks and tests
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
APT := $(SUDO) apt-get

.PHONY: install demo test check figures
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/landmint run recipes/demo.toml

test: check
	@command -v chromium >/dev/null || { $(APT) update -q && $(APT) install -q -y chromium; } \
		|| echo "no chromium: the report's browser test will say so"
	$(BIN)/pytest

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# The environment is made again when the dependencies change.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "landmint needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { $(APT) update -q && $(APT) install -q -y python3-venv; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --progress-bar off --editable '.[dev]'
	@touch $@

# The tables of README.md and docs/results.md from the runs that stand under runs/.
figures: $(INSTALLED)
	$(BIN)/python benchmarks/results.py
