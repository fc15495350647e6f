//! A service thread: values that no message shows.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs, io};

/// A token, password or key. No `Debug`, error or report shows it.
///
/// One in a variable or a file is read when the logger starts, when the destination answers 401 or 403, and when the logger
/// [reopens](crate::Logger::reopen): it can be rotated while the program runs.
#[derive(Clone)]
pub struct Secret(SecretSource);

#[derive(Clone)]
enum SecretSource {
    Text(Arc<str>),
    Variable(String),
    File(PathBuf),
}

impl Secret {
    /// Creates a secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(SecretSource::Text(text.into().into()))
    }

    /// Reads it from an environment variable, which must be set when the logger starts.
    pub fn variable(name: impl Into<String>) -> Self {
        Secret(SecretSource::Variable(name.into()))
    }

    /// Reads it from a file, without the blanks and line ends around it. The file must exist when the logger starts.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Secret(SecretSource::File(path.into()))
    }

    /// Returns the text.
    pub(super) fn read(&self) -> Result<String, SecretError> {
        match &self.0 {
            SecretSource::Text(text) => Ok(text.to_string()),
            SecretSource::Variable(name) => env::var(name).map_err(|error| {
                let source: Box<dyn Error + Send + Sync> = match error {
                    env::VarError::NotPresent => "it is not set".into(),
                    // The error itself shows the value.
                    env::VarError::NotUnicode(_) => "it is not UTF-8".into(),
                };
                SecretError { place: format!("the variable `{name}`"), source }
            }),
            SecretSource::File(path) => fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
                let source =
                    if error.kind() == io::ErrorKind::InvalidData { "it is not UTF-8".into() } else { error.into() };
                SecretError { place: format!("the file `{}`", path.display()), source }
            }),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SecretSource::Text(_) => f.write_str("Secret(..)"),
            SecretSource::Variable(name) => write!(f, "Secret(variable {name:?})"),
            SecretSource::File(path) => write!(f, "Secret(file {path:?})"),
        }
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Secret::new(text)
    }
}

/// A secret that cannot be read.
#[derive(Debug)]
pub(super) struct SecretError {
    place: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret cannot be read from {}", self.place)
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
