//! Any thread: which events pass, by target and level, and which calls the sampling lets pass.
//!
//! In: `builder`, `config` and `logger` parse filters from text or from the environment (`env`). `logger` replaces the
//! filter at run time, permanently or for a time, which the flush task of `runtime` keeps.
//!
//! Out: a decision for each log call, through `logger`: from a byte of the cell, or from the call site of `event`,
//! where the decision is cached. `pipeline` applies a filter of its own to each sink.
//!
//! Invariants:
//! * A decision is that of one filter, never a mixture of two (`cell`).
//! * Text outside the grammar is an error that names the directive and its column.
//! * Sampling comes after the filter, and applies to one call for all loggers.
//!
//! Next: `context` adds the fields of the scope, as the event enters `queue`.
//!
//! The syntax of directives is here, variables of the environment in `env`, the cached decision in `cell`, and a rule
//! of sampling in `sampler` (with its prefix in `macros`).

mod cell;
mod env;
pub(crate) mod sampler;

use std::fmt;
use std::str::FromStr;

pub(crate) use cell::FilterCell;
pub use env::EnvFilterError;

use crate::event::{Level, LevelFilter};

/// A filter of events, by target and level.
///
/// Parsed from text: directives `[target][=level]`, separated by commas. A bare level sets the default; a bare target
/// means `trace`. The directive with the longest target that the event's target starts with decides (as in
/// `env_logger`). Without a default, other targets are off. Levels are `trace debug info warn error fatal off`, in any
/// case.
///
/// ```
/// let filter: logweir::filter::Filter = "info,hyper=warn,checkout::db=trace".parse()?;
/// # Ok::<(), logweir::filter::ParseFilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    default: LevelFilter,
    /// Longest target first, so that the first match decides.
    directives: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// Returns whether an event of this level and target passes.
    ///
    /// ```
    /// use logweir::{Level, filter::Filter};
    ///
    /// let filter: Filter = "info,hyper=warn".parse()?;
    /// assert!(filter.allows(Level::Info, "checkout") && !filter.allows(Level::Info, "hyper::client"));
    /// # Ok::<(), logweir::filter::ParseFilterError>(())
    /// ```
    pub fn allows(&self, level: Level, target: &str) -> bool {
        self.threshold(target).allows(level)
    }

    pub(crate) fn threshold(&self, target: &str) -> LevelFilter {
        let decided = self.directives.iter().find(|(prefix, _)| target.starts_with(prefix.as_str()));
        decided.map_or(self.default, |(_, threshold)| *threshold)
    }

    /// Returns the lowest threshold of all targets.
    pub(crate) fn lowest(&self) -> LevelFilter {
        self.directives.iter().map(|(_, threshold)| *threshold).fold(self.default, LevelFilter::min)
    }

    /// Returns the highest threshold of all targets.
    pub(crate) fn highest(&self) -> LevelFilter {
        self.directives.iter().map(|(_, threshold)| *threshold).fold(self.default, LevelFilter::max)
    }
}

/// Passes every event from `level` up, for any target.
impl From<Level> for Filter {
    fn from(level: Level) -> Self {
        Filter { default: level.into(), directives: Vec::new() }
    }
}

impl FromStr for Filter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut default = None;
        let mut directives: Vec<(String, LevelFilter)> = Vec::new();
        let mut start = 0;
        for part in text.split(',') {
            let blanks = part.len() - part.trim_start().len();
            let fail = |reason| ParseFilterError { directive: part.trim().into(), column: start + blanks + 1, reason };
            match parse_directive(part.trim()).map_err(fail)? {
                None => {}
                Some((None, threshold)) => default = Some(threshold),
                Some((Some(target), threshold)) => {
                    // The last of two directives for one target wins.
                    directives.retain(|(other, _)| other != target);
                    directives.push((target.into(), threshold));
                }
            }
            start += part.len() + 1;
        }
        if default.is_none() && directives.is_empty() {
            return Err(ParseFilterError { directive: text.into(), column: 1, reason: Reason::Empty });
        }
        directives.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(Filter { default: default.unwrap_or(LevelFilter::Off), directives })
    }
}

/// Writes the filter as it is parsed: the default first, then each target with its level.
///
/// ```
/// let filter: logweir::filter::Filter = "hyper=WARN, info, checkout".parse()?;
/// assert_eq!(filter.to_string(), "info,checkout=trace,hyper=warn");
/// # Ok::<(), logweir::filter::ParseFilterError>(())
/// ```
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.default.as_str())?;
        self.directives.iter().try_for_each(|(target, threshold)| write!(f, ",{target}={threshold}"))
    }
}

fn parse_directive(text: &str) -> Result<Option<(Option<&str>, LevelFilter)>, Reason> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(['[', ']', '{', '}']) {
        return Err(Reason::Span);
    }
    if text.contains('/') {
        return Err(Reason::Regex);
    }
    match text.split_once('=') {
        None => match text.parse() {
            Ok(threshold) => Ok(Some((None, threshold))),
            Err(_) if text.contains(char::is_whitespace) => Err(Reason::Blank),
            Err(_) => Ok(Some((Some(text), LevelFilter::Trace))),
        },
        Some((target, level)) => {
            let (target, level) = (target.trim(), level.trim());
            let threshold = level.parse().map_err(|_| Reason::Level(level.into()))?;
            if target.contains(char::is_whitespace) {
                return Err(Reason::Blank);
            }
            Ok(Some(((!target.is_empty()).then_some(target), threshold)))
        }
    }
}

/// The text of a filter does not follow the grammar. The message has the directive, its column and the allowed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFilterError {
    directive: String,
    column: usize,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Empty,
    Span,
    Regex,
    Blank,
    Level(String),
}

impl ParseFilterError {
    /// Returns the directive with the error.
    pub fn directive(&self) -> &str {
        &self.directive
    }

    /// Returns where it begins: the byte in the text, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason == Reason::Empty {
            let Self { directive, column, .. } = self;
            return write!(
                f,
                "no filter directive in `{directive}` from column {column} on; expected `[target][=level]`, separated by \
                 commas"
            );
        }
        write!(f, "filter directive `{}` at column {}: ", self.directive, self.column)?;
        match &self.reason {
            Reason::Empty => Ok(()),
            Reason::Span => f.write_str("span and field directives are not supported; expected `[target][=level]`"),
            Reason::Regex => f.write_str("message patterns are not supported; expected `[target][=level]`"),
            Reason::Blank => f.write_str("a target has no blanks; separate directives by commas"),
            Reason::Level(level) => {
                write!(f, "`{level}` is not a level; expected trace, debug, info, warn, error, fatal or off")
            }
        }
    }
}

impl std::error::Error for ParseFilterError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold(filter: &str, target: &str) -> LevelFilter {
        filter.parse::<Filter>().expect(filter).threshold(target)
    }

    #[test]
    fn the_longest_target_that_fits_decides() {
        let filter = "info,hyper=warn,hyper::client=trace,noise=off";
        assert_eq!(threshold(filter, "app"), LevelFilter::Info);
        assert_eq!(threshold(filter, "hyper::server"), LevelFilter::Warn);
        assert_eq!(threshold(filter, "hyper::client::pool"), LevelFilter::Trace);
        assert_eq!(threshold(filter, "noise"), LevelFilter::Off);
    }

    #[test]
    fn a_bare_target_means_trace_and_other_targets_are_off() {
        assert_eq!(threshold("app", "app::db"), LevelFilter::Trace);
        assert_eq!(threshold("app", "other"), LevelFilter::Off);
    }

    #[test]
    fn levels_are_read_in_any_case_and_blanks_around_directives_are_passed_over() {
        assert_eq!(threshold(" Info , app = FATAL ,", "app"), LevelFilter::Fatal);
        assert_eq!(threshold("=warn", "app"), LevelFilter::Warn);
    }

    #[test]
    fn the_last_of_two_directives_for_one_target_counts() {
        assert_eq!(threshold("app=warn,app=debug", "app"), LevelFilter::Debug);
    }

    #[test]
    fn a_wrong_directive_is_named_with_its_column() {
        for (text, directive, column) in [
            ("info, app=loud", "app=loud", 7),
            ("info,[span]=debug", "[span]=debug", 6),
            ("info/regex", "info/regex", 1),
            ("", "", 1),
            ("info app", "info app", 1),
        ] {
            let error = text.parse::<Filter>().expect_err(text);
            assert_eq!((error.directive(), error.column()), (directive, column), "{error}");
        }
    }
}
