//! Results as JSON: every figure of the tables, with the rounds it comes from, but not the single samples.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::lock::version;
use crate::machine::Machine;
use crate::peers::{About, Error};
use crate::results::{CALL, Line, Of, RESPONSE, Results};
use crate::targets::{Target, targets};

pub fn text(arguments: &Arguments, machine: &Machine, results: &Results) -> Result<String, Error> {
    let cases = results.0.iter().map(|(case, lines)| {
        json!({
            "case": case.to_string(),
            "scenario": case.scenario(),
            "queue_capacity": case.capacity(),
            "peers": lines.iter().map(line).collect::<Vec<_>>(),
        })
    });
    let all = json!({
        "machine": machine,
        "effort": arguments.effort.name(),
        "rounds": arguments.rounds,
        "peers": arguments.peers.iter().map(|about| peer(about)).collect::<Vec<_>>(),
        "cases": cases.collect::<Vec<_>>(),
        "targets": targets(results).iter().map(target).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&without_nulls(all))? + "\n")
}

/// What was not measured in a case is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(entries.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

fn peer(about: &About) -> Value {
    let versions = about.crates.iter().map(|name| ((*name).to_owned(), version(name).into()));
    json!({ "about": about, "versions": serde_json::Map::from_iter(versions) })
}

fn line(line: &Line) -> Value {
    let rounds = line.outcomes.iter().map(|outcome| {
        json!({
            "calls": outcome.calls,
            "lost": outcome.lost(),
            "late": outcome.late,
            "seconds": outcome.seconds,
            "achieved_per_second": outcome.achieved,
            "peak_kib": outcome.peak_kib,
            "allocations_per_event": outcome.allocations,
            "disabled_ns": outcome.disabled,
        })
    });
    json!({
        "peer": line.about.name,
        "excluded": line.excluded,
        "failures": line.failures,
        "calls": line.calls(),
        "lost": line.lost(),
        "late": line.late(),
        "call_ns": percentiles(line, CALL),
        "response_ns": percentiles(line, RESPONSE),
        "events_per_second": line.throughput(),
        "rounds": rounds.collect::<Vec<_>>(),
    })
}

fn percentiles(line: &Line, of: Of) -> Option<Value> {
    Some(json!({
        "p50": line.permille(of, 500)?,
        "p99": line.permille(of, 990),
        "p99.9": line.permille(of, 999),
        "max": line.max(of),
        "p50_of_rounds": line.rounds(of, 500),
        "p99_of_rounds": line.rounds(of, 990),
        "p99.9_of_rounds": line.rounds(of, 999),
    }))
}

fn target(target: &Target) -> Value {
    json!({ "target": target, "verdict": target.verdict() })
}
