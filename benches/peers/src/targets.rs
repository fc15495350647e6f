//! The targets that logweir has set itself, and what was measured. Pure.

use serde::Serialize;

use crate::case::Case;
use crate::peers::Format;
use crate::results::{CALL, Line, Results};
use crate::stats::median;

#[derive(Debug, Serialize)]
pub struct Target {
    pub what: &'static str,
    /// Measured, of logweir; `None` if it was not measured.
    pub ours: Option<f64>,
    pub against: Option<Against>,
    pub unit: Unit,
    /// Whether the ratio to what it is held against is judged, or the figure itself.
    pub is_ratio: bool,
    pub measured: Option<f64>,
    pub target: f64,
    pub stretch: f64,
    pub more_is_better: bool,
}

#[derive(Debug, Serialize)]
pub struct Against {
    pub name: String,
    pub figure: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Nanoseconds,
    EventsPerSecond,
    PerEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Stretch,
    Met,
    Missed,
    NotMeasured,
}

impl Target {
    pub fn verdict(&self) -> Verdict {
        let reaches =
            |measured: f64, bound: f64| if self.more_is_better { measured >= bound } else { measured <= bound };
        match self.measured {
            None => Verdict::NotMeasured,
            Some(measured) if reaches(measured, self.stretch) => Verdict::Stretch,
            Some(measured) if reaches(measured, self.target) => Verdict::Met,
            Some(_) => Verdict::Missed,
        }
    }
}

type Figure = fn(&Line) -> Option<f64>;

const P50: Figure = |line| median(line.rounds(CALL, 500));
const P999: Figure = |line| median(line.rounds(CALL, 999));
const THROUGHPUT: Figure = Line::throughput;

/// All figures are medians of the rounds.
pub fn targets(results: &Results) -> Vec<Target> {
    let one = results.ours(Case::Threads(1));
    let four = results.ours(Case::Threads(4)).and_then(P50);
    let own = one.and_then(P50).map(|figure| Against { name: "itself, 1 thread".to_owned(), figure });
    let fast_log = results.line(Case::Threads(4), "fast_log");
    let fast_log = fast_log.and_then(P50).map(|figure| Against { name: "fast_log *".to_owned(), figure });
    vec![
        best(results, "burst, 1 thread, p50", Case::Burst, P50, [0.30, 0.15]),
        best(results, "one per 50 µs, p50", Case::Paced, P50, [0.10, 0.05]),
        best(results, "one per 50 µs, p99.9", Case::Paced, P999, [0.20, 0.10]),
        ratio("4 threads, p50", four, own, [1.2, 1.0]),
        ratio("4 threads, p50", four, fast_log, [0.5, 0.25]),
        through_tracing(results, "through tracing, burst, p50", Case::Burst),
        through_tracing(results, "through tracing, one per 50 µs, p50", Case::Paced),
        throughput(results, "to a JSON file, 1 thread", Case::Throughput(1)),
        throughput(results, "to a JSON file, 2 threads", Case::Throughput(2)),
        absolute(
            "allocations per event",
            Unit::PerEvent,
            results.ours(Case::Allocations).and_then(|line| line.median(|outcome| outcome.allocations)),
            [0.05, 0.035],
        ),
        absolute(
            "disabled level over empty loop",
            Unit::Nanoseconds,
            results.ours(Case::Disabled).and_then(|line| line.median(|outcome| outcome.disabled)),
            [1.0, 0.3],
        ),
    ]
}

fn best(results: &Results, what: &'static str, case: Case, figure: Figure, bounds: [f64; 2]) -> Target {
    let rivals = results.lines(case).iter().filter(|line| line.is_rival());
    let best = rivals.filter_map(|line| Some((line, figure(line)?))).min_by(|(_, a), (_, b)| a.total_cmp(b));
    ratio(what, results.ours(case).and_then(figure), best.map(against), bounds)
}

/// Behind the same call sites, against what usually stands there.
fn through_tracing(results: &Results, what: &'static str, case: Case) -> Target {
    let figure = |name| results.line(case, name).and_then(P50);
    let against = figure("tracing-json").map(|figure| Against { name: "tracing-json".to_owned(), figure });
    ratio(what, figure("logweir-tracing"), against, [0.2, 0.1])
}

/// Among those who write JSON, too.
fn throughput(results: &Results, what: &'static str, case: Case) -> Target {
    let rivals = results.lines(case).iter().filter(|line| line.is_rival() && line.about.format == Format::Json);
    let best = rivals.filter_map(|line| Some((line, THROUGHPUT(line)?))).max_by(|(_, a), (_, b)| a.total_cmp(b));
    let target = ratio(what, results.ours(case).and_then(THROUGHPUT), best.map(against), [3.0, 6.0]);
    Target { unit: Unit::EventsPerSecond, more_is_better: true, ..target }
}

fn against((line, figure): (&Line, f64)) -> Against {
    Against { name: crate::results::label(line.about), figure }
}

fn ratio(what: &'static str, ours: Option<f64>, against: Option<Against>, [target, stretch]: [f64; 2]) -> Target {
    let measured = ours.zip(against.as_ref()).map(|(ours, against)| ours / against.figure);
    Target {
        what,
        ours,
        against,
        unit: Unit::Nanoseconds,
        is_ratio: true,
        measured,
        target,
        stretch,
        more_is_better: false,
    }
}

fn absolute(what: &'static str, unit: Unit, ours: Option<f64>, [target, stretch]: [f64; 2]) -> Target {
    Target { what, ours, against: None, unit, is_ratio: false, measured: ours, target, stretch, more_is_better: false }
}
