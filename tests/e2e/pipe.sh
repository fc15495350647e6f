#!/usr/bin/env bash
# The example `pipe`, on a log of more than a million lines: every line is in the file once, as it was, and in order.
#
# Prints one line for each check and `PASSED`, or `FAILED: <what>`.
set -euo pipefail
cd "$(dirname "$0")/../.."

LINES=1200000

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $1"
    cat "$work/report"
    exit 1
}

cargo build --quiet --release --all-features --example pipe
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

# Without quotes, backslashes and control characters a JSON string is its text, so `sed` can undo it.
awk -v lines="$LINES" 'BEGIN {
    srand(1)
    for (i = 1; i <= lines; i++)
        printf "10.0.%d.%d - - [21/Nov/2026:21:%02d:%02d +0000] GET /items/%d?page=%d %d %d\n",
            i % 256, i * 7 % 256, i / 60 % 60, i % 60, rand() * 1e6, rand() * 10, 200 + i % 5 * 100, rand() * 1e5
}' >"$work/access.log"

status=0
"$target/release/examples/pipe" "$work/out.json" <"$work/access.log" >"$work/report" 2>&1 || status=$?
[ "$status" = 0 ] || fail "exit status $status"
echo "ok: $(head -n 1 "$work/report")"
lines=$(wc -l <"$work/out.json")
[ "$lines" = "$LINES" ] || fail "lines in the file: $lines, expected $LINES"
echo "ok: lines in the file: $lines"
sed 's/.*"message":"\([^"]*\)","line":[0-9]*}$/\1/' "$work/out.json" | cmp -s - "$work/access.log" ||
    fail 'the file has other lines, or in another order'
echo 'ok: the same lines in the same order'
sed 's/.*"line":\([0-9]*\)}$/\1/' "$work/out.json" | cmp -s - <(seq "$LINES") || fail 'the numbers are not 1, 2, 3, ..'
echo 'ok: numbered without a gap'
echo PASSED
