#!/usr/bin/env bash
# Every format over a corpus of control characters, forgeries, reserved names and extreme values, as parsers see it that
# nobody here wrote: jq and Python's `json` for JSON and CLEF, a CLEF reader, and a logfmt reader that refuses what
# go-logfmt refuses. Every field of every event is compared with what was emitted, and nothing may be left over.
#
# Needs Python 3 with `venv`, the Debian package `jq` and two packages from PyPI; installs what is missing into a temporary
# folder, or with apt-get where it may. Prints one line for each check and `PASSED`, or `SKIPPED: <reason>`, or
# `FAILED: <what>`.
set -euo pipefail
cd "$(dirname "$0")/../.."

# logfmtkv: `strict` is documented as what go-logfmt takes, and its source has that grammar. pyclef-lib: the one reader of
# CLEF on PyPI and npm.
READERS=(logfmtkv==0.2.1 pyclef-lib==0.1.0)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
    echo "SKIPPED: $1"
    exit 0
}

if ! command -v jq >/dev/null; then
    command -v apt-get >/dev/null || skip 'no jq, and no apt-get to install it'
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    { "${root[@]}" apt-get update -qq && "${root[@]}" apt-get install -y -qq --no-install-recommends jq; } \
        >"$work/apt.log" 2>&1 || skip "apt-get cannot install jq: $(tail -n 1 "$work/apt.log")"
fi
command -v python3 >/dev/null || skip 'no python3'
python3 -m venv "$work/venv" >"$work/venv.log" 2>&1 || skip "no venv: $(tail -n 1 "$work/venv.log")"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${READERS[@]}" >"$work/pip.log" 2>&1 ||
    skip "pip cannot install ${READERS[*]}: $(tail -n 1 "$work/pip.log")"

messages=$(cargo test --all-features --test it --no-run 2>&1) || { echo "$messages"; echo 'FAILED: the tests do not compile'; exit 1; }
program=$(sed -n 's/^ *Executable .*(\(.*\/it-[0-9a-f]*\))$/\1/p' <<<"$messages")
mkdir "$work/lines"
LOGWEIR_TEST_FORMATS="$work/lines" "$program" --exact formats::written::the_corpus_is_written_for_other_readers >"$work/written" ||
    { cat "$work/written"; echo 'FAILED: the corpus is not written'; exit 1; }
for format in json renamed nested clef rendered; do
    jq -c . <"$work/lines/$format" >"$work/lines/$format.jq" || { echo "FAILED: jq cannot read $format"; exit 1; }
done
"$work/venv/bin/python" tests/e2e/formats.py "$work/lines" "$program" || exit 1
echo PASSED
