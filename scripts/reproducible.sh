#!/usr/bin/env bash
# Builds pgvalet so that another machine with the same compilers gets the same bytes: no path of
# this one is in the program.
#
#   reproducible.sh SOURCE TARGET       PROFILE=dev: not optimised, in TARGET/debug
#                                       TRIPLE=…-musl: for another target, in TARGET/TRIPLE
set -euo pipefail
source=$(realpath "$1")
mkdir -p "$2"
target=$(realpath "$2")
cargo=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
readonly source target cargo profile=${PROFILE:-release}

# The last prefix that fits counts: TARGET may be inside SOURCE.
remap="--remap-path-prefix=$cargo=/cargo"
remap+=" --remap-path-prefix=$source=/pgvalet --remap-path-prefix=$target=/target"
map="-ffile-prefix-map=$cargo=/cargo -ffile-prefix-map=$source=/pgvalet -ffile-prefix-map=$target=/target"
export RUSTFLAGS="${RUSTFLAGS:-} $remap" CFLAGS="${CFLAGS:-} $map" CXXFLAGS="${CXXFLAGS:-} $map"
# What was compiled before must not show.
export CARGO_INCREMENTAL=0
# C has __DATE__ and __TIME__.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
cd "$source"
exec cargo build --locked --bin pgvalet --profile "$profile" --target-dir "$target" ${TRIPLE:+--target "$TRIPLE"}
