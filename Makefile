# Two commands on a fresh Debian or Ubuntu machine with Python 3.11 to 3.13:
#   make demo   install, run the main job on synthetic faces, say where the report is
#   make test   install, run checks and tests
# Without a GPU: make install TORCH_INDEX=URL takes torch and torchvision from another package index,
# such as PyTorch's own one of CPU builds, whose version 2.0+cpu counts as newer than 2.0. Once
# installed, they are kept by the other targets.
#   make lock     write the exact versions that install takes (constraints.txt) and the oldest ones
#                 that the dependencies allow (constraints-oldest.txt); versions that still fit are
#                 kept: to take the newest of everything, delete constraints.txt first
#   make coverage the suite, with the share of the code that it runs
#   make newest   the suite with the newest versions of everything
#   make oldest   the suite with the oldest
#   make gate     the shipped models, gated against the last landed state of the code
#   make fuzz     broken files and commands, three hours long: each is read or refused in words
#   make extras   what the command says where one extra alone is installed
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
APT := $(SUDO) apt-get
COMPILE := .venv-lock/bin/uv pip compile pyproject.toml --all-extras --quiet \
	--custom-compile-command "make lock"
# A process for each core, up to four, of one thread each: more threads than cores are slower.
SUITE := --numprocesses logical --maxprocesses 4 --dist worksteal --durations 30
test coverage newest oldest: export OMP_NUM_THREADS = 1

.PHONY: install demo test coverage check figures zoo reference architecture lock newest oldest extras gate fuzz
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/landmint run demo

test: check
	@command -v chromium >/dev/null || { $(APT) update -q && $(APT) install -q -y chromium; } \
		|| echo "no chromium: the report's browser test will say so"
	@PATH=$$PATH:/usr/sbin command -v sshd >/dev/null \
		|| { $(APT) update -q && $(APT) install -q -y openssh-server openssh-client; } \
		|| echo "no sshd: the tests of boards over ssh will say so"
	@command -v adb >/dev/null || { $(APT) update -q && $(APT) install -q -y adb; } \
		|| echo "no adb: the tests of phones will say so"
	@command -v qemu-aarch64 gcc >/dev/null || { $(APT) update -q && \
		$(APT) install -q -y --no-install-recommends qemu-user gcc libc6-dev; } \
		|| echo "no qemu-user: the tests of emulated boards will say so"
	@command -v valgrind >/dev/null || { $(APT) update -q && $(APT) install -q -y valgrind; } \
		|| echo "no valgrind: the test that counts instructions will say so"
	$(BIN)/pytest $(SUITE)

# Counting lines makes the suite about half as slow again.
coverage: $(INSTALLED)
	$(BIN)/pytest $(SUITE) --cov --cov-report=

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# Makes the virtual environment $(1) if there is none.
define venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "landmint needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { $(APT) update -q && $(APT) install -q -y python3-venv; }
	[ -x $(1)/bin/python ] || $(PYTHON) -m venv $(1)
endef

# Installs landmint and what it needs into $(1), with the options $(2) of pip. Pip would compile on
# one core; a file that no Python 3 can read is nothing to stop for.
define install
	$(call venv,$(1))
	$(1)/bin/pip install --quiet --disable-pip-version-check --progress-bar off --no-compile $(2) \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev]'
	$(1)/bin/python -m compileall -q -j 0 $(1)/lib >/dev/null 2>&1 || true
endef

# The environment is made again when the dependencies change.
$(INSTALLED): pyproject.toml constraints.txt
	$(call install,.venv,--constraint constraints.txt)
	@touch $@

lock:
	$(call venv,.venv-lock)
	.venv-lock/bin/pip install --quiet --disable-pip-version-check --upgrade uv
	$(COMPILE) --universal --python-version 3.11 --output-file constraints.txt
	for python in 3.11 3.12 3.13; do for machine in x86_64 aarch64; do \
		$(COMPILE) --python-version $$python --python-platform $$machine-manylinux_2_36 \
			--only-binary :all: --constraint constraints.txt >/dev/null \
		|| { echo "constraints.txt does not hold for Python $$python on $$machine"; exit 1; }; \
	done; done
	$(COMPILE) --resolution lowest-direct --upgrade --python-version 3.11 \
		--output-file constraints-oldest.txt

newest:
	$(call install,.venv-newest,--upgrade --upgrade-strategy eager)
	.venv-newest/bin/pytest $(SUITE)

# Old libraries use what the newer ones beneath them deprecate: no warning of theirs is an error.
oldest:
	$(call install,.venv-oldest,--constraint constraints-oldest.txt)
	.venv-oldest/bin/pytest $(SUITE) --pythonwarnings default

# The shipped models against what the last landed state makes of them, about two minutes; then
# landmint's own share of a prediction, by counting instructions.
gate: $(INSTALLED)
	$(BIN)/python benchmarks/gate_landed.py
	$(BIN)/python benchmarks/own_instructions.py

extras: $(INSTALLED)
	$(BIN)/python benchmarks/extras.py

HOURS ?= 3
fuzz: $(INSTALLED)
	$(BIN)/python -m benchmarks.fuzz --hours $(HOURS) --seed $$(date +%s) --keep findings

# The tables of README.md and docs/results.md from the runs that stand under runs/.
figures: $(INSTALLED)
	$(BIN)/python benchmarks/results.py

# The page of the published systems from the runs that stand under runs/.
zoo: $(INSTALLED)
	$(BIN)/python benchmarks/zoo.py

# The page of every key of a recipe, from the docstrings of the models that check it, and the table
# of what is judged, from the words that messages and reports use.
reference: $(INSTALLED)
	$(BIN)/python -m landmint.pipeline.recipe_reference
	$(BIN)/python benchmarks/figures.py

# The page of the rooms and of who imports whom, from the source.
architecture: $(INSTALLED)
	$(BIN)/python benchmarks/architecture.py
