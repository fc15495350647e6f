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
//! * Text outside the grammar is an error that names the directive and its column; from the environment, it is skipped
//!   and reported.
//! * Sampling comes after the filter, and applies to one call for all loggers.
//!
//! Next: `context` adds the fields of the scope, as the event enters `queue`.
//!
//! The syntax of directives is in `directive`, variables of the environment in `env`, the cached decision in `cell`, and a rule
//! of sampling in `sampler` (with its prefix in `macros`).

mod cell;
mod directive;
mod env;
mod nearest;
pub(crate) mod sampler;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

pub(crate) use cell::FilterCell;
use directive::{Invalid, Reason};
pub use env::{EnvFilterError, FilterFromEnv};
#[cfg(feature = "config")]
pub(crate) use nearest::nearest;

use crate::event::{Level, LevelFilter};
use crate::format::plain::Foreign;

/// A filter of events, by target and level.
///
/// Parsed from text: directives `[target][=level]`, separated by commas. A bare level sets the default; a bare target
/// means `trace`, and so does a target without a level (`app=`). The directive with the longest target that the event's
/// target starts with decides (as in `env_logger`). Without a default, other targets are off. Levels are `trace debug
/// info warn error fatal off`, in any case.
///
/// ```
/// use logweir::filter::Filter;
///
/// let filter: Filter = "info,hyper=warn,checkout::db=trace".parse()?;
///
/// let error = "info,my-crate=debug".parse::<Filter>().expect_err("no module has this path");
/// assert_eq!((error.directive(), error.suggestion()), ("my-crate=debug", Some("my_crate=debug")));
/// # Ok::<(), logweir::filter::ParseFilterError>(())
/// ```
///
/// Text that can match no event is an error with a suggestion: quotes around the filter, `warning`, `none`, `*=debug`,
/// `info;app=debug`, a byte order mark, a target with a `-`. So is a bare word that is nearly a level (`debgu`): with a
/// level, it is a target (`debgu=trace`). A target in quotes is taken as it is, for events with a target of their own:
/// `"my-crate"=debug`.
///
/// Every method that takes a filter takes text, a `Filter`, a [`Level`] or a [`LevelFilter`]. From the environment, see
/// [`Filter::from_env`], directives that are not supported are skipped instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    default: LevelFilter,
    /// Longest target first, so that the first match decides.
    directives: Vec<(String, LevelFilter)>,
}

impl Filter {
    fn new(default: LevelFilter, mut directives: Vec<(String, LevelFilter)>) -> Self {
        directives.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Filter { default, directives }
    }

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

/// Passes every event that the threshold allows, for any target.
impl From<LevelFilter> for Filter {
    fn from(threshold: LevelFilter) -> Self {
        Filter { default: threshold, directives: Vec::new() }
    }
}

impl From<&Filter> for Filter {
    fn from(filter: &Filter) -> Self {
        filter.clone()
    }
}

impl TryFrom<&str> for Filter {
    type Error = ParseFilterError;

    fn try_from(text: &str) -> Result<Self, ParseFilterError> {
        text.parse()
    }
}

impl TryFrom<&String> for Filter {
    type Error = ParseFilterError;

    fn try_from(text: &String) -> Result<Self, ParseFilterError> {
        text.parse()
    }
}

impl TryFrom<String> for Filter {
    type Error = ParseFilterError;

    fn try_from(text: String) -> Result<Self, ParseFilterError> {
        text.parse()
    }
}

impl FromStr for Filter {
    type Err = ParseFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Directives { default, targets, mut invalid } = Directives::read(text);
        if invalid.is_empty() {
            return Ok(Filter::new(default.unwrap_or(LevelFilter::Off), targets));
        }
        Err(invalid.swap_remove(0))
    }
}

/// The directives of a text: those that can be used, and the others.
struct Directives {
    default: Option<LevelFilter>,
    /// Each target once: the last directive for it wins.
    targets: Vec<(String, LevelFilter)>,
    invalid: Vec<ParseFilterError>,
}

impl Directives {
    fn read(text: &str) -> Self {
        let mut read = Directives { default: None, targets: Vec::new(), invalid: Vec::new() };
        let fail = |directive: &str, start, Invalid { reason, suggestion }| ParseFilterError {
            directive: directive.to_owned(),
            column: start + 1,
            reason,
            suggestion,
        };
        if let Some(inner) = directive::unquoted(text) {
            let suggestion = Some(inner.to_owned()).filter(|inner| !inner.trim().is_empty());
            let start = text.len() - text.trim_start().len();
            read.invalid.push(fail(text.trim(), start, Invalid { reason: Reason::Quotes, suggestion }));
            return read;
        }
        for (start, part) in directive::split(text) {
            let start = start + part.len() - part.trim_start().len();
            match directive::parse(part.trim()) {
                Ok(None) => {}
                Ok(Some((None, threshold))) => read.default = Some(threshold),
                Ok(Some((Some(target), threshold))) => {
                    read.targets.retain(|(other, _)| *other != target);
                    read.targets.push((target, threshold));
                }
                Err(invalid) => read.invalid.push(fail(part.trim(), start, invalid)),
            }
        }
        if read.default.is_none() && read.targets.is_empty() && read.invalid.is_empty() {
            read.invalid.push(fail(text, 0, Invalid { reason: Reason::Empty, suggestion: None }));
        }
        read
    }

    /// Reads what can be used of a text that other programs read too. Directives before a pattern are used.
    fn read_usable(text: &str) -> Self {
        match directive::pattern(text) {
            None => Directives::read(text),
            Some(at) => {
                let (directives, pattern) = text.split_at(at);
                let mut read = Directives::read(directives);
                read.invalid.retain(|error| error.reason != Reason::Empty);
                read.invalid.push(ParseFilterError {
                    directive: pattern.trim_end().to_owned(),
                    column: at + 1,
                    reason: Reason::Pattern,
                    suggestion: None,
                });
                read
            }
        }
    }

    /// The filter of the usable directives, if there is one. If others were skipped and no level is left for targets
    /// without a directive, theirs is that of `before`: what was skipped must not turn them off.
    fn over(self, before: &Filter) -> (Option<Filter>, Vec<ParseFilterError>) {
        let Directives { default, targets, invalid } = self;
        let is_usable = default.is_some() || !targets.is_empty();
        let rest = if invalid.is_empty() { LevelFilter::Off } else { before.default };
        let filter = is_usable.then(|| Filter::new(default.unwrap_or(rest), targets));
        (filter, invalid)
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
        self.directives.iter().try_for_each(|(target, threshold)| match target {
            target if directive::is_plain(target) => write!(f, ",{target}={threshold}"),
            target if target.contains('"') => write!(f, ",'{target}'={threshold}"),
            target => write!(f, ",\"{target}\"={threshold}"),
        })
    }
}

/// The text of a filter does not follow the grammar of [`Filter`]. The message has the directive, its column, the
/// reason and, if there is one, a suggestion.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseFilterError {
    directive: String,
    column: usize,
    reason: Reason,
    suggestion: Option<String>,
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

    /// Returns what was probably meant, to be written in place of the directive.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directive, column, reason, suggestion } = self;
        let expected = "expected `[target][=level]`";
        match reason {
            Reason::Empty => {
                let text = Foreign(directive);
                write!(f, "no filter directive in `{text}` from column {column} on; {expected}, separated by commas")
            }
            _ => write!(f, "filter directive `{}` at column {column}: ", Foreign(directive)),
        }?;
        match reason {
            Reason::Empty => Ok(()),
            Reason::Span => write!(f, "span and field directives are not supported; {expected}"),
            Reason::Pattern => write!(f, "message patterns are not supported; {expected}"),
            Reason::Blank => f.write_str("a target has no blanks; separate directives by commas"),
            Reason::Level(level) => {
                let level = Foreign(level);
                write!(f, "`{level}` is not a level; expected trace, debug, info, warn, error, fatal or off")
            }
            Reason::Quotes => f.write_str("quotes are not part of a filter"),
            Reason::Invisible => f.write_str("it has an invisible character, such as a byte order mark"),
            Reason::Separator(separator) => write!(f, "directives are separated by commas, not by `{separator}`"),
            Reason::Wildcard => f.write_str("a target has no `*`: it matches every target that begins with it"),
            Reason::VariableName => f.write_str("the name of the variable is not part of a filter"),
            Reason::Character(c) => {
                write!(f, "a target has no `{c}`; if an event has this very target, write it in quotes, with a level")
            }
            Reason::Dash => {
                let (target, level) = directive.split_once('=').unwrap_or((directive, "trace"));
                let (target, level) = (Foreign(target.trim()), Foreign(level.trim()));
                write!(
                    f,
                    "no module has a `-` in its path; if an event has this very target, write `\"{target}\"={level}`"
                )
            }
            Reason::Colon => f.write_str("a target and its level are separated by `=`"),
            Reason::Keyword => f.write_str("no module path begins like this; expected the name of the crate"),
            Reason::Word => {
                let word = Foreign(directive);
                write!(f, "it is not a level; if it is a target, write `{word}=trace`")
            }
        }?;
        match suggestion {
            Some(suggestion) => write!(f, "; did you mean `{}`?", Foreign(suggestion)),
            None => Ok(()),
        }
    }
}

/// Like `Display`.
impl fmt::Debug for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ParseFilterError {}

/// A [`Filter`] becomes a filter without an error.
impl From<Infallible> for ParseFilterError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

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
