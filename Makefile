# All tasks of development and CI. `make help`, or `make` alone, lists the targets.

CARGO ?= cargo
# Arguments of sealbus dev, for example `make run DEV="--replicas 3"`.
DEV ?=
# Where Postgres and NATS come from: local (this machine) or docker.
BACKING ?= local
# The fuzz target, for example `make fuzz FUZZ=note FUZZ_SECONDS=60`, and the time for each target in seconds.
FUZZ ?=
FUZZ_SECONDS ?= 600

# Arguments of cargo-mutants, for example `make mutants MUTANTS="--re verify/chain"`.
MUTANTS ?=

# Queries are checked against .sqlx, so that building needs no database.
export SQLX_OFFLINE ?= true
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help run test endurance mutants check build fuzz backing fmt lint structure deny docs sqlx clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: backing ## Run the whole bus with a demonstration; DEV="--replicas 3" passes options, BACKING=docker uses containers
	@BACKING=$(BACKING) deploy/local/run $(DEV)

test: backing ## Run all tests on real servers; the last line is the count
	@deploy/local/test

endurance: backing ## Run the tests under pressure in their long forms, in a release build; an hour, of which they print figures
	SEALBUS_ABUSE_SECONDS=600 SEALBUS_KILL_SECONDS=600 SEALBUS_DELAY_SECONDS=60 SEALBUS_DELAY_EVENTS=1000000 \
	SEALBUS_SNAPSHOT_EVENTS=2000000 $(CARGO) test --release --package sealbus \
	--test abuse --test kill --test delays --test snapshot --no-fail-fast -- --nocapture --test-threads=1

mutants: backing ## Change the pure rules one at a time and list what no test notices; hours; MUTANTS="--re <expression>" for some of them
	@deploy/local/mutants $(MUTANTS)

check: fmt lint structure deny docs ## Run all static checks: fmt, lint, structure, deny, docs

build: ## Build the release binary target/release/sealbus
	$(CARGO) build --release --package sealbus

fuzz: ## Fuzz each parser for FUZZ_SECONDS (default 600), or only FUZZ=<target>; needs a C++ compiler
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ)

backing: ## Install what is missing to build, run and test: a C compiler, Postgres, nats-server, Python
	@BACKING=$(BACKING) deploy/local/backing

fmt: ## Check the format of all Rust code
	$(CARGO) fmt --all --check

lint: ## Run clippy with pedantic lints, warnings denied
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

structure: ## Check dependencies of crates, folders and modules, sizes, links and retired words
	$(CARGO) run --quiet --package sealbus-lint

deny: ## Check licences, sources, bans and security advisories of all dependencies
	@deploy/local/deny

docs: ## Build the API documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

sqlx: backing ## Regenerate .sqlx after a change of SQL or schema
	@deploy/local/sqlx

clean: ## Remove all build output, installed tools and the data of sealbus dev
	$(CARGO) clean
	rm -rf .sealbus .tools
