# Everything that a developer or CI does, each target with its own words: `make` shows them.

CARGO ?= cargo
# `make run DEV="--replicas 3"` hands more to sealbus dev; BACKING=docker takes Postgres and NATS from Docker.
DEV ?=
BACKING ?= local
# Queries are checked against the descriptions in .sqlx, so that no database is needed to build.
export SQLX_OFFLINE ?= true
export PATH := $(CURDIR)/.tools/bin:$(PATH)

# `make fuzz FUZZ=note FUZZ_SECONDS=60` fuzzes one target for a minute.
FUZZ ?=
FUZZ_SECONDS ?= 600

.PHONY: help run build test fuzz check backing fmt lint arrows deny docs sqlx clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: backing ## Run the whole bus here, with a demonstration, and keep serving
	@BACKING=$(BACKING) deploy/local/run $(DEV)

test: backing ## Run all tests; the last line counts them
	@deploy/local/test

fuzz: ## Fuzz each parser for FUZZ_SECONDS (600); needs a C++ compiler
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ)

check: fmt lint arrows deny docs ## Check format, lints, arrows between crates, dependencies, docs

build: ## Build the release binary, target/release/sealbus
	$(CARGO) build --release --package sealbus

backing: ## Find Postgres and nats-server on this machine, or put them there
	@BACKING=$(BACKING) deploy/local/backing

fmt: ## Check the format
	$(CARGO) fmt --all --check

lint: ## Clippy, pedantic, warnings denied
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

arrows: ## Check that the crates, and the modules of each, depend on each other in one direction
	$(CARGO) run --quiet --package sealbus-lint

deny: ## Check licences, sources, bans and advisories of all dependencies
	@deploy/local/deny

docs: ## Build the API docs, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

sqlx: backing ## Describe the queries anew in .sqlx, after a change of SQL or schema
	@deploy/local/sqlx

clean: ## Remove what was built and what dev keeps
	$(CARGO) clean
	rm -rf .sealbus .tools
