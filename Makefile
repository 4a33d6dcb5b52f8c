# The front door. `make` lists what there is; everything that is made lies inside this checkout, and `make clean` takes it away.
#
# Settings:
#   PYTHON=python3.12   the interpreter that the virtual environment is made with (3.11 or newer)
#   RELEASE=1           build the Python and Node packages optimised, as `make bench` needs them
#   DIR=/some/folder    the documents that `make demo` takes through its workers
#   ARGS='...'          what `make bench` measures; ARGS='--help' tells
#   CHAOS='...'         what `make chaos` does; CHAOS='--help' tells
#   MINUTES=60          how long `make fuzz` and `make soak` run
#   PEERS=              `make bench` without installing and building the systems to compare with

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --warn-undefined-variables

PYTHON ?= python3
RELEASE ?=
DIR ?= .
ARGS ?=
CHAOS ?=
MINUTES ?= 10
PEERS ?= 1

VENV := .venv
VENV_BIN := $(CURDIR)/$(VENV)/bin
PYTHON_DIR := bindings/python
NODE_DIR := bindings/node
PYTHON_TYPING := $(PYTHON_DIR)/tests/typing
PYRIGHT := $(PYTHON_TYPING)/node_modules/.bin/pyright
# What maturin puts into a wheel beside the package, when it is there under this name: `scripts` becomes the environment's `bin`.
WHEEL_DATA := $(PYTHON_DIR)/procall._native.data
MDBOOK_VERSION := 0.5.4

CARGO_TARGET_DIR ?= target
TARGET := $(CARGO_TARGET_DIR)
# Programs that use the Node package of this checkout.
EXAMPLES := examples/01-hello examples/02-workers examples/03-connect examples examples/demo tests/docs tests/pairs tests/conformance tests/chaos
# Python workers find the package where an active virtual environment has it.
WITH_PYTHON := PATH="$(VENV_BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)"

# A set-up step is done when the file that is named after what it was done with exists, so a second run costs nothing.
fingerprint = $(shell { $(2) || :; cat $(1) /dev/null || :; } 2>/dev/null | sha256sum | cut -c1-16)
# The extra `dev` of the Python package, one pinned requirement a line.
PYTHON_TOOLS = $(PYTHON) -c 'import sys, tomllib; print(*tomllib.load(sys.stdin.buffer)["project"]["optional-dependencies"]["dev"], sep="\n")' <$(PYTHON_DIR)/pyproject.toml
PYTHON_READY := $(VENV)/.ready-$(call fingerprint,,$(PYTHON_TOOLS); $(PYTHON) --version)
NODE_READY := $(NODE_DIR)/node_modules/.ready-$(call fingerprint,$(NODE_DIR)/package.json $(NODE_DIR)/package-lock.json,node --version)

# Python code is checked with the settings of the package, wherever it lies.
RUFF_CONFIG := --config $(PYTHON_DIR)/pyproject.toml
PYTHON_SOURCES := $(PYTHON_DIR) benches examples tests

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- for people ----

.PHONY: demo
demo: build-python build-node setup-examples ## a folder of documents through workers in three languages
	cargo build --locked -p procall-demo
	@$(WITH_PYTHON) $(TARGET)/debug/procall-demo "$(DIR)"

.PHONY: example-torch
example-torch: build-python setup-examples ## a language model in PyTorch behind a Rust host; installs PyTorch (5 GB) for this example only
	@[ -x examples/12-torch/.venv/bin/python ] || $(PYTHON) -m venv examples/12-torch/.venv
	@examples/12-torch/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement examples/12-torch/requirements.txt
	@examples/12-torch/run torch

.PHONY: run_socket_server
run_socket_server: ## the engine, at 127.0.0.1:8080
	cargo build --locked --quiet -p procall-cli
	@$(TARGET)/debug/procall serve

.PHONY: run_socket_client
run_socket_client: ## a client of it that speaks JSON and serves math.add
	@$(PYTHON) examples/04-engine/python/engine_client.py

.PHONY: test
test: test-rust test-loom test-python test-node test-examples test-chaos test-bench test-stranger ## run every test, from a fresh clone too

.PHONY: conformance
conformance: build-python build-node setup-examples ## every case of spec/scenarios between all languages over all transports
	@$(WITH_PYTHON) tests/conformance/run

.PHONY: chaos
chaos: build-python build-node setup-examples ## load with faults, checked by ledgers; CHAOS='--help' tells what, CHAOS='--scale 10' runs longer
	cargo build --locked -p chaos
	@$(WITH_PYTHON) $(TARGET)/debug/chaos $(CHAOS)

.PHONY: soak
soak: build-python build-node setup-examples ## the same for MINUTES (10), watching what grows
	cargo build --locked --release -p chaos
	@$(WITH_PYTHON) $(TARGET)/release/chaos --scale $$(( $(MINUTES) * 6 )) soak

.PHONY: fuzz
fuzz: setup-system ## feed every parser with bytes that nobody chose, for MINUTES (10); needs the nightly toolchain
	@fuzz/run $(MINUTES)

.PHONY: check
check: check-rust check-repository check-python check-node ## formats, lints, types and the rules of the house

.PHONY: fmt
fmt: setup-python ## format Rust and Python
	cargo fmt --all
	$(VENV_BIN)/ruff format $(RUFF_CONFIG) $(PYTHON_SOURCES)

.PHONY: clippy
clippy: setup-system ## lint the Rust code
	cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: bench
bench: export RELEASE := 1
bench: build-python build-node $(if $(PEERS),bench-peers) ## measure; ARGS='--help' tells what, and bench-results has the figures
	@cargo build --locked --release -p procall-bench
	@$(WITH_PYTHON) $(TARGET)/release/procall-bench $(ARGS)

.PHONY: bench-peers
bench-peers: setup-python setup-node
	@PYTHON="$(PYTHON)" CARGO_TARGET_DIR="$(abspath $(TARGET))" benches/peers/prepare

.PHONY: long
long: setup-system ## the tests that have a short form in `make test`, in their long one
	PROCALL_STARTS=200 cargo test --locked -p procall-cli --test cli -- engine_deaths::of_many engine_deaths::what_is_left
	PROCALL_STRANGERS=2000 cargo test --locked -p procall-engine --test tls -- --nocapture crowd

# Cargo settings differ, so each has a target folder of its own.
.PHONY: loom
loom: setup-system ## check the words of shared memory in every order that the memory model allows
	PROCALL_LOOM_LONG=1 RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$(TARGET)/loom" \
		cargo test --locked --release -p procall-transport --lib shm::control::model

.PHONY: asan
asan: setup-system ## run the tests of the transports with AddressSanitizer; needs the nightly toolchain
	@if cargo +nightly --version >/dev/null 2>&1; then \
		RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="$(TARGET)/asan" \
			cargo +nightly test --locked --target "$$(rustc -vV | sed -n 's/^host: //p')" -p procall-transport --lib --tests; \
	else \
		echo "AddressSanitizer needs the nightly toolchain. Get it with: rustup toolchain install nightly"; \
	fi

VALGRIND := ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"]
.PHONY: valgrind
valgrind: setup-system ## run the tests of frames, values and transports under valgrind, which has to be installed
	@if command -v valgrind >/dev/null; then \
		cargo test --locked -p procall-proto -p procall-transport --lib --config 'target."cfg(unix)".runner = $(VALGRIND)'; \
	else \
		echo "valgrind is not installed. Get it with: apt-get install valgrind"; \
	fi

.PHONY: miri
miri: setup-system ## run the copying of shared memory under Miri; needs the nightly toolchain with miri
	@if cargo +nightly miri --version >/dev/null 2>&1; then \
		CARGO_TARGET_DIR="$(TARGET)/miri" cargo +nightly miri test --locked -p procall-transport --lib shm; \
	else \
		echo "Miri needs its component. Get it with: rustup toolchain install nightly --component miri"; \
	fi

.PHONY: wheel
wheel: setup-python ## the Python package with the command `procall`, for pip, into dist
	cargo build --locked -p procall-cli $(if $(RELEASE),--release)
	rm -rf $(WHEEL_DATA)
	install -D $(TARGET)/$(if $(RELEASE),release,debug)/procall $(WHEEL_DATA)/scripts/procall
	strip --strip-debug $(WHEEL_DATA)/scripts/procall
	cd $(PYTHON_DIR) && VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(VENV_BIN)/maturin build --quiet --locked --compatibility linux \
		--out $(CURDIR)/dist $(if $(RELEASE),--release) || { rm -rf $(CURDIR)/$(WHEEL_DATA); exit 1; }
	rm -rf $(WHEEL_DATA)

.PHONY: tarball
tarball: build-node ## the Node package with the command `procall`, for npm, into dist
	cargo build --locked -p procall-cli $(if $(RELEASE),--release)
	install -D $(TARGET)/$(if $(RELEASE),release,debug)/procall $(NODE_DIR)/bin/procall
	strip --strip-debug $(NODE_DIR)/bin/procall
	mkdir -p dist
	cd $(NODE_DIR) && npm pack --silent --pack-destination $(CURDIR)/dist || { rm -rf $(CURDIR)/$(NODE_DIR)/bin; exit 1; }
	rm -rf $(NODE_DIR)/bin

.PHONY: docs
docs: setup-system ## build the book and the Rust reference
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@if command -v mdbook >/dev/null; then \
		mdbook build docs; \
	else \
		echo "The book was not built, because mdbook is not installed."; \
		echo "Get it with: cargo install --locked --version $(MDBOOK_VERSION) mdbook"; \
	fi

.PHONY: clean
clean: ## remove everything that was made
	rm -rf target fuzz/target docs/book bench-results dist $(WHEEL_DATA) $(VENV) .venv-bench examples/12-torch/.venv
	rm -rf benches/peers/node_modules benches/peers/.failed benches/peers/rust/target
	rm -rf $(EXAMPLES:=/node_modules) $(PYTHON_TYPING)/node_modules
	rm -rf $(NODE_DIR)/node_modules $(NODE_DIR)/dist $(NODE_DIR)/bin $(NODE_DIR)/*.node $(PYTHON_DIR)/procall/*.so
	find . -name .git -prune -o \( -name __pycache__ -o -name .pytest_cache -o -name .mypy_cache \
		-o -name .ruff_cache -o -name .hypothesis -o -name '*.egg-info' \) -type d -prune -exec rm -rf {} +

# ---- steps of the above ----

.PHONY: check-rust
check-rust: setup-system
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps

.PHONY: check-repository
check-repository: setup-system
	cargo xtask gen --check
	cargo xtask edges
	cargo xtask licences
	cargo xtask sizes
	cargo xtask paths
	cargo xtask failures
	cargo xtask leftovers
	cargo xtask duplicates

# Types are checked by both checkers that people use, and the declarations of the native module against the module.
.PHONY: check-python
check-python: build-python $(PYTHON_TYPING)/node_modules/.package-lock.json
	$(VENV_BIN)/ruff check $(RUFF_CONFIG) $(PYTHON_SOURCES)
	$(VENV_BIN)/ruff format --check $(RUFF_CONFIG) $(PYTHON_SOURCES)
	cd $(PYTHON_DIR) && $(VENV_BIN)/mypy --strict procall
	cd $(PYTHON_DIR) && $(VENV_BIN)/mypy --strict --warn-unused-ignores tests/typing
	cd $(PYTHON_DIR) && $(VENV_BIN)/stubtest procall._native --ignore-positional-only --concise --allowlist tests/typing/native.allow
	$(WITH_PYTHON) $(PYRIGHT) -p $(PYTHON_TYPING)
	$(WITH_PYTHON) $(PYRIGHT) --verifytypes procall --ignoreexternal >$(PYTHON_TYPING)/node_modules/found.txt \
		|| { cat $(PYTHON_TYPING)/node_modules/found.txt; exit 1; }

# The declarations of the native addon are written by its build.
.PHONY: check-node
check-node: build-node
	cd $(NODE_DIR) && npx --no-install tsc --noEmit

# Examples are crates of the workspace, so their tests run here.
# So do the snippets in README.md and docs/src: they are doctests of the crate that includes those pages.
.PHONY: test-rust
test-rust: setup-system
	cargo test --locked --workspace

# The short form of `make loom`.
.PHONY: test-loom
test-loom: setup-system
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="$(TARGET)/loom" \
		cargo test --locked --release -p procall-transport --lib shm::control::model

.PHONY: test-python
test-python: build-python
	cargo build --locked -p procall-cli
	cd $(PYTHON_DIR) && PROCALL_BIN="$(abspath $(TARGET))/debug/procall" $(VENV_BIN)/pytest

.PHONY: test-node
test-node: build-node
	cargo build --locked -p procall-cli
	cd $(NODE_DIR) && PROCALL_BIN="$(abspath $(TARGET))/debug/procall" node --test

# Every caller with every worker, the main job on the documents of this repository, and the code of the documentation.
.PHONY: test-examples
test-examples: build-python build-node setup-examples wheel tarball
	cargo build --locked -p hello -p workers -p connect -p examples -p pairs -p conformance -p procall-demo -p procall-cli
	@$(WITH_PYTHON) tests/first-minutes/run
	@$(WITH_PYTHON) tests/packages-node/run
	@$(WITH_PYTHON) examples/01-hello/run
	@$(WITH_PYTHON) examples/02-workers/run
	@$(WITH_PYTHON) examples/03-connect/run
	@$(WITH_PYTHON) examples/04-engine/run
	@$(WITH_PYTHON) examples/11-calculator/run
	@$(WITH_PYTHON) examples/05-streams/run
	@$(WITH_PYTHON) examples/06-errors/run
	@$(WITH_PYTHON) examples/07-map-and-progress/run
	@$(WITH_PYTHON) examples/08-schemas/run
	@$(WITH_PYTHON) examples/09-cancel-and-deadlines/run
	@$(WITH_PYTHON) examples/10-output-and-events/run
	@$(WITH_PYTHON) examples/12-torch/run numpy
	@$(WITH_PYTHON) tests/docs/run
	@$(WITH_PYTHON) $(TARGET)/debug/procall-demo .
	@$(WITH_PYTHON) tests/pairs/run
	@$(WITH_PYTHON) tests/conformance/run --short

# Every cell of the benchmark that is ours runs for a moment and has to give answers; how fast is not looked at.
.PHONY: test-bench
test-bench: build-python build-node
	cargo build --locked -p procall-bench
	@$(WITH_PYTHON) $(TARGET)/debug/procall-bench --kind ours --rounds 1 --window 5 --check

# A new project with the README's own lines, built and run outside this checkout.
.PHONY: test-stranger
test-stranger: build-python
	@tests/stranger/run

.PHONY: build-python
build-python: setup-python
	cd $(PYTHON_DIR) && VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(VENV_BIN)/maturin develop --quiet $(if $(RELEASE),--release)

.PHONY: build-node
build-node: setup-node
	cd $(NODE_DIR) && RELEASE="$(RELEASE)" npm run --silent build

.PHONY: setup-python
setup-python: $(PYTHON_READY)

$(PYTHON_READY): | setup-system
	@echo "Making $(VENV) ..."
	$(PYTHON) -m venv --clear $(VENV)
	$(PYTHON_TOOLS) >$(VENV)/tools.txt
	$(VENV_BIN)/pip install --quiet --disable-pip-version-check --requirement $(VENV)/tools.txt
	@touch $@

.PHONY: setup-node
setup-node: $(NODE_READY)

$(NODE_READY): | setup-system
	cd $(NODE_DIR) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# The short form of `make chaos`; only broken promises fail it, no times.
.PHONY: test-chaos
test-chaos: build-python build-node setup-examples
	cargo build --locked -p chaos
	@$(WITH_PYTHON) $(TARGET)/debug/chaos

.PHONY: setup-examples
setup-examples: $(EXAMPLES:=/node_modules/.package-lock.json)

# The examples use the package of this checkout, as a link.
%/node_modules/.package-lock.json: %/package.json %/package-lock.json | setup-node
	cd $* && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# Tells what is missing. Takes Debian packages itself only where it may: as root, with apt-get, and only if it was not
# told to use another interpreter.
.PHONY: setup-system
setup-system:
	@missing=""; packages=""; \
	need() { missing="$$missing\n  $$1"; packages="$$packages$${2:+ $$2}"; }; \
	look() { \
		missing=""; packages=""; \
		command -v cc >/dev/null || need "cc, a C compiler (Debian: gcc libc6-dev)" "gcc libc6-dev"; \
		command -v git >/dev/null || need "git (Debian: git)" git; \
		if [ "$(PYTHON)" != python3 ]; then \
			$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || need "$(PYTHON), with its modules ensurepip and venv"; \
		elif ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
			need "python3 with its module venv (Debian: python3 python3-venv)" "python3 python3-venv"; \
		fi; \
		command -v cargo >/dev/null || need "cargo, from Rust 1.91 or newer (see https://rustup.rs)"; \
		command -v npm >/dev/null || need "npm, from Node 20 or newer (see https://nodejs.org)"; \
	}; \
	look; \
	if [ -n "$$packages" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing$$packages ..."; \
		apt-get update -qq || :; \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$packages >/dev/null || :; \
		look; \
	fi; \
	if [ -n "$$missing" ]; then \
		printf "Procall cannot be built here yet, because these are missing:$$missing\n" >&2; exit 1; \
	fi; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: Procall needs Python 3.11 or newer. Name another with PYTHON=..." >&2; exit 1; }; \
	[ "$$(node -p 'parseInt(process.versions.node)')" -ge 20 ] \
		|| { echo "node is too old: Procall needs Node 20 or newer." >&2; exit 1; }
