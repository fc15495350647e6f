#!/usr/bin/env bash
# Unpacks a commit beside the build, for a comparison with it, and prints the folder: the files in `tree`, what is built
# from them in `target`.
#
#   benches/reference.sh TARGET COMMIT
set -euo pipefail
cd "$(dirname "$0")/.."
side=$1/reference
if [ "$(cat "$side/commit" 2>/dev/null)" != "$2" ]; then
    rm -rf "$side/commit" "$side/tree"
    mkdir -p "$side/tree"
    # `-m`: files as new as now. Cargo would take a commit older than its last build for unchanged.
    git archive "$2" | tar -x -m -C "$side/tree"
    # A workspace of its own, also if this tree is one.
    if ! grep -q '^\[workspace' "$side/tree/Cargo.toml"; then
        printf '\n[workspace]\n' >>"$side/tree/Cargo.toml"
    fi
    echo "$2" >"$side/commit"
fi
echo "$side"
