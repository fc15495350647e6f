#!/usr/bin/env bash
# Rolled files, by the example `pipe` and programs that others wrote: gzip's own `zcat`, logrotate, SIGKILL.
#
# Prints one line for each check and `PASSED`, or `FAILED: <what>`. A check whose program cannot be had is skipped, and
# that is said. `LOGWEIR_TEST_KILLS` sets how many processes are killed.
set -euo pipefail
cd "$(dirname "$0")/../.."

LINES=2000000
ROTATIONS=20
CHUNK=20000
KILLS=${LOGWEIR_TEST_KILLS:-3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $1"
    [ ! -s "$work/report" ] || tail -n 20 "$work/report"
    exit 1
}

# check WHAT ACTUAL EXPECTED
check() {
    [ "$2" = "$3" ] || fail "$1: $2, expected $3"
    echo "ok: $1: $2"
}

# The field `line` of every line of JSON, from standard input.
numbers() {
    sed 's/.*"line":\([0-9]*\)}$/\1/'
}

case $KILLS in
'' | *[!0-9]* | 0*) fail "LOGWEIR_TEST_KILLS is '$KILLS'; allowed is a whole number from 1" ;;
esac
cargo build --quiet --release --all-features --example pipe
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
pipe=$target/release/examples/pipe

echo "-- $LINES lines through files of 8 MiB that are compressed"
seq "$LINES" | "$pipe" "$work/all/app.json" --max-bytes 8MiB --gzip >"$work/report" 2>&1 || fail 'pipe'
echo "ok: $(tail -n 1 "$work/report")"
# In the order of the shell, as an operator would look at them.
cd "$work/all"
zcat -f app.2*.json app.2*.json.gz | wc -l >"$work/count"
check 'lines in all files' "$(cat "$work/count")" "$LINES"
zcat -f app.2*.json* | numbers | cmp -s - <(seq "$LINES") || fail 'the lines are not 1, 2, 3, .. in the order of the names'
echo 'ok: each once, in the order of the names'
check 'files that are not compressed' "$(ls app.2*.json | wc -l)" 1
check 'where the path leads' "$(readlink app.json)" "$(ls app.2*.json)"
gzip -t app.2*.gz || fail 'gzip finds fault with a file'
sizes=$(for file in app.2*.gz; do zcat "$file" | wc -c; done | sort -n | tail -n 1)
[ "$sizes" -le $((8 << 20)) ] || fail "a file of $sizes bytes"
echo "ok: $(ls app.2*.gz | wc -l) compressed files, none of more than 8 MiB before"
cd - >/dev/null

echo "-- killed in the middle of it, and begun again: $KILLS times (LOGWEIR_TEST_KILLS)"
mkfifo "$work/lines"
# killed KILL: leaves the number of lines before the kill in `before`.
killed() {
    local pid what="kill $1"
    rm -rf "$work/killed"
    "$pipe" "$work/killed/app.json" --max-bytes 1MiB --gzip <"$work/lines" >"$work/report" 2>&1 &
    pid=$!
    # Writes until there is nobody to read.
    seq 100000000 2>/dev/null >"$work/lines" &
    until [ "$(ls "$work/killed" 2>/dev/null | grep -c 'gz$')" -ge $((1 + $1 % 5)) ]; do
        kill -0 "$pid" 2>/dev/null || fail "$what: pipe ended by itself"
        sleep "0.0$((1 + $1 % 7))"
    done
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    wait
    # As it was left: of a file that is there twice the compressed one, and nothing that is half compressed. A file may end
    # with a whole line that lacks its newline, which must not run into the next file.
    cd "$work/killed"
    before=$(for file in app.2*.json app.2*.json.gz; do [ -e "$file.gz" ] || { zcat -f "$file" && echo; }; done |
        grep -c '"line":[0-9]*}$')
    cd - >/dev/null
    printf 'after\n' | "$pipe" "$work/killed/app.json" --max-bytes 1MiB --gzip >"$work/report" 2>&1 ||
        fail "$what: pipe, begun again"
    cd "$work/killed"
    zcat -f app.2*.json* >"$work/text"
    grep '"message":"[0-9]' "$work/text" | grep '"line":[0-9]*}$' | numbers | cmp -s - <(seq "$before") ||
        fail "$what: what was there before the kill is not 1, 2, 3, .."
    tail -n 1 "$work/text" | grep -q '"message":"after","line":1}$' || fail "$what: the last line is another one"
    [ "$(grep -vc '"line":[0-9]*}$' "$work/text")" -le 1 ] || fail "$what: more than one line was torn"
    [ "$(ls app.2*.json | wc -l)" = 1 ] || fail "$what: more than one file is not compressed"
    ! ls -A | grep partial || fail "$what: a file is half compressed"
    cd - >/dev/null
}
total=0
for ((number = 1; number <= KILLS; number++)); do
    killed $number
    total=$((total + before))
done
echo "ok: $total lines from before the kills and the one behind each, each once, in the order of the names"

echo '-- a file that logrotate moves away'
if ! command -v logrotate >/dev/null && [ -x /usr/sbin/logrotate ]; then PATH=$PATH:/usr/sbin; fi
if ! command -v logrotate >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends logrotate; } \
        >"$work/apt.log" 2>&1 || true
    PATH=$PATH:/usr/sbin
fi
if ! command -v logrotate >/dev/null; then
    echo "SKIPPED: no logrotate, and it cannot be installed: $(tail -n 1 "$work/apt.log")"
    echo PASSED
    exit 0
fi
# rotate NAME DIRECTIVES: lines that arrive while logrotate is run again and again.
rotate() {
    local folder=$work/$1
    mkdir "$folder"
    {
        echo "$folder/app.json {"
        printf '%s\n' "rotate 100" 'missingok' "$2"
        echo '}'
    } >"$folder.conf"
    # It wants a configuration that only its user can write.
    chmod 600 "$folder.conf"
    mkfifo "$folder.lines"
    "$pipe" "$folder/app.json" <"$folder.lines" >"$work/report" 2>&1 &
    local pipe_pid=$! round
    exec 3>"$folder.lines"
    for ((round = 0; round < ROTATIONS; round++)); do
        seq $((round * CHUNK + 1)) $(((round + 1) * CHUNK)) >&3
        PIPE=$pipe_pid logrotate --force --state "$folder.state" "$folder.conf" || fail "$1: logrotate"
    done
    exec 3>&-
    # It counts the lines of the one file that is at its path in the end, which are fewer.
    wait "$pipe_pid" || true
    grep -q "lines read $((ROTATIONS * CHUNK)), delivered to file $((ROTATIONS * CHUNK))," "$work/report" || fail "$1: pipe"
    # By their first lines. Where a file was created before logrotate did, that one moved it to `app.json-<hour>.backup`.
    local file
    for file in "$folder"/app.json*; do
        [ ! -s "$file" ] || echo "$(head -n 1 "$file" | numbers) $file"
    done | sort -n | cut -d ' ' -f 2 >"$work/names"
    [ "$(wc -l <"$work/names")" -gt 3 ] || fail "$1: only $(wc -l <"$work/names") files"
    # The highest number is the oldest; the current one has none.
    sed -n 's/.*app.json\.\([0-9]*\)$/\1/p' "$work/names" >"$work/order"
    sort -nr "$work/order" | cmp -s - "$work/order" || fail "$1: the files are not in the order of their names"
    xargs cat <"$work/names" | numbers | cmp -s - <(seq $((ROTATIONS * CHUNK))) ||
        fail "$1: the lines are not 1, 2, 3, .. in the order of the files"
    echo "ok: $1: $((ROTATIONS * CHUNK)) lines in $(wc -l <"$work/names") files, each once, in their order"
}
rotate sighup 'create
postrotate
    kill -HUP $PIPE
endscript'
# Without a signal: another file stands in its place, or nothing.
rotate replaced 'create'
rotate missing 'nocreate'
echo PASSED
