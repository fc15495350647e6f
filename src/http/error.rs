//! The caller's thread, once: an option of an HTTP sink that cannot be.

use std::fmt;

use crate::format::plain::Foreign;

/// An option, its value, and what is allowed.
#[derive(Clone, Debug)]
pub(super) struct HttpOptionError {
    option: String,
    value: String,
    why: String,
}

impl HttpOptionError {
    pub(super) fn new(option: impl Into<String>, value: String, why: &str) -> Self {
        HttpOptionError { option: option.into(), value, why: why.to_owned() }
    }
}

impl fmt::Display for HttpOptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is `{}`: {}", self.option, Foreign(&self.value), self.why)
    }
}

impl std::error::Error for HttpOptionError {}
