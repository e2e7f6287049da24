#!/usr/bin/env bash
# The program as it is released: compiled twice, the second time for what the
# first one was seen doing under the loads of scripts/bench/train.py
# (profile-guided optimisation, https://doc.rust-lang.org/rustc/profile-guided-optimization.html).
# Most of what pgvalet costs besides system calls is code that is not in the
# caches: docs/PERFORMANCE.md.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly pgo=$PWD/target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$merge" ] || rustup component add llvm-tools

echo 'release: two optimised builds, and observed work between them; about ten minutes on two cores that have nothing else to do'

# --target keeps the flags away from build scripts and macros.
build() {
    RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build --release --target "$host" --target-dir "$pgo/$2"
}

build "-Cprofile-generate=$pgo/raw" observed
readonly observed=$pgo/observed/$host/release/pgvalet
if [ "$observed" -nt "$pgo/profile" ]; then
    rm -rf "$pgo/raw"
    python3 scripts/bench/train.py "$observed"
    "$merge" merge -o "$pgo/profile" "$pgo/raw"
fi
build "-Cprofile-use=$pgo/profile" released
cp --remove-destination "$pgo/released/$host/release/pgvalet" "$pgo/pgvalet"
echo "release: target/pgo/pgvalet, after $((SECONDS / 60)) minutes"
