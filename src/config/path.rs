//! The caller's thread, once: paths with `~` and variables, which are replaced by those of the environment.

use std::env::{self, VarError};
use std::ffi::OsString;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer};

/// The path of a file, with the home directory and variables in place of their names.
#[derive(Clone, Debug)]
pub(super) struct FilePath(pub(super) PathBuf);

/// The pattern of a file's name, with variables in place of their names.
#[derive(Clone, Debug)]
pub(super) struct FileName(pub(super) String);

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = |name: &str| env::var(name);
        expand_path(&text, env::home_dir(), read).map(FilePath).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        expand(&text, |name| env::var(name)).map(FileName).map_err(de::Error::custom)
    }
}

fn expand_path(
    text: &str,
    home: Option<PathBuf>,
    read: impl Fn(&str) -> Result<String, VarError>,
) -> Result<PathBuf, String> {
    let Some(rest) = text.strip_prefix('~') else { return expand(text, read).map(PathBuf::from) };
    let is_separator = |c: char| c == '/' || cfg!(windows) && c == '\\';
    if !rest.is_empty() && !rest.starts_with(is_separator) {
        let name = text.split(is_separator).next().unwrap_or(text);
        return Err(format!("only `~/` is expanded; for a file or directory called `{name}`, write `./{name}`"));
    }
    let home = home.filter(|home| !home.as_os_str().is_empty()).ok_or("there is no home directory for `~`")?;
    let mut path = OsString::from(home);
    path.push(expand(rest, read)?);
    Ok(path.into())
}

/// Replaces each `${NAME}` by the variable's value, and `$$` by `$`.
fn expand(text: &str, read: impl Fn(&str) -> Result<String, VarError>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = behind;
        if let Some(behind) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
        } else if let Some(named) = rest.strip_prefix('{') {
            let (name, behind) = named.split_once('}').ok_or("`${` has no `}`; write `$$` for a `$`")?;
            if !is_name(name) {
                return Err(format!("`{name}` is not the name of a variable; write `${{NAME}}`, or `$$` for a `$`"));
            }
            match read(name) {
                Ok(value) if value.is_empty() => return Err(format!("the variable `{name}` is empty")),
                Ok(value) => expanded.push_str(&value),
                Err(VarError::NotPresent) => return Err(format!("the variable `{name}` is not set")),
                Err(VarError::NotUnicode(_)) => return Err(format!("the variable `{name}` is not Unicode")),
            }
            rest = behind;
        } else if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let name = &rest[..rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len())];
            return Err(format!("`${name}` is not expanded; write `${{{name}}}`, or `$$` for a `$`"));
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_of_name)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Result<String, String> {
        let read = |name: &str| match name {
            "DIR" => Ok("/var/log".to_owned()),
            "EMPTY" => Ok(String::new()),
            "ODD" => Err(VarError::NotUnicode("x".into())),
            _ => Err(VarError::NotPresent),
        };
        let path = expand_path(text, Some("/home/ada".into()), read)?;
        Ok(path.into_os_string().into_string().expect("Unicode"))
    }

    #[test]
    fn a_home_directory_and_variables_are_replaced() {
        for (text, path) in [
            ("~", "/home/ada"),
            ("~/a/~/b", "/home/ada/a/~/b"),
            ("./~/a", "./~/a"),
            ("a~", "a~"),
            ("${DIR}/a-${DIR}", "/var/log/a-/var/log"),
            ("~/${DIR}", "/home/ada//var/log"),
            ("a$$b$${DIR}", "a$b${DIR}"),
            ("$", "$"),
            ("c$/a$1", "c$/a$1"),
        ] {
            assert_eq!(given(text).as_deref(), Ok(path), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_an_error_that_says_what_to_write() {
        for (text, said) in [
            ("~bob/a", "only `~/` is expanded; for a file or directory called `~bob`, write `./~bob`"),
            ("${NONE}/a", "the variable `NONE` is not set"),
            ("${EMPTY}/a", "the variable `EMPTY` is empty"),
            ("${ODD}/a", "the variable `ODD` is not Unicode"),
            ("$DIR/a", "`$DIR` is not expanded; write `${DIR}`, or `$$` for a `$`"),
            ("${DIR/a", "`${` has no `}`; write `$$` for a `$`"),
            ("${DIR:-a}/a", "`DIR:-a` is not the name of a variable; write `${NAME}`, or `$$` for a `$`"),
            ("${}", "`` is not the name of a variable; write `${NAME}`, or `$$` for a `$`"),
        ] {
            assert_eq!(given(text), Err(said.to_owned()), "{text}");
        }
        let none = expand_path("~/a", None, |_| Err(VarError::NotPresent));
        assert_eq!(none, Err("there is no home directory for `~`".to_owned()));
    }
}
