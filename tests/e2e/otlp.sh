#!/usr/bin/env bash
# The example `service` and a receiver of OTLP that reads requests with OpenTelemetry's own decoder: every field of the request
# log arrives, the receiver's answers are counted for what they mean, and a service that is killed while the receiver is down
# leaves nothing behind.
#
# Prints one line for each check and `PASSED`, or `FAILED: <what>`.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
packages=$target/tests/otlp-packages
if [ ! -d "$packages" ]; then
    if ! output=$(python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes \
        --target "$packages.new" -r tests/e2e/requirements.txt 2>&1); then
        echo "SKIPPED: OpenTelemetry's decoder cannot be installed: $(tail -n 1 <<<"$output")"
        exit 0
    fi
    mv "$packages.new" "$packages"
fi
PYTHONPATH=$packages exec python3 tests/e2e/otlp.py
