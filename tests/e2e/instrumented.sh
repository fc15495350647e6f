#!/usr/bin/env bash
# A build for tokio-console: with `--cfg tokio_unstable` and its feature `tracing`, tokio reports what its tasks and
# channels do to `tracing`, from within its calls. What logs there must not stop the logger.
#
# Prints one line for each test and `PASSED`, or `FAILED: <what>`. In a target folder of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# `logweir` and its tests alone: the dependencies are compiled once.
status=0
RUSTFLAGS="${RUSTFLAGS:-} --cfg tokio_unstable" CARGO_TARGET_DIR=$target/instrumented \
    cargo test --quiet --features tracing,tokio/tracing --test instrumented >"$output" 2>&1 || status=$?
if [ $status != 0 ]; then
    cat "$output"
    echo 'FAILED: a program did not end'
    exit 1
fi
grep '^test result' "$output"
echo 'PASSED'
