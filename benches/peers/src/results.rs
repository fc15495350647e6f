//! What was measured, and the figures taken from it. Pure.

use crate::case::Case;
use crate::peers::{About, Error, Format, Role};
use crate::scenario::Outcome;
use crate::stats::{Samples, median};

pub struct Results(pub Vec<(Case, Vec<Line>)>);

/// One peer in one case, all rounds.
pub struct Line {
    pub about: &'static About,
    /// Why it does not take part.
    pub excluded: Option<&'static str>,
    pub outcomes: Vec<Outcome>,
    pub failures: Vec<String>,
}

/// Of which calls the time is taken.
pub type Of = fn(&Outcome) -> &Samples;

pub const CALL: Of = |outcome| &outcome.nanos;
pub const RESPONSE: Of = |outcome| &outcome.response;

impl Line {
    pub fn new(about: &'static About, excluded: Option<&'static str>) -> Self {
        Line { about, excluded, outcomes: Vec::new(), failures: Vec::new() }
    }

    pub fn add(&mut self, outcome: Result<Outcome, Error>) {
        match outcome {
            Ok(outcome) => self.outcomes.push(outcome),
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    /// From the samples of all rounds together.
    pub fn permille(&self, of: Of, permille: u64) -> Option<u64> {
        Samples::merged(self.outcomes.iter().map(of)).permille(permille)
    }

    pub fn max(&self, of: Of) -> Option<u64> {
        self.outcomes.iter().filter_map(|outcome| of(outcome).max()).max()
    }

    /// Of each round by itself.
    pub fn rounds(&self, of: Of, permille: u64) -> Vec<f64> {
        self.outcomes.iter().filter_map(|outcome| of(outcome).permille(permille)).map(|nanos| nanos as f64).collect()
    }

    pub fn median(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        median(self.outcomes.iter().filter_map(figure))
    }

    pub fn calls(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.calls).sum()
    }

    /// Calls without a line when the shutdown had returned.
    pub fn lost(&self) -> u64 {
        self.outcomes.iter().map(Outcome::lost).sum()
    }

    /// Those among them whose line came after all, in a process that lived on.
    pub fn late(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.late).sum()
    }

    /// Events a second.
    pub fn throughput(&self) -> Option<f64> {
        self.median(|outcome| outcome.seconds.map(|seconds| outcome.calls as f64 / seconds))
    }

    /// Whether it counts as a lossless peer here: a line for every call, in every round.
    pub fn is_rival(&self) -> bool {
        self.about.role == Role::Peer && !self.outcomes.is_empty() && self.failures.is_empty() && self.lost() == 0
    }
}

impl Results {
    pub fn lines(&self, case: Case) -> &[Line] {
        self.0.iter().find(|(other, _)| *other == case).map_or(&[], |(_, lines)| lines)
    }

    pub fn line(&self, case: Case, name: &str) -> Option<&Line> {
        self.lines(case).iter().find(|line| line.about.name == name)
    }

    pub fn ours(&self, case: Case) -> Option<&Line> {
        self.lines(case).iter().find(|line| line.about.role == Role::Ours)
    }
}

/// Its name in the tables.
pub fn label(about: &About) -> String {
    let mark = if about.format == Format::Plain { " *" } else { "" };
    format!("{}{mark}", about.name)
}
