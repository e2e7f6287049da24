#!/usr/bin/env bash
# Holds the dependencies to deny.toml: with cargo-deny where it is installed,
# otherwise its licences, bans and sources by a short script.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo deny --version >/dev/null 2>&1; then
    exec cargo deny --log-level error check bans licenses sources
fi
exec python3 scripts/deny.py
