//! The caller's thread, once: an error in a configuration, with its place and the valid values.

use std::error::Error;
use std::fmt;
use std::io;

use serde::de;

use super::item::{Item, Origin};
use super::nearest::nearest;
use crate::builder::BuildError;
use crate::filter::ParseFilterError;
use crate::runtime::BoxError;

/// Longer values are truncated in a message: the key and the valid values help more than the end of a long text.
const LONGEST_VALUE: usize = 80;

const BETWEEN_PARTS: &str = "between its parts stand two underscores, as in `LOGWEIR__SINKS__FILE__LEVEL`";

/// The error of an invalid configuration.
///
/// The message has the place (file and line, or the variable of the environment), the key with its tables, the value as
/// written, and the valid values:
///
/// ```
/// # use logweir::config::Config;
/// let error = Config::from_toml("lanes = 2\nflush_interval = 5").expect_err("no unit");
/// let said = "text:2: `flush_interval` is 5; allowed is a duration with its unit, such as `100ms`, `5s` or `1m 30s`";
/// assert_eq!(error.to_string(), said);
/// assert_eq!(error.key().as_deref(), Some("flush_interval"));
/// ```
#[derive(Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Option<Origin>,
    /// The value as written, if there is one.
    written: Option<String>,
    /// Outermost first, each in its displayed form.
    key: Vec<String>,
    problem: ConfigErrorKind,
}

#[derive(Debug)]
pub(super) enum ConfigErrorKind {
    /// The file cannot be read.
    Read(io::Error),
    /// The file's extension is not that of a known format.
    Extension,
    /// It is no valid TOML or JSON.
    Syntax {
        said: String,
        source: BoxError,
    },
    UnknownKey {
        allowed: Vec<String>,
    },
    Missing,
    /// A variable is for a sink that does not exist.
    NoSink {
        others: Vec<String>,
    },
    Value {
        allowed: String,
    },
    /// One of a few words.
    Word {
        allowed: Vec<String>,
    },
    /// Set together with another key, which it would replace.
    Beside(&'static str),
    Filter(ParseFilterError),
    /// The builder refuses it, alone or in combination.
    Knob(BuildError),
    /// A type's own error about its value: serde has only this text.
    Refused(String),
    /// The function that creates a registered sink failed.
    Sink(BoxError),
    /// A sink is registered under a name that is taken.
    Registered(String),
    /// A variable's name has an empty part.
    Variable,
    /// A variable's value is not Unicode.
    NotUnicode,
    /// Two variables are for one key.
    Twice(String),
    /// A variable's name matches several keys.
    Several(Vec<String>),
}

impl ConfigError {
    pub(super) fn new(problem: ConfigErrorKind) -> Self {
        ConfigError(Box::new(Inner { origin: None, written: None, key: Vec::new(), problem }))
    }

    /// Adds the place, unless it is known.
    pub(super) fn at(mut self, item: &Item) -> Self {
        if self.0.origin.is_none() {
            self.0.origin = Some(item.origin.clone());
            self.0.written = Some(item.shown());
        }
        self
    }

    pub(super) fn written_at(mut self, origin: Origin) -> Self {
        self.0.origin = Some(origin);
        self
    }

    /// Adds the key of the enclosing table or list.
    pub(super) fn under(mut self, part: String) -> Self {
        self.0.key.insert(0, part);
        self
    }

    /// Adds the path of the enclosing table.
    pub(super) fn inside(mut self, path: &[String]) -> Self {
        self.0.key.splice(0..0, path.iter().cloned());
        self
    }

    /// Returns the invalid key with its tables, as `sinks.file.retry.max_delay`; `None` if the file as a whole is
    /// invalid, or the name of a variable.
    pub fn key(&self) -> Option<String> {
        (!self.0.key.is_empty()).then(|| join(&self.0.key))
    }

    /// Returns the variable of the environment that is invalid or has set the invalid value; `None` if that is written
    /// in a file or a text.
    pub fn variable(&self) -> Option<&str> {
        self.0.origin.as_ref()?.variable()
    }

    /// Returns the invalid line, counted from 1, if it is known: not for values in JSON.
    pub fn line(&self) -> Option<usize> {
        self.0.origin.as_ref()?.line()
    }
}

/// The error for a value that has no effect without a feature of the crate.
pub(super) fn needs<E: de::Error>(feature: &str) -> E {
    E::custom(format_args!("it needs logweir's feature `{feature}`"))
}

/// Joins the parts of a key; an index into a list has its brackets already.
fn join(parts: &[String]) -> String {
    let mut key = String::new();
    for part in parts {
        if !key.is_empty() && !part.starts_with('[') {
            key.push('.');
        }
        key.push_str(part);
    }
    key
}

/// A key as displayed in a path: in quotes unless TOML allows it bare.
pub(super) fn part(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { format!("{key:?}") }
}

/// `a`, `b` or `c`.
pub(super) fn either(words: &[impl AsRef<str>]) -> String {
    listed(words, " or ")
}

/// `a`, `b` and `c`.
pub(super) fn all(words: &[impl AsRef<str>]) -> String {
    listed(words, " and ")
}

fn listed(words: &[impl AsRef<str>], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.as_slice() {
        [] => "none".into(),
        [word] => word.clone(),
        [words @ .., end] => format!("{}{last}{end}", words.join(", ")),
    }
}

/// The text on one line, without anything that controls a terminal.
fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(plain).collect()
}

/// The same, with limited length.
fn displayed(written: &str) -> String {
    match written.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => plain(&written[..end]) + "…",
        None => plain(written),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { origin, written, key, problem } = &*self.0;
        if let Some(origin) = origin.as_ref().filter(|origin| origin.is_known()) {
            write!(f, "{origin}: ")?;
        }
        let named = if key.is_empty() { "configuration".to_owned() } else { join(key) };
        let value = displayed(written.as_deref().unwrap_or("wrong"));
        match problem {
            ConfigErrorKind::Read(source) => write!(f, "cannot be read: {source}"),
            ConfigErrorKind::Extension => f.write_str("the name of a configuration ends in `.toml` or `.json`"),
            ConfigErrorKind::Syntax { said, .. } => f.write_str(&plain(said)),
            ConfigErrorKind::UnknownKey { allowed } => {
                write!(f, "unknown key `{named}`{}; allowed there: {}", meant(last(key), allowed), all(allowed))
            }
            ConfigErrorKind::Missing => write!(f, "`{named}` is missing"),
            ConfigErrorKind::NoSink { others } => {
                write!(f, "there is no sink `{}`{}; a new one needs a `type`", last(key), meant(last(key), others))
            }
            ConfigErrorKind::Value { allowed } => write!(f, "`{named}` is {value}; allowed is {allowed}"),
            ConfigErrorKind::Word { allowed } => {
                let meant = meant(value.trim_matches(['"', '\'']), allowed);
                write!(f, "`{named}` is {value}{meant}; allowed is {}", either(allowed))
            }
            ConfigErrorKind::Beside(other) => {
                write!(f, "`{named}` is {value}, beside `{other}`; allowed is one of the two")
            }
            ConfigErrorKind::Filter(error) => write!(f, "`{named}` is {value}: {}", plain(&error.to_string())),
            ConfigErrorKind::Knob(error) => {
                let (_, value, allowed) = error.parts().unwrap_or(("", &value, "something else"));
                write!(f, "`{named}` is {value}; allowed is {allowed}")
            }
            ConfigErrorKind::Refused(why) => write!(f, "`{named}` is {value}: {}", plain(why)),
            ConfigErrorKind::Sink(error) => {
                write!(f, "`{named}`: {}", crate::observe::diagnostics::DisplayChain(&**error))
            }
            ConfigErrorKind::Registered(name) => {
                write!(f, "a sink cannot be registered as `{name}`: there is one of that name")
            }
            ConfigErrorKind::Variable => write!(f, "names no key; {BETWEEN_PARTS}"),
            ConfigErrorKind::NotUnicode => f.write_str("its value is not Unicode"),
            ConfigErrorKind::Twice(other) => {
                write!(f, "is for the key of `{other}`; which of them counts nobody can say")
            }
            ConfigErrorKind::Several(keys) => write!(f, "fits {}; which of them it means nobody can say", all(keys)),
        }
    }
}

/// The key without its tables.
fn last(key: &[String]) -> &str {
    key.last().map_or("", |part| part.trim_matches('"'))
}

/// A suggestion, if there is one.
fn meant(word: &str, allowed: &[String]) -> String {
    nearest(word, allowed).map_or(String::new(), |nearest| format!(" (did you mean `{nearest}`?)"))
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.problem {
            ConfigErrorKind::Read(source) => Some(source),
            ConfigErrorKind::Syntax { source, .. } | ConfigErrorKind::Sink(source) => Some(&**source),
            ConfigErrorKind::Filter(source) => Some(source),
            ConfigErrorKind::Knob(source) => Some(source),
            _ => None,
        }
    }
}
