# `make demo` shows it, `make test` proves it, `make lint` keeps it tidy.
.PHONY: help demo test differential attacks bench bench-store bench-audit release packages packages-test reproduce scaling identities plans instructions micro designs lint build fmt deny setup chaos chaos-rotate big fuzz suites soak

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## show pgvalet: a throwaway Postgres, clients without passwords, a rotation every few seconds
	@scripts/setup.sh postgres
	@[ -e target/debug/pgvalet ] || echo 'demo: compiling pgvalet, about three minutes the first time'
	cargo run -- demo

build: ## build target/release/pgvalet, optimised; `make release` takes longer, and its program is faster
	cargo build --release

# Tests wait more than they work: for logins, timeouts and drains.
TEST_THREADS ?= $(shell expr 3 \* `getconf _NPROCESSORS_ONLN`)

test: setup ## run every test, against every installed Postgres
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run --test-threads $(TEST_THREADS)'; \
		cargo nextest run --test-threads $(TEST_THREADS); \
	else \
		echo 'cargo test'; cargo test; \
	fi

differential: setup ## send the same bytes to Postgres and to pgvalet, and compare the answers
	cargo nextest run --test differential

release: ## build target/pgo/pgvalet as it is released, optimised with a profile of its everyday work
	@scripts/setup.sh bench
	scripts/release.sh

packages: ## pack it in target/packages: .deb, .rpm, tarball, formula, bill of materials; BINARY=target/pgo/pgvalet
	@scripts/setup.sh packages
	$(if $(BINARY),,scripts/reproducible.sh . target/reproducible)
	BINARY=$(or $(BINARY),target/reproducible/release/pgvalet) scripts/package.sh

reproduce: ## build what is committed twice, in two places, and compare the programs, byte by byte
	scripts/reproduce.sh

packages-test: ## install, use, upgrade and purge the package in a fresh Debian, which needs root; two minutes
	@scripts/setup.sh packages
	scripts/packages_test.sh

bench: release ## measure it beside PgBouncer, a TCP relay and Postgres alone; QUICK=1: in 90 seconds
	python3 scripts/bench $(if $(QUICK),--quick)
	$(if $(QUICK),,python3 scripts/bench/identities.py)
	$(if $(QUICK),,python3 scripts/bench/plans.py)

identities: release ## measure what it costs to clean connections between 1, 2 and 8 [[client]] rules
	python3 scripts/bench/identities.py

plans: release ## measure what reuse_plans is worth to drivers that name no statements
	python3 scripts/bench/plans.py

instructions: build ## count the instructions of a transaction (callgrind): a figure that is the same on a busy machine
	@scripts/setup.sh bench
	python3 scripts/bench/instructions.py

micro: ## time the scanners, a checkout and a prepared statement, in nanoseconds (criterion)
	cargo bench --manifest-path benches/micro/Cargo.toml --target-dir target/micro

designs: release ## measure other designs of the data path: threads, io_uring, sockets; ten minutes
	cargo build --release --manifest-path benches/relay/Cargo.toml --target-dir target/relay
	python3 scripts/bench/designs.py

chaos: setup build ## test for an hour: rotations stopped at every point, 200 in a row, the store down; restarts of Postgres under load; exactly once under 800 faults; 20,000 bursts of a hostile client; twenty upgrades and fifty that a kill interrupts; BURSTS=, SEED=, UPGRADES=; then make attacks
	OTHER_BUILD=$(CURDIR)/target/release/pgvalet \
		cargo nextest run --lib --test behaviour --test isolation --run-ignored only --no-capture at_length
	$(MAKE) attacks

soak: build ## work with every driver for HOURS= or MINUTES=, while passwords rotate, files are reloaded and Postgres restarts; DOCUMENT=1: into docs
	@scripts/setup.sh bench
	python3 scripts/soak --minutes $(or $(MINUTES),$(if $(HOURS),$(shell expr $(HOURS) \* 60)),3) $(if $(DOCUMENT),--document)

attacks: build ## measure what 16 honest clients notice of each of two dozen attacks; ten minutes
	@scripts/setup.sh bench
	python3 scripts/attacks

chaos-rotate: setup ## kill the rotator at every point, with both strategies, on every Postgres; minutes
	cargo nextest run --test rotate --run-ignored only --no-capture killed_everywhere_at_length

big: setup build ## pass a row of 256 MB and 2 GB of COPY each way, in both modes, with TLS and without: pgvalet grows by less than 16 MiB
	PGVALET_BINARY=$(CURDIR)/target/release/pgvalet \
		cargo nextest run --test behaviour --run-ignored only --no-capture huge

suites: ## run the tests of SQLAlchemy, asyncpg, psycopg2 and pg8000, straight to Postgres and through pgvalet, and moto's on the store; ten minutes
	@scripts/setup.sh postgres
	cargo build
	python3 scripts/suites/test_compare.py
	python3 scripts/suites $(if $(DOCUMENT),--document)

fuzz: ## fuzz every reader of a peer's bytes for FUZZ_SECONDS (20) with cargo-fuzz; needs nightly
	scripts/fuzz.sh

scaling: ## measure what a second core is worth to pgvalet, with a Postgres that answers at once
	cargo bench --bench scaling

bench-store: ## measure how fast the embedded store's API answers
	cargo bench --bench store

bench-audit: ## measure how fast the audit log is searched and verified: RECORDS= (ten million); 3 GB of disk, minutes
	cargo bench --bench audit

lint: deny ## check formatting, clippy, licences
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings

deny: ## check licences, banned crates, sources of dependencies
	scripts/deny.sh

fmt: ## format the code
	cargo fmt

setup: ## install what the tests need beyond Rust, where it is missing
	@scripts/setup.sh
