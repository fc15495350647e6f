#!/usr/bin/env bash
# Counts the instructions an event takes, here and at a reference commit, and compares the two.
#
#   benches/instructions.sh                  against HEAD if there are uncommitted changes, else against HEAD^
#   benches/instructions.sh --against REV    against REV
#
# Fails if one count rises by more than 5 % and by more than one instruction, unless a commit message since the reference
# has a line `Instructions: <reason>`. Both sides are built here with the same compiler, each with its own Cargo.lock and
# its own benches/instructions.rs. Without valgrind or a reference that builds, prints the reason and compares nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
events=20000

skip() {
    echo "SKIPPED: $1"
    exit 0
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
reference=$(.ci/reference "$@" 2>"$work/reason") || status=$?
case $status in
0) ;;
1) skip "$(cat "$work/reason")" ;;
*)
    cat "$work/reason" >&2
    exit 2
    ;;
esac

if ! command -v valgrind >/dev/null; then
    { apt-get update && apt-get install --yes valgrind; } >/dev/null 2>&1 || true
    command -v valgrind >/dev/null || skip "valgrind is missing and cannot be installed"
fi

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
side=$target/reference

# build FOLDER TARGET NAME: the program as $work/NAME. The names are equally long: a path is on the stack, and where the
# stack begins changes how bytes are copied.
build() {
    (cd "$1" && CARGO_TARGET_DIR=$2 cargo bench --bench instructions --no-run --message-format json-render-diagnostics) \
        >"$work/$3.json" 2>"$work/$3.log" || return
    local program
    program=$(sed -n 's/.*"kind":\["bench"\].*"executable":"\([^"]*\)".*/\1/p' "$work/$3.json" | tail -n 1)
    cp "$program" "$work/$3"
}

# ways FOLDER: what the program there can count, by the arms of its `match`.
ways() {
    sed -n 's/^ *"\([a-z0-9_]*\)" => .*/\1/p' "$1/benches/instructions.rs"
}

# run NAME WAY EVENTS: the instructions of one run.
run() {
    # In an equal environment and folder, for the sake of the stack.
    (cd "$work" && env -i PATH="$PATH" valgrind --tool=callgrind --callgrind-out-file=/dev/null "./$1" "$2" "$3" 2>&1) |
        sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

# count NAME WAY: instructions per event.
count() {
    local few many
    few=$(run "$1" "$2" $events) && many=$(run "$1" "$2" $((2 * events))) && [ -n "$few" ] && [ -n "$many" ] || return
    echo $(((many - few + events / 2) / events))
}

build . "$target" now || {
    cat "$work/now.log" >&2
    exit 1
}
if ! { benches/reference.sh "$target" "$reference" >/dev/null && build "$side/tree" "$side/target" old; }; then
    tail -n 20 "$work/old.log" >&2 || true
    skip "the reference $reference does not build"
fi
now_ways=$(ways .)
old_ways=$(ways "$side/tree")
[ -n "$now_ways" ] || {
    echo "FAILED: no ways found in benches/instructions.rs" >&2
    exit 1
}

echo "instructions per event, before: $(git log -1 --format='%h %s' "$reference")"
printf '%-12s %8s %8s %8s\n' way before now ratio
risen=
for way in $(printf '%s\n' "$now_ways" "$old_ways" | awk '!seen[$0]++'); do
    now=- before=- ratio=-
    if grep -qx "$way" <<<"$now_ways"; then
        now=$(count now "$way") || {
            echo "FAILED: $way cannot be counted" >&2
            exit 1
        }
    fi
    if grep -qx "$way" <<<"$old_ways"; then
        before=$(count old "$way") || before=-
    fi
    if [ "$now" != - ] && [ "$before" != - ]; then
        ratio=$(awk -v now="$now" -v before="$before" 'BEGIN { if (before) printf "%.3f", now / before; else print "-" }')
        # One instruction of a handful is more than 5 %.
        if [ $((now * 100)) -gt $((before * 105)) ] && [ $((now - before)) -gt 1 ]; then
            risen="$risen $way"
        fi
    fi
    printf '%-12s %8s %8s %8s\n' "$way" "$before" "$now" "$ratio"
done
[ -n "$risen" ] || exit 0

reasons=$(git log --format=%B "$reference..HEAD" | sed -n 's/^Instructions: *\(.\)/\1/p')
if [ -n "$reasons" ]; then
    echo "more than 5 % higher:$risen; the commit message gives the reason: $reasons"
    exit 0
fi
echo "FAILED: more than 5 % higher:$risen (a line \`Instructions: <reason>\` in a commit message accepts it)" >&2
exit 1
