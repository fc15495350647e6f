# shellcheck shell=bash
# Sourced by .ci/run and .ci/full: steps with their names and seconds, and what both need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

current='preparation'
times=()
skipped=$(mktemp)

at_exit() {
    local status=$?
    rm -f "$skipped"
    [ $status = 0 ] || echo "FAILED: $current"
    exit $status
}
trap at_exit EXIT

# step NAME COMMAND..
step() {
    local started=$SECONDS
    current=$1
    shift
    echo "== $current"
    "$@"
    times+=("$(printf '%5d s  %s' $((SECONDS - started)) "$current")")
    echo "   $((SECONDS - started)) s"
}

# skip REASON: the current step does nothing, and the summary says why.
skip() {
    echo "SKIPPED: $1"
    echo "SKIPPED: $1 ($current)" >>"$skipped"
}

# may_skip COMMAND..: its lines `SKIPPED: <reason>` are repeated in the summary.
may_skip() {
    "$@" | tee "$skipped.output"
    sed -n "s|^SKIPPED.*|& ($current)|p" "$skipped.output" >>"$skipped"
    rm -f "$skipped.output"
}

summary() {
    echo "== summary"
    printf '%s\n' "${times[@]}"
    cat "$skipped"
    echo "PASSED in $SECONDS s"
}

target_folder() {
    cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# wheel PROGRAM PACKAGE: installs a command of Cargo into the target folder if it is missing. A wheel, because compiling it
# takes longer than all steps. The packages have no dependencies, and each has its own folder: pip does not add to one.
wheel() {
    local folder
    command -v "$1" >/dev/null && return
    folder=$(target_folder)/ci/$2
    PATH="$folder/bin:$PATH"
    command -v "$1" >/dev/null ||
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$folder" "$2"
}
