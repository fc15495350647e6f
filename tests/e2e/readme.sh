#!/usr/bin/env bash
# The programs of README.md, as printed, each with a thousand log calls before its end: every line is in its file or on
# standard output when the process has ended, and its exit code is 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 tests/e2e/readme.py
