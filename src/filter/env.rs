//! Any thread: a filter from the environment of the process.

use std::env::{self, VarError};
use std::error::Error;
use std::fmt;

use super::{Filter, ParseFilterError};

/// The first of these that is set wins.
const VARIABLES: [&str; 2] = ["LOGWEIR_LOG", "RUST_LOG"];

impl Filter {
    /// Reads the filter of the environment: `LOGWEIR_LOG`, or else `RUST_LOG`. None if neither is set; a variable that
    /// is empty or blank counts as not set.
    ///
    /// # Errors
    /// Returns an error that names the variable if it is not Unicode, or if a directive does not follow the grammar of
    /// [`Filter`]. Forms that other crates read from `RUST_LOG` (spans, fields, patterns) are errors and not skipped.
    pub fn from_env() -> Result<Option<Filter>, EnvFilterError> {
        from(|variable| env::var(variable))
    }
}

fn from(read: impl Fn(&str) -> Result<String, VarError>) -> Result<Option<Filter>, EnvFilterError> {
    for variable in VARIABLES {
        let fail = |problem| EnvFilterError { variable, problem };
        match read(variable) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => return text.parse().map(Some).map_err(|error| fail(EnvFilterErrorKind::Directive(error))),
            Err(VarError::NotPresent) => {}
            Err(error @ VarError::NotUnicode(_)) => return Err(fail(EnvFilterErrorKind::NotUnicode(error))),
        }
    }
    Ok(None)
}

/// A variable of the environment holds no valid filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFilterError {
    variable: &'static str,
    problem: EnvFilterErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EnvFilterErrorKind {
    NotUnicode(VarError),
    Directive(ParseFilterError),
}

impl EnvFilterError {
    /// Returns the variable's name.
    pub fn variable(&self) -> &str {
        self.variable
    }

    /// Returns the error in its text; none if it is not Unicode.
    pub fn parse_error(&self) -> Option<&ParseFilterError> {
        match &self.problem {
            EnvFilterErrorKind::Directive(error) => Some(error),
            EnvFilterErrorKind::NotUnicode(_) => None,
        }
    }
}

impl fmt::Display for EnvFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable `{}`: ", self.variable)?;
        match &self.problem {
            EnvFilterErrorKind::NotUnicode(error) => write!(f, "{error}"),
            EnvFilterErrorKind::Directive(error) => write!(f, "{error}"),
        }
    }
}

impl Error for EnvFilterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            EnvFilterErrorKind::NotUnicode(error) => Some(error),
            EnvFilterErrorKind::Directive(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter that these variables give, as it is shown.
    fn given(set: &[(&str, &str)]) -> Result<Option<String>, EnvFilterError> {
        let read = |name: &str| {
            let value = set.iter().find(|(variable, _)| *variable == name);
            value.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        from(read).map(|filter| filter.map(|filter| filter.to_string()))
    }

    #[test]
    fn our_own_variable_counts_before_the_common_one_and_blank_ones_are_not_set() {
        let [ours, common] = [("LOGWEIR_LOG", "debug"), ("RUST_LOG", "warn")];
        assert_eq!(given(&[ours, common]), Ok(Some("debug".into())));
        assert_eq!(given(&[common]), Ok(Some("warn".into())));
        assert_eq!(given(&[("LOGWEIR_LOG", " "), common]), Ok(Some("warn".into())));
        assert_eq!(given(&[("LOGWEIR_LOG", ""), ("RUST_LOG", "")]), Ok(None));
        assert_eq!(given(&[]), Ok(None));
    }

    #[test]
    fn a_wrong_directive_names_its_variable_and_does_not_fall_through_to_the_next_one() {
        let error = given(&[("LOGWEIR_LOG", "info,app[span]=debug"), ("RUST_LOG", "warn")]).expect_err("a span");
        assert_eq!(error.variable(), "LOGWEIR_LOG");
        let directive = error.parse_error().map(|error| (error.directive(), error.column()));
        assert_eq!(directive, Some(("app[span]=debug", 6)));
        let said = "environment variable `LOGWEIR_LOG`: filter directive `app[span]=debug` at column 6: span and field \
                    directives are not supported; expected `[target][=level]`";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn what_is_not_unicode_is_said() {
        let error = from(|_| Err(VarError::NotUnicode("x".into()))).expect_err("no text");
        assert_eq!((error.variable(), error.parse_error()), ("LOGWEIR_LOG", None));
        assert!(error.to_string().contains("not valid unicode"), "{error}");
    }
}
