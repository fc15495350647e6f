//! Results as tables for a terminal.

use std::fmt::Write as _;

use crate::arguments::Arguments;
use crate::case::{ARRIVALS, Case, Effort, THREADS};
use crate::lock::version;
use crate::machine::Machine;
use crate::peers::{ALL, About, Format, Role};
use crate::results::{CALL, Line, RESPONSE, Results, label};
use crate::table::{Table, grouped};
use crate::targets::{Target, Unit, Verdict, targets};

/// A section, if there is something in it.
type Section = fn(&Results) -> Option<String>;

const SECTIONS: [Section; 9] = [burst, paced, threads, throughput, shutdown, stall, allocations, arrivals, disabled];

pub fn text(arguments: &Arguments, machine: &Machine, results: &Results) -> String {
    let mut text = format!(
        "\n{}\n{} run, {} round(s); figures in ns include reading the clock twice, {} ns\n",
        machine.line(),
        arguments.effort.name(),
        arguments.rounds,
        machine.clock_pair_ns,
    );
    for section in SECTIONS.iter().filter_map(|section| section(results)) {
        text.push('\n');
        text.push_str(&section);
    }
    if arguments.peers.iter().any(|about| about.format == Format::Plain) {
        text.push_str("\n* no fields: they are part of the message\n");
    }
    text.extend(against_targets(results).map(|targets| format!("\n{targets}")));
    if let Some(caveat) = caveat(arguments.effort, &arguments.peers) {
        writeln!(text, "{caveat}").expect("a string takes everything");
    }
    text
}

/// Who takes part, and how.
pub fn list() -> String {
    let mut text = String::new();
    for about in ALL {
        let versions: Vec<_> = about.crates.iter().map(|name| format!("{name} {}", version(name))).collect();
        let format = match about.format {
            Format::Json => "JSON",
            Format::Text => "text",
            Format::Plain => "text without fields",
        };
        writeln!(text, "{:<16} {}; {format}\n{:<16} {}", about.name, versions.join(", "), "", about.setting)
            .expect("a string takes everything");
    }
    text
}

fn burst(results: &Results) -> Option<String> {
    calls(results, Case::Burst, "Bursts of 1000 calls, 1 thread: ns per call")
}

fn paced(results: &Results) -> Option<String> {
    calls(results, Case::Paced, "One call per 50 µs, 1 thread: ns per call")
}

fn calls(results: &Results, case: Case, title: &str) -> Option<String> {
    let table = Table::new(["", "p50", "p99", "p99.9", "p50 of the rounds", "lost"]);
    section(title, table, results.lines(case), |line| {
        let [p50, p99, p999] = [500, 990, 999].map(|permille| nanos(line.permille(CALL, permille)));
        [label(line.about), p50, p99, p999, spread(&line.rounds(CALL, 500)), lost(line)]
    })
}

fn threads(results: &Results) -> Option<String> {
    let mut text = String::new();
    for (permille, name) in [(500, "p50"), (999, "p99.9")] {
        let title = format!("Bursts of 1000 calls by each of 1 to 16 threads: {name} in ns per call");
        let mut table = Table::new(["", "1", "2", "4", "8", "16", "lost in all"]);
        let named = THREADS.iter().map(|count| results.lines(Case::Threads(*count))).find(|lines| !lines.is_empty())?;
        for about in named.iter().map(|line| line.about) {
            let lines = THREADS.map(|count| results.line(Case::Threads(count), about.name));
            let [one, two, four, eight, sixteen] = lines.map(|line| match line {
                Some(line) if !line.failures.is_empty() => "failed".to_owned(),
                line => nanos(line.and_then(|line| line.permille(CALL, permille))),
            });
            let lines = || lines.iter().flatten();
            let lost = lost_of(lines().map(|line| line.lost()).sum(), lines().map(|line| line.calls()).sum(), 0);
            table.row([label(about), one, two, four, eight, sixteen, lost]);
        }
        write!(text, "{}{title}\n{}", if text.is_empty() { "" } else { "\n" }, table.text())
            .expect("a string takes everything");
    }
    Some(text)
}

fn throughput(results: &Results) -> Option<String> {
    let mut text = String::new();
    for threads in [1, 2] {
        let title = format!("From the first call until the file is complete, {threads} thread(s)");
        let table = Table::new(["", "M events/s", "of the rounds", "peak MiB", "lost"]);
        let section = section(&title, table, results.lines(Case::Throughput(threads)), |line| {
            let of = |seconds: f64, calls: u64| calls as f64 / seconds / 1e6;
            let rounds: Vec<f64> =
                line.outcomes.iter().filter_map(|outcome| Some(of(outcome.seconds?, outcome.calls))).collect();
            let peak = line.median(|outcome| Some(outcome.peak_kib? as f64 / 1024.0));
            let millions = line.throughput().map(|events| events / 1e6);
            [label(line.about), fixed(millions, 2), between(&rounds, 2), fixed(peak, 1), lost(line)]
        });
        text.extend(section.map(|section| if text.is_empty() { section } else { format!("\n{section}") }));
    }
    (!text.is_empty()).then_some(text)
}

fn shutdown(results: &Results) -> Option<String> {
    let table = Table::new(["", "ms", "of the rounds", "lost"]);
    section("Shutdown with 100,000 events queued, into a pipe", table, results.lines(Case::Shutdown), |line| {
        let millis: Vec<f64> = line.outcomes.iter().filter_map(|outcome| Some(outcome.seconds? * 1e3)).collect();
        let median = line.median(|outcome| Some(outcome.seconds? * 1e3));
        [label(line.about), fixed(median, 0), between(&millis, 0), lost(line)]
    })
}

fn stall(results: &Results) -> Option<String> {
    let table = Table::new(["", "p50", "p99.9", "longest call", "response p99", "lost"]);
    let title = "One call per 20 µs while the sink stalls for 1 s: per call, and from when it was due (response)";
    section(title, table, results.lines(Case::Stall), |line| {
        let [p50, p999] = [500, 999].map(|permille| duration(line.permille(CALL, permille)));
        let response = duration(line.permille(RESPONSE, 990));
        [label(line.about), p50, p999, duration(line.max(CALL)), response, lost(line)]
    })
}

fn allocations(results: &Results) -> Option<String> {
    let table = Table::new(["", "per event", "lost"]);
    let title = "Allocations of the whole process, steady state";
    section(title, table, results.lines(Case::Allocations), |line| {
        [label(line.about), fixed(line.median(|outcome| outcome.allocations), 3), lost(line)]
    })
}

fn arrivals(results: &Results) -> Option<String> {
    let mut text = String::new();
    for rate in ARRIVALS {
        let title = format!("{} calls a second on a schedule: from when each was due until it returned", grouped(rate));
        let table = Table::new(["", "p50", "p99", "p99.9", "achieved/s", "lost"]);
        let section = section(&title, table, results.lines(Case::Arrival(rate)), |line| {
            let [p50, p99, p999] = [500, 990, 999].map(|permille| duration(line.permille(RESPONSE, permille)));
            let achieved = line.median(|outcome| outcome.achieved).map_or(dash(), |rate| grouped(rate.round() as u64));
            [label(line.about), p50, p99, p999, achieved, lost(line)]
        });
        text.extend(section.map(|section| if text.is_empty() { section } else { format!("\n{section}") }));
    }
    (!text.is_empty()).then_some(text)
}

fn disabled(results: &Results) -> Option<String> {
    let line = results.ours(Case::Disabled)?;
    let figure = fixed(line.median(|outcome| outcome.disabled), 2);
    Some(format!("A call that logweir's filter keeps out: {figure} ns over an empty loop\n"))
}

fn section<const N: usize>(
    title: &str,
    mut table: Table,
    lines: &[Line],
    cells: impl Fn(&Line) -> [String; N],
) -> Option<String> {
    for line in lines {
        match (line.excluded, line.outcomes.is_empty()) {
            (Some(why), _) => table.remark(label(line.about), format!("n/a: {why}")),
            (None, true) => table.remark(label(line.about), failed(line)),
            (None, false) => table.row(cells(line)),
        }
    }
    (!lines.is_empty()).then(|| format!("{title}\n{}", table.text()))
}

fn failed(line: &Line) -> String {
    let why = line.failures.first().map_or("not run", String::as_str);
    let short: String = why.chars().take(60).collect();
    format!("failed: {short}")
}

/// Those for which something was measured.
fn against_targets(results: &Results) -> Option<String> {
    let targets: Vec<Target> = targets(results).into_iter().filter(|target| target.ours.is_some()).collect();
    if targets.is_empty() {
        return None;
    }
    let mut table = Table::new(["", "logweir", "held against", "", "measured", "target", "stretch", ""]);
    for target in targets {
        let (against, figure) = target.against.as_ref().map_or((String::new(), String::new()), |against| {
            (against.name.clone(), amount(Some(against.figure), target.unit))
        });
        let verdict = match target.verdict() {
            Verdict::Stretch => "met, stretch",
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "not measured",
        };
        let [measured, bound, stretch] =
            [target.measured, Some(target.target), Some(target.stretch)].map(|value| judged(&target, value));
        let ours = amount(target.ours, target.unit);
        table.row([target.what.to_owned(), ours, against, figure, measured, bound, stretch, verdict.to_owned()]);
    }
    Some(format!("{TARGETS}\n{}{HELD_AGAINST}", table.text()))
}

/// What the tables are to be read with.
fn caveat(effort: Effort, peers: &[&About]) -> Option<&'static str> {
    if !peers.iter().any(|about| about.role == Role::Ours) {
        return Some("logweir was not measured: there is nothing to hold against the targets.");
    }
    (effort == Effort::Short).then_some("A short run is a look: what is to be quoted, or judged, needs --full.")
}

const TARGETS: &str = "logweir's targets; figures are medians of the rounds";

const HELD_AGAINST: &str =
    "  Held against the best peer that lost nothing on that line; for the file, the best that writes JSON. Not against
  ticklog: it has no fields and a buffer for each thread, and shows how fast less can be. A further target, metrics and
  accounting at under 5 % of the call, is not measured by this program.
";

fn judged(target: &Target, value: Option<f64>) -> String {
    match (target.is_ratio, value) {
        (true, Some(value)) => format!("{value:.2} x"),
        (_, value) => amount(value, target.unit),
    }
}

fn amount(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (None, _) => dash(),
        (Some(value), Unit::Nanoseconds) if value < 10.0 => format!("{value:.2} ns"),
        (Some(value), Unit::Nanoseconds) => format!("{} ns", grouped(value.round() as u64)),
        (Some(value), Unit::EventsPerSecond) => format!("{:.2} M/s", value / 1e6),
        (Some(value), Unit::PerEvent) => format!("{value:.3}"),
    }
}

fn nanos(value: Option<u64>) -> String {
    value.map_or(dash(), grouped)
}

/// For columns whose figures lie far apart.
fn duration(nanos: Option<u64>) -> String {
    match nanos {
        None => dash(),
        Some(nanos @ ..10_000) => format!("{} ns", grouped(nanos)),
        Some(nanos @ ..10_000_000) => format!("{} µs", grouped(nanos / 1000)),
        Some(nanos) => format!("{} ms", grouped(nanos / 1_000_000)),
    }
}

fn spread(values: &[f64]) -> String {
    between(values, 0)
}

fn between(values: &[f64], decimals: usize) -> String {
    let low = values.iter().copied().min_by(f64::total_cmp);
    let high = values.iter().copied().max_by(f64::total_cmp);
    match (low, high) {
        (Some(low), Some(high)) => format!("{low:.decimals$} to {high:.decimals$}"),
        _ => dash(),
    }
}

fn fixed(value: Option<f64>, decimals: usize) -> String {
    value.map_or(dash(), |value| format!("{value:.decimals$}"))
}

fn lost(line: &Line) -> String {
    let lost = lost_of(line.lost(), line.calls(), line.late());
    match line.failures.len() {
        0 => lost,
        count => format!("{lost} ({count} failed)"),
    }
}

fn lost_of(lost: u64, calls: u64, late: u64) -> String {
    let percent = lost as f64 * 100.0 / calls.max(1) as f64;
    let percent = if percent < 0.1 { "under 0.1 %".to_owned() } else { format!("{percent:.1} %") };
    match (lost, late) {
        (0, _) => "0".to_owned(),
        (lost, 0) => format!("{} ({percent})", grouped(lost)),
        (lost, late) => format!("{} ({percent}; {} came late)", grouped(lost), grouped(late)),
    }
}

fn dash() -> String {
    "-".to_owned()
}
