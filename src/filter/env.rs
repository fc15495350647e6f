//! Any thread: a filter from the environment of the process.

use std::env::{self, VarError};
use std::error::Error;
use std::fmt;

use super::{Directives, Filter, ParseFilterError};
use crate::event::Level;
use crate::format::plain::Foreign;

/// The first of these that is set wins.
pub(super) const VARIABLES: [&str; 2] = ["LOGWEIR_LOG", "RUST_LOG"];

/// The skipped directives that a message has; further ones are only counted.
const MAX_SHOWN: usize = 5;

/// A filter from the environment; see [`Filter::from_env`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a filter does nothing until a logger has it"]
pub struct FilterFromEnv {
    /// The filter; `None` if no variable is set, or if it has no directive that can be used.
    pub filter: Option<Filter>,
    /// What was skipped, to be reported.
    pub skipped: Option<EnvFilterError>,
}

impl Filter {
    /// Reads the filter of the environment: `LOGWEIR_LOG`, or else `RUST_LOG`. A variable that is empty or blank counts
    /// as not set.
    ///
    /// Other programs read `RUST_LOG` too, so it may have directives that this crate does not support (spans, fields,
    /// patterns), or that are wrong. They are skipped and returned; the other directives make the filter. If something
    /// was skipped and no level is left for targets without a directive, they pass from `Info` up.
    ///
    /// [`Builder::filter_from_env`](crate::Builder::filter_from_env) does the same, and reports what was skipped.
    pub fn from_env() -> FilterFromEnv {
        Filter::from_env_over(&Filter::from(Level::Info))
    }

    /// The same over another filter, whose level targets without a directive keep if something was skipped.
    pub(crate) fn from_env_over(before: &Filter) -> FilterFromEnv {
        from(|variable| env::var(variable), before)
    }

    /// The same from the text of one variable.
    pub(crate) fn from_variable(variable: &str, text: &str, before: &Filter) -> FilterFromEnv {
        let (filter, skipped) = Directives::read_usable(text).over(before);
        let is_used = filter.is_some();
        let is_any = !skipped.is_empty();
        let error = EnvFilterError { variable: variable.to_owned(), skipped, is_used };
        FilterFromEnv { filter, skipped: is_any.then_some(error) }
    }
}

fn from(read: impl Fn(&str) -> Result<String, VarError>, before: &Filter) -> FilterFromEnv {
    for variable in VARIABLES {
        match read(variable) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => return Filter::from_variable(variable, &text, before),
            Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => {
                let error = EnvFilterError { variable: variable.to_owned(), skipped: Vec::new(), is_used: false };
                return FilterFromEnv { filter: None, skipped: Some(error) };
            }
        }
    }
    FilterFromEnv { filter: None, skipped: None }
}

/// What was skipped of a filter in a variable of the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvFilterError {
    variable: String,
    /// Empty if the variable is not Unicode.
    skipped: Vec<ParseFilterError>,
    /// Whether other directives of the variable are used.
    is_used: bool,
}

impl EnvFilterError {
    /// Returns the variable's name.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// Returns the skipped directives, in their order; none if the variable is not Unicode.
    pub fn skipped(&self) -> &[ParseFilterError] {
        &self.skipped
    }
}

impl fmt::Display for EnvFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.is_used { "the rest applies" } else { "the filter stays as it was" };
        write!(f, "environment variable `{}`: skipped, {rest}: ", Foreign(&self.variable))?;
        if self.skipped.is_empty() {
            return f.write_str("its value is not Unicode");
        }
        for (index, error) in self.skipped.iter().take(MAX_SHOWN).enumerate() {
            write!(f, "{}{error}", if index > 0 { "; " } else { "" })?;
        }
        match self.skipped.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Like `Display`.
impl fmt::Debug for EnvFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for EnvFilterError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter that these variables give, over `error`, and what was skipped.
    fn given(set: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
        let read = |name: &str| {
            let value = set.iter().find(|(variable, _)| *variable == name);
            value.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        let FilterFromEnv { filter, skipped } = from(read, &Filter::from(Level::Error));
        let skipped = skipped.iter().flat_map(EnvFilterError::skipped).map(|error| error.directive().to_owned());
        (filter.map(|filter| filter.to_string()), skipped.collect())
    }

    fn filter(set: &[(&str, &str)]) -> Option<String> {
        let (filter, skipped) = given(set);
        assert_eq!(skipped, [""; 0]);
        filter
    }

    #[test]
    fn our_own_variable_counts_before_the_common_one_and_blank_ones_are_not_set() {
        let [ours, common] = [("LOGWEIR_LOG", "debug"), ("RUST_LOG", "warn")];
        assert_eq!(filter(&[ours, common]), Some("debug".into()));
        assert_eq!(filter(&[common]), Some("warn".into()));
        assert_eq!(filter(&[("LOGWEIR_LOG", " "), common]), Some("warn".into()));
        assert_eq!(filter(&[("LOGWEIR_LOG", ""), ("RUST_LOG", "")]), None);
        assert_eq!(filter(&[]), None);
    }

    #[test]
    fn directives_that_are_not_supported_are_skipped_and_the_rest_applies() {
        for (text, expected, skipped) in [
            ("info,app[span]=debug", Some("info"), &["app[span]=debug"][..]),
            ("[s{a=1,b=2}]=trace,app=debug", Some("error,app=debug"), &["[s{a=1,b=2}]=trace"]),
            ("app=debug,warning", Some("error,app=debug"), &["warning"]),
            ("warn,app=debug/pat,tern", Some("warn,app=debug"), &["/pat,tern"]),
            ("\"info\"", None, &["\"info\""]),
            ("/pattern", None, &["/pattern"]),
            ("[a=debug,info", Some("info"), &["[a=debug"]),
        ] {
            let skipped: Vec<String> = skipped.iter().map(|directive| (*directive).to_owned()).collect();
            assert_eq!(given(&[("RUST_LOG", text)]), (expected.map(str::to_owned), skipped), "{text}");
        }
    }

    #[test]
    fn a_variable_without_a_usable_directive_does_not_fall_through_to_the_next_one() {
        let (filter, skipped) = given(&[("LOGWEIR_LOG", "[span]=debug"), ("RUST_LOG", "warn")]);
        assert_eq!((filter, skipped), (None, vec!["[span]=debug".into()]));
    }

    #[test]
    fn a_value_that_is_not_unicode_is_skipped_as_a_whole() {
        let given = from(|_| Err(VarError::NotUnicode("x".into())), &Filter::from(Level::Info));
        let error = given.skipped.expect("no text");
        assert_eq!((given.filter, error.variable(), error.skipped()), (None, "LOGWEIR_LOG", &[][..]));
        let said = "environment variable `LOGWEIR_LOG`: skipped, the filter stays as it was: its value is not Unicode";
        assert_eq!(error.to_string(), said);
    }
}
