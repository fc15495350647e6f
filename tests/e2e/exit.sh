#!/usr/bin/env bash
# The example `exits`, built for this machine and for musl: whichever way the program ends, each line is in the file and on
# the console, and a sink that hangs costs the shutdown timeout. On musl the destructors of `main`'s thread-locals do not run.
#
# Prints one line for each way and `PASSED`, or `FAILED: <what>`, or `SKIPPED: <why>` if the target cannot be installed.
# `LOGWEIR_TEST_RUNS` sets how often each way is run.
set -euo pipefail
cd "$(dirname "$0")/../.."

LINES=500
RUNS=${LOGWEIR_TEST_RUNS:-2}
MUSL=x86_64-unknown-linux-musl
# Way, exit code, lines.
WAYS='return 0 500
question 1 500
panic 101 500
exit 1 501
exit-worker 1 501
exit-thread 1 501
call 3 500
call-worker 3 500
call-thread 3 500
tokio-main 0 500
guard 0 500
static-guard 0 500
thread-local 0 500
dropped 0 500
start-on 1 501
call-start-on 3 500'

work=$(mktemp -d)
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# Deleted at the end: it has all dependencies of the examples.
musl=$target/e2e-exit
trap 'rm -rf "$work" "$musl"' EXIT

fail() {
    echo "FAILED: $1"
    cat "$work/stderr"
    exit 1
}

# run WAY CODE LINES [ARGUMENT..]
run() {
    local way=$1 code=$2 lines=$3 status=0 numbered
    shift 3
    rm -f "$work/file"
    timeout 60 "$example" "$way" --file "$work/file" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    [ "$status" = "$code" ] || fail "$library: $way $*: exit status $status, expected $code"
    for place in file stdout; do
        numbered=$(grep -o 'line [0-9]*' "$work/$place" | cut -d ' ' -f 2 | cmp - <(seq 0 $((LINES - 1))) && echo yes) ||
            fail "$library: $way $*: $place: not each line once, in order"
        [ "$numbered" = yes ] && [ "$(wc -l <"$work/$place")" = "$lines" ] || fail "$library: $way $*: $place: other lines"
    done
}

echo "LOGWEIR_TEST_RUNS: $RUNS"
# all LIBRARY EXAMPLE: each way of this build.
all() {
    local way code lines began
    library=$1 example=$2
    while read -r way code lines; do
        for _ in $(seq "$RUNS"); do
            run "$way" "$code" "$lines"
        done
        case $way in
        guard | thread-local) ;; # They have a time of their own.
        *)
            began=$SECONDS
            run "$way" "$code" "$lines" --hang
            grep -q 'logweir: exits: the process exits before everything is delivered' "$work/stderr" ||
                fail "$library: $way: the loss is not reported"
            [ $((SECONDS - began)) -lt 20 ] || fail "$library: $way: the sink that hangs delayed it for too long"
            ;;
        esac
        echo "ok: $library: $way"
    done <<<"$WAYS"
}

cargo build --quiet --all-features --example exits
all "this machine's" "$target/debug/examples/exits"
if ! command -v rustup >/dev/null || ! output=$(timeout 300 rustup target add $MUSL 2>&1); then
    echo "SKIPPED: the target $MUSL cannot be installed: $(tail -n 1 <<<"${output:-no rustup}")"
else
    CARGO_PROFILE_DEV_DEBUG=0 cargo build --quiet --no-default-features --features signal --example exits \
        --target $MUSL --target-dir "$musl"
    all musl "$musl/$MUSL/debug/examples/exits"
fi
echo PASSED
