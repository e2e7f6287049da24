# `make demo` shows it, `make test` proves it, `make lint` keeps it tidy.
.PHONY: help demo test differential bench bench-store release scaling identities instructions micro designs lint build fmt deny setup chaos chaos-rotate big fuzz suites

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## a throwaway Postgres, clients without passwords, a rotation every few seconds
	@scripts/setup.sh postgres
	cargo run --quiet -- demo

build: ## optimised, target/release/pgvalet; `make release` is faster still, and takes longer
	cargo build --release

test: setup ## every test, against every Postgres at hand
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run'; cargo nextest run; \
	else \
		echo 'cargo test'; cargo test; \
	fi

differential: setup ## the same bytes to Postgres and to pgvalet, answers compared
	cargo nextest run --test differential

release: ## the program as it is released, target/pgo/pgvalet: compiled for what it does all day
	@scripts/setup.sh bench
	scripts/release.sh

bench: release ## beside PgBouncer, a TCP relay and Postgres alone; QUICK=1: 90 seconds of it
	python3 scripts/bench $(if $(QUICK),--quick)

identities: release ## what it costs that connections are cleaned between [[client]] rules: 1, 2, 8 of them
	python3 scripts/bench/identities.py

instructions: build ## of pgvalet per transaction, by callgrind: the same on a busy machine
	@scripts/setup.sh bench
	python3 scripts/bench/instructions.py

micro: ## the scanners, a checkout, a prepared statement, by criterion: nanoseconds of each
	cargo bench --manifest-path benches/micro/Cargo.toml --target-dir target/micro

designs: release ## other designs of the data path: threads, io_uring, sockets; ten minutes
	cargo build --release --manifest-path benches/relay/Cargo.toml --target-dir target/relay
	python3 scripts/bench/designs.py

chaos: setup ## rotations at length: stopped everywhere, 200 of them, the store down; 20,000 bursts of a hostile client; BURSTS=, SEED=
	cargo nextest run --test behaviour --test isolation --run-ignored only --no-capture at_length

chaos-rotate: setup ## the rotator killed everywhere, both strategies, every Postgres; minutes
	cargo nextest run --test rotate --run-ignored only --no-capture killed_everywhere_at_length

big: setup build ## a row of 256 MB, 2 GB of COPY each way, in both modes, with TLS and without: pgvalet grows by less than 16 MiB
	PGVALET_BINARY=$(CURDIR)/target/release/pgvalet \
		cargo nextest run --test behaviour --run-ignored only --no-capture huge

suites: ## the tests of SQLAlchemy, asyncpg, psycopg2 and pg8000, straight to Postgres and through pgvalet; ten minutes
	@scripts/setup.sh postgres
	cargo build
	python3 scripts/suites/test_compare.py
	python3 scripts/suites $(if $(DOCUMENT),--document)

fuzz: ## whatever reads bytes of a peer, each FUZZ_SECONDS (20) by cargo-fuzz; needs nightly
	scripts/fuzz.sh

scaling: ## what a second core is worth to pgvalet, with a Postgres that answers at once
	cargo bench --bench scaling

bench-store: ## how fast the embedded store's API answers, in figures
	cargo bench --bench store

lint: deny ## formatting, clippy, licences
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings

deny: ## licences, banned crates, sources
	scripts/deny.sh

fmt: ## format the code
	cargo fmt

setup: ## what the tests need beyond Rust; installs what is missing
	@scripts/setup.sh
