#!/usr/bin/env bash
# The example `audit`, killed at random moments under load: each payment that was answered with 200 has its line in the
# file in the end. The example `spool` reads what each killed process has left.
#
# Prints one line for each check and `PASSED`, or `FAILED: <what>`. `LOGWEIR_TEST_KILLS` sets how often it is killed, a tenth
# of which is done here.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 tests/e2e/audit.py
