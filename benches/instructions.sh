#!/usr/bin/env bash
# Counts the instructions an event takes and compares them with benches/instructions.txt.
#
#   benches/instructions.sh             fails if one has risen by more than 5 % for the same compiler and Cargo.lock
#   benches/instructions.sh --record    writes the file anew
#
# valgrind counts; where it is missing and cannot be installed, nothing is compared, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
record=benches/instructions.txt
events=20000

mode=${1:-}
case "$mode" in
'' | --record) ;;
*)
    echo "usage: benches/instructions.sh [--record]" >&2
    exit 2
    ;;
esac

if ! command -v valgrind >/dev/null; then
    { apt-get update && apt-get install --yes valgrind; } >/dev/null 2>&1 || true
    if ! command -v valgrind >/dev/null; then
        echo "SKIPPED: valgrind is not there and cannot be installed"
        exit 0
    fi
fi

# A file of its own for the messages: the last one names the program.
messages=$(mktemp)
counts=$(mktemp)
trap 'rm -f "$messages" "$counts"' EXIT
cargo bench --bench instructions --no-run 2>"$messages" || { cat "$messages" >&2; exit 1; }
program=$(sed -n 's/.*(\(.*\/instructions-[0-9a-f]*\))$/\1/p; s/^ *Executable .* (\(.*\))$/\1/p' "$messages" | tail -n 1)
[ -x "$program" ] || program=$(ls -t "$(cargo metadata --format-version 1 --no-deps |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"/release/deps/instructions-* | grep -v '\.d$' | head -n 1)

# count WAY EVENTS: the instructions of one run.
count() {
    # The same environment for everybody: its size moves the stack, and with it how bytes are copied.
    env -i PATH="$PATH" valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

identity="$(rustc --version), $(uname -m), Cargo.lock $(sha256sum Cargo.lock | cut -c 1-16)"
for way in disabled emit scoped json deliver bare; do
    few=$(count $way $events)
    many=$(count $way $((2 * events)))
    echo "$way $(((many - few + events / 2) / events))" >>"$counts"
done

if [ "$mode" = --record ]; then
    {
        echo "# Instructions per event, by benches/instructions.sh --record."
        echo "# $identity"
        cat "$counts"
    } >$record
    cat $record
    exit 0
fi

known=$(sed -n '2s/^# //p' $record)
[ "$known" = "$identity" ] || echo "recorded for another compiler or Cargo.lock: shown, not judged
  recorded: $known
  here:     $identity"
risen=
while read -r way now; do
    before=$(sed -n "s/^$way //p" $record)
    if [ -z "$before" ]; then
        echo "$way is not recorded: benches/instructions.sh --record" >&2
        exit 1
    fi
    echo "$way: $now instructions per event, recorded $before"
    # By more than 5 %, and by more than one: of a handful one is a fifth.
    if [ $((now * 100)) -gt $((before * 105)) ] && [ $((now - before)) -gt 1 ]; then
        risen="$risen $way"
    fi
done <"$counts"
if [ -n "$risen" ] && [ "$known" = "$identity" ]; then
    echo "RISEN by more than 5 %:$risen (if that is worth it: benches/instructions.sh --record)" >&2
    exit 1
fi
