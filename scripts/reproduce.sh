#!/usr/bin/env bash
# Builds what is committed twice, in two directories, and compares the programs.
set -euo pipefail
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

work=$(mktemp -d --tmpdir="$PWD/target" reproduce-XXXX)
trap 'rm -rf "$work"' EXIT
for place in here another/place; do
    mkdir -p "$work/$place"
    git archive HEAD | tar x -C "$work/$place"
    scripts/reproducible.sh "$work/$place" "$work/$place/target"
done
built() { compgen -G "$work/$1/target/*/pgvalet"; }
sha256sum "$(built here)" "$(built another/place)"
if cmp "$(built here)" "$(built another/place)"; then
    echo 'reproduce: the same bytes'
else
    echo 'reproduce: they differ' >&2
    exit 1
fi
