#!/usr/bin/env bash
# What Prometheus scraped from the example `service`, what the service reported at its end, and the lines in its log file
# are the same numbers.
#
# Needs the Debian packages `prometheus` and `curl`; installs what is missing where apt-get may. Prints one line for each
# check and `PASSED`, or `SKIPPED: <reason>`, or `FAILED: <what>`.
set -euo pipefail
cd "$(dirname "$0")/../.."

REQUESTS=200
# Seconds to wait for anything.
LIMIT=30

work=$(mktemp -d)
service= prometheus= is_said=

clean_up() {
    local status=$?
    for pid in $service $prometheus; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    # A command that failed where no check was expected to has printed its own message.
    [ "$status" = 0 ] || [ -n "$is_said" ] || echo "FAILED: exit status $status"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $1"
    is_said=yes
    for log in "$work"/service.err "$work"/prometheus.log; do
        [ ! -s "$log" ] || { echo "--- ${log##*/}"; tail -n 20 "$log"; }
    done
    exit 1
}

# check WHAT ACTUAL EXPECTED
check() {
    [ "$2" = "$3" ] || fail "$1: $2, expected $3"
    echo "ok: $1: $2"
}

# until_true WHAT COMMAND..: polls, bounded.
until_true() {
    local what=$1 end=$((SECONDS + LIMIT))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "$what: not within $LIMIT s"
        sleep 0.2
    done
}

install_needed() {
    local missing=()
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v curl >/dev/null || missing+=(curl)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || { echo "SKIPPED: no ${missing[*]}, and no apt-get to install it"; exit 0; }
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo -n)
    # The run level keeps the package from starting a server of its own.
    if ! { "${root[@]}" apt-get update -qq &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1; then
        echo "SKIPPED: apt-get cannot install ${missing[*]}: $(tail -n 1 "$work/apt.log")"
        exit 0
    fi
}

# The value of an instant query with exactly one series; empty if there is none yet.
query() {
    curl -sf "http://$prometheus_addr/api/v1/query" --data-urlencode "query=$1" |
        sed -n 's/.*"result":\[{[^[]*"value":\[[^,]*,"\([^"]*\)"\]}\].*/\1/p'
}

query_is() {
    [ "$(query "$1")" = "$2" ]
}

install_needed
cargo build --quiet --release --all-features --example service
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

"$target/release/examples/service" --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --file "$work/service.json" \
    >"$work/service.out" 2>"$work/service.err" &
service=$!
until_true "the service listens" grep -q 'listening on' "$work/service.out"
service_url=$(sed -n 's|.*listening on \(http://[^,]*\),.*|\1|p' "$work/service.out")
metrics_url=$(sed -n 's|.*metrics on \(http://[^ ]*\) .*|\1|p' "$work/service.out")
metrics_addr=${metrics_url#http://}

cat >"$work/prometheus.yml" <<YAML
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: service
    static_configs:
      - targets: ["${metrics_addr%/metrics}"]
YAML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address=127.0.0.1:0 \
    >"$work/prometheus.log" 2>&1 &
prometheus=$!
until_true "Prometheus listens" grep -q 'msg="Listening on"' "$work/prometheus.log"
prometheus_addr=$(sed -n 's/.*msg="Listening on".* address=\([^ ]*\).*/\1/p' "$work/prometheus.log" | head -n 1)
until_true "Prometheus is ready" curl -sf "http://$prometheus_addr/-/ready"
until_true "Prometheus reaches the service" query_is 'up{job="service"}' 1
echo "ok: Prometheus scrapes $metrics_url"

paths=(/ /users/7 /users/9999 /nope /fail)
for ((i = 0; i < REQUESTS; i++)); do
    echo "url = \"$service_url${paths[i % ${#paths[@]}]}\""
    echo "output = \"/dev/null\""
done | curl -s --config - || fail "curl of $REQUESTS requests"

curl -sf "$metrics_url" >"$work/page"
complaints=$(promtool check metrics <"$work/page" 2>&1) || fail "promtool check metrics: $complaints"
check "complaints of promtool check metrics" "${complaints:-none}" none

until_true "Prometheus has $REQUESTS deliveries to the file" \
    query_is 'logweir_sink_events_delivered_total{sink="file"}' "$REQUESTS"
check "deliveries to the file, asked of Prometheus" \
    "$(query 'logweir_sink_events_delivered_total{sink="file"}')" "$REQUESTS"
check "events lost, asked of Prometheus" \
    "$(query 'sum(logweir_events_refused_total) + sum(logweir_events_evicted_total) + sum(logweir_sink_events_dropped_total)')" 0
bytes=$(query 'logweir_sink_bytes_written_total{sink="file"}')

kill -TERM "$service"
status=0
wait "$service" || status=$?
service=
check "exit status of the service after SIGTERM" "$status" 0
check "requests served, as reported" "$(sed -n 's/^requests served: //p' "$work/service.out")" "$REQUESTS"
check "deliveries to the file, as reported" \
    "$(sed -n 's/^  file: routed .* = delivered \([0-9]*\) .*/\1/p' "$work/service.out")" "$REQUESTS"
check "lines in the file" "$(wc -l <"$work/service.json")" "$REQUESTS"
check "bytes of the file, asked of Prometheus" "$bytes" "$(wc -c <"$work/service.json")"
echo PASSED
