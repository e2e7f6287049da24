#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS (20), one after the other, beginning
# with the seeds; what an earlier run found out is in fuzz/corpus, and what made
# a target fail is in fuzz/artifacts. Names as arguments: only those.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo +nightly --version >/dev/null 2>&1 || {
    echo 'fuzz: cargo-fuzz needs a nightly toolchain: rustup toolchain install nightly' >&2
    exit 1
}
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    read -r -d "" -a targets < <(cargo +nightly fuzz list && printf "\0")
fi

# The store that one of them calls; it makes a new one now and then.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# No sanitizer: what is fuzzed is safe Rust, which panics, and this is twice as
# fast. Overflows and debug assertions panic too.
cargo +nightly fuzz build --sanitizer none
failed=()
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    echo "fuzz: $target, ${FUZZ_SECONDS:-20} s"
    log=$TMPDIR/$target.log
    # More than a Bind's names or a header may take, and less than would be slow.
    if cargo +nightly fuzz run --sanitizer none "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-20}" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        >"$log" 2>&1; then
        grep -E "DONE" "$log" || true
    else
        tail -n 40 "$log"
        failed+=("$target")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz: failed: ${failed[*]}; what made them fail is in fuzz/artifacts" >&2
    exit 1
fi
