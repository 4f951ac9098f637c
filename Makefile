# Every verb works alone on a fresh clone: what it needs is made first, and made once.
# The stamps lie in .venv, so removing that folder starts over.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-brokers long fuzz check format bench bench-work instructions build lock clean tools

# rustup installs here, and a login shell may not have seen it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes

# maturin builds PyO3 with other flags than cargo: with one folder each would undo the other's work.
MATURIN_TARGET := target/maturin
export CARGO_TARGET_DIR := target/cargo
# Lets clippy find an interpreter when PyO3 looks for one.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

# How long `make fuzz` takes, in seconds.
FUZZ_S ?= 600

RUST_SOURCES := $(shell find rust -name '*.rs') $(wildcard rust/*/Cargo.toml) Cargo.toml Cargo.lock
PYTEST := $(BIN)/python -m pytest --timeout 900
# Tests wait for brokers more than they compute: two at once, a file's tests together as they share what they start.
# In the order of their folders: the many quick ones come last and fill what is left.
TWO_AT_ONCE := -n $(or $(TESTS_AT_ONCE),2) --dist loadfile --no-loadscope-reorder --durations 60 --durations-min 5
FORWARDING := $(wildcard tests/broker/test_forward*.py) tests/broker/test_lanes.py tests/contract/test_seam.py \
	tests/oracle/test_on_kafka.py tests/chaos/test_forward_kills.py

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## a backlog that 3 consumers cannot drain, before and after, on a real throw-away Kafka
	@$(BIN)/fanout demo

test: build ## every test: Rust, then Python with a real Kafka; pytest's last line is the last line
	cargo test --locked --package fanout-core
	@$(PYTEST) $(TWO_AT_ONCE)

long: build ## tests too long for every change: ten minutes each, on real brokers
	@$(BIN)/python -m pytest --timeout 3600 tests/long

test-brokers: build ## what forwarding leans on, on every kind of broker that is promised
	@for kafka in 4.3.1 4.3.1-tv1 3.9.1; do \
		echo "Apache Kafka $$kafka"; FANOUT_TEST_KAFKA=$$kafka $(PYTEST) -q $(FORWARDING) || exit 1; done

fuzz: tools ## ten minutes of changed bytes for every reader of strangers' bytes: cargo-fuzz where it is found, else our own
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
	  for target in $$(cd rust/fanout-core && cargo +nightly fuzz list); do \
	    mkdir -p target/fuzz/found/$$target; \
	    (cd rust/fanout-core && CARGO_TARGET_DIR=$(CURDIR)/target/fuzz cargo +nightly fuzz run $$target \
	      $(CURDIR)/target/fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$$(($(FUZZ_S) / 9)) -max_len=65536) || exit 1; \
	  done; \
	else cargo run -q --release --locked --package fanout-core --example fuzz -- $(FUZZ_S); fi

check: build ## static only: format, lints, types, the stub, the shape of the source
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/stubtest --concise --mypy-config-file pyproject.toml --allowlist tests/boundary/stubtest.allowlist fanout._fanout
	$(PYTEST) -q tests/boundary

format: $(VENV)/locked ## rewrite the source in its house format
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

bench: build ## figures of this machine: CPU and time a record, beside other clients and a forwarder that does nothing
	@$(BIN)/python bench/run.py
	@$(BIN)/python bench/run_work.py

bench-work: build ## of these, the workers' alone: what a handled record costs, beside other ways to handle it in Python
	@$(BIN)/python bench/run_work.py

instructions: build ## instructions a record, held to a stored baseline (STORE=1 stores what is counted); needs valgrind
	@$(BIN)/python bench/instructions.py $(if $(STORE),--store)

build: $(VENV)/extension $(VENV)/kafka ## .venv, the extension in release mode, the jars of Kafka; nothing is run

lock: ## write requirements/*.lock anew (needs uv)
	@command -v uv >/dev/null || { echo "uv was not found: install it (pip install uv)" >&2; exit 2; }
	uv pip compile -q $(LOCK_OPTIONS) --output-file requirements/dev.lock pyproject.toml requirements/dev.in
	uv pip compile -q $(LOCK_OPTIONS) --output-file requirements/java.lock requirements/java.in
	uv pip compile -q $(LOCK_OPTIONS) --output-file bench/peers/workers/quix.lock bench/peers/workers/quix.in
	@# One of them says that it needs 3.12; it runs on 3.11 all the same.
	uv pip compile -q $(subst 3.11,3.12,$(LOCK_OPTIONS)) --output-file bench/peers/workers/peers.lock bench/peers/workers/peers.in

clean: ## remove all that the other verbs made, the jars apart
	rm -rf $(VENV) target build kafka-logs .mypy_cache .ruff_cache .pytest_cache .hypothesis

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

tools:
	@test -n "$(PYTHON)" || { echo "python was not found: install Python 3.11 or newer" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@command -v cargo >/dev/null || { echo "cargo was not found: install Rust (https://rustup.rs)" >&2; exit 2; }
	@command -v cc >/dev/null || { echo "cc was not found: install a C compiler (Debian, Ubuntu: apt install build-essential)" >&2; exit 2; }
	@command -v mvn >/dev/null || { echo "mvn was not found: install Apache Maven (Debian, Ubuntu: apt install maven)" >&2; exit 2; }

$(VENV)/locked: requirements/dev.lock | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV)"
	@$(PIP) -r requirements/dev.lock
	@touch $@

$(VENV)/extension: $(VENV)/locked $(RUST_SOURCES) pyproject.toml | tools
	@echo "building the extension in release mode"
	@PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop -q --release --locked --target-dir $(MATURIN_TARGET)
	@touch $@

$(VENV)/kafka: $(VENV)/extension python/fanout/demo/pom.xml requirements/java.lock
	@$(BIN)/python -c 'from fanout.demo.jars import find_java; find_java()' 2>/dev/null || $(PIP) -r requirements/java.lock
	@$(BIN)/python -m fanout.demo.jars
	@touch $@
