#!/usr/bin/env bash
# Holds the dependencies to deny.toml and to the record in supply-chain: with cargo-deny
# where it is installed, otherwise its licences, bans and sources by a short script.
set -euo pipefail
cd "$(dirname "$0")/.."

# Known faults of dependencies, from the database of RustSec, which is on no registry of
# packages: a machine that cannot reach it says so instead of passing in silence.
advisories() {
    local said
    said=$(mktemp)
    if cargo deny --log-level error check advisories >"$said" 2>&1; then
        echo 'deny: no advisory of RustSec is about a dependency'
    elif grep -qi 'failed to fetch\|could not be fetched\|unable to .*advisory' "$said"; then
        echo 'deny: advisories NOT CHECKED: the database of RustSec cannot be reached from here'
    else
        cat "$said" >&2
        rm -f "$said"
        return 1
    fi
    rm -f "$said"
}

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --log-level error check bans licenses sources
    advisories
else
    python3 scripts/deny.py
    echo 'deny: advisories NOT CHECKED: cargo-deny is not installed (cargo install --locked cargo-deny)'
fi
python3 scripts/vet.py
