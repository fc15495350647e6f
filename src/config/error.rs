//! The caller's thread, once: an error in a configuration, with its place and the valid values.

use std::error::Error;
use std::fmt;
use std::io;

use serde::de;

use super::item::{Item, Origin};
use crate::builder::BuildError;
use crate::event::MASK;
use crate::filter::{ParseFilterError, nearest};
use crate::format::plain::{Foreign, without_credentials, write_debug};
use crate::runtime::BoxError;

/// Longer values are truncated in a message: the key and the valid values help more than the end of a long text.
const LONGEST_VALUE: usize = 80;

const BETWEEN_PARTS: &str = "between its parts stand two underscores, as in `LOGWEIR__SINKS__FILE__LEVEL`";

/// What the name of a key has if its value is probably a secret.
const SECRET_NAMES: [&str; 11] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "auth", "credential", "cookie", "dsn"];

/// Shorter parts of a value are not looked for in the words of its type: they would be found anywhere.
const SHORTEST_PART: usize = 4;

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
///
/// `Display` has its own words, [`source`](Error::source) the cause, and `Debug` all of them on one line, as `?` out of
/// `main` prints it.
///
/// # Secrets
/// The message never has a value that may be a secret. Of an option of a [registered](super::SinkRegistry) sink it has
/// the kind (`a text of 7 characters`), or `***` if the option is [`Sensitive`](crate::Sensitive) or its name has
/// `password`, `secret`, `token`, `key`, `auth`, `credential`, `cookie` or `dsn` in it. Of an unknown key, and of syntax
/// that cannot be read, it has no value, and of a URL no user and password. The source of an error in creating a
/// registered sink is the program's own error, with its own words.
pub struct ConfigError(Box<Inner>);

struct Inner {
    origin: Option<Origin>,
    value: Option<WrittenValue>,
    shows: Shows,
    /// Outermost first, each in its displayed form.
    key: Vec<String>,
    problem: ConfigErrorKind,
}

/// The invalid value.
struct WrittenValue {
    /// As written.
    shown: String,
    kind: String,
    /// What its type gets, and may repeat in its error.
    texts: Vec<String>,
}

/// What a message has of the value, from the most to the least.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Shows {
    Value,
    Kind,
    Mask,
}

pub(super) enum ConfigErrorKind {
    /// The file cannot be read.
    Read(io::Error),
    /// The file's extension is not that of a known format.
    Extension,
    /// It is no valid TOML or JSON: the parser's words.
    Syntax(String),
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
        ConfigError(Box::new(Inner { origin: None, value: None, shows: Shows::Value, key: Vec::new(), problem }))
    }

    /// Adds the place, unless it is known.
    pub(super) fn at(mut self, item: &Item) -> Self {
        if self.0.origin.is_none() {
            self.0.origin = Some(item.origin.clone());
            self.0.value = Some(WrittenValue { shown: item.shown(), kind: item.kind(), texts: item.texts() });
        }
        self
    }

    /// Hides the value, except for its kind: it may be a secret.
    pub(super) fn without_value(mut self) -> Self {
        if self.0.shows == Shows::Value {
            self.0.shows = Shows::Kind;
        }
        self
    }

    /// Hides the value: it is a secret.
    pub(super) fn secret(mut self) -> Self {
        self.0.shows = Shows::Mask;
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

/// The value as written on one line, with limited length.
fn displayed(written: &str) -> String {
    let masked = without_credentials(written.trim(), false);
    match masked.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => Foreign(&masked[..end]).to_string() + "…",
        None => Foreign(&masked).to_string(),
    }
}

impl Inner {
    /// A value under a name of a secret is one, unless the name is of ours.
    fn shows(&self) -> Shows {
        let is_secret = |part: &String| {
            let part = part.to_lowercase();
            SECRET_NAMES.iter().any(|name| part.contains(name))
        };
        if self.shows == Shows::Kind && self.key.iter().any(is_secret) { Shows::Mask } else { self.shows }
    }

    fn value(&self) -> String {
        match (&self.value, self.shows()) {
            (None, _) => "wrong".to_owned(),
            (Some(value), Shows::Value) => displayed(&value.shown),
            (Some(value), Shows::Kind) => value.kind.clone(),
            (Some(_), Shows::Mask) => MASK.to_owned(),
        }
    }

    /// What a type says about its value, without the value and its parts.
    fn refusal(&self, why: &str) -> String {
        let texts = match (&self.value, self.shows()) {
            (_, Shows::Value) => return Foreign(why).to_string(),
            (_, Shows::Mask) => return "its type does not accept it".to_owned(),
            (value, Shows::Kind) => value.as_ref().map_or(&[][..], |value| &value.texts),
        };
        let parts = texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let parts = parts.filter(|part| part.chars().count() >= SHORTEST_PART);
        // The type of a table repeats one of its texts: a short one is in other words too.
        let wholes = texts.iter().filter(|text| !text.is_empty() && (texts.len() == 1 || text.len() >= SHORTEST_PART));
        let mut parts: Vec<&str> = wholes.map(String::as_str).chain(parts).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        Foreign(parts.iter().fold(why.to_owned(), |why, part| why.replace(part, MASK))).to_string()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let Inner { origin, key, problem, .. } = inner;
        if let Some(origin) = origin.as_ref().filter(|origin| origin.is_known()) {
            write!(f, "{origin}: ")?;
        }
        let named = Foreign(if key.is_empty() { "configuration".to_owned() } else { join(key) });
        let value = inner.value();
        match problem {
            ConfigErrorKind::Read(_) => f.write_str("cannot be read"),
            ConfigErrorKind::Extension => f.write_str("the name of a configuration ends in `.toml` or `.json`"),
            ConfigErrorKind::Syntax(said) => Foreign(said).fmt(f),
            ConfigErrorKind::UnknownKey { allowed } => {
                write!(f, "unknown key `{named}`{}; allowed there: {}", meant(last(key), allowed), all(allowed))
            }
            ConfigErrorKind::Missing => write!(f, "`{named}` is missing"),
            ConfigErrorKind::NoSink { others } => {
                let name = Foreign(last(key));
                write!(f, "there is no sink `{name}`{}; a new one needs a `type`", meant(last(key), others))
            }
            ConfigErrorKind::Value { allowed } => write!(f, "`{named}` is {value}; allowed is {allowed}"),
            ConfigErrorKind::Word { allowed } => {
                let meant = meant(value.trim_matches(['"', '\'']), allowed);
                write!(f, "`{named}` is {value}{meant}; allowed is {}", either(allowed))
            }
            ConfigErrorKind::Beside(other) => {
                write!(f, "`{named}` is {value}, beside `{other}`; allowed is one of the two")
            }
            ConfigErrorKind::Filter(_) => write!(f, "`{named}` is {value}"),
            ConfigErrorKind::Knob(error) => {
                let (_, value, allowed) = error.parts().unwrap_or(("", &value, "something else"));
                write!(f, "`{named}` is {}; allowed is {}", Foreign(value), Foreign(allowed))
            }
            ConfigErrorKind::Refused(why) => write!(f, "`{named}` is {value}: {}", inner.refusal(why)),
            ConfigErrorKind::Sink(_) => write!(f, "`{named}` cannot be created"),
            ConfigErrorKind::Registered(name) => {
                write!(f, "a sink cannot be registered as `{}`: there is one of that name", Foreign(name))
            }
            ConfigErrorKind::Variable => write!(f, "names no key; {BETWEEN_PARTS}"),
            ConfigErrorKind::NotUnicode => f.write_str("its value is not Unicode"),
            ConfigErrorKind::Twice(other) => {
                write!(f, "is for the same key as `{}`; allowed is one of the two", Foreign(other))
            }
            ConfigErrorKind::Several(keys) => {
                write!(f, "matches {}; allowed is a name that matches one of them", Foreign(all(keys)))
            }
        }
    }
}

/// Like `Display`, with the sources.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_debug(self, f)
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
            ConfigErrorKind::Sink(source) => Some(&**source),
            ConfigErrorKind::Filter(source) => Some(source),
            _ => None,
        }
    }
}
