//! Paths as people write them: a home directory and variables, in a file and in code.

use std::env;
use std::fs;
use std::path::Path;

use logweir::config::{Config, SinkRegistry};
use logweir::sink::{FileSink, Rolling};
use logweir::{Logger, info};

use super::{folder, refused};
use crate::children::{FILE, ROLE, Running, child_of};
use crate::support::PATIENCE;

#[test]
fn the_home_directory_and_variables_are_replaced_in_a_configuration() {
    let folder = folder("paths");
    let mut child = child_of("config::paths::the_child", "paths");
    child.env("HOME", folder.join("home")).env(FILE, &folder).env("LOGWEIR_TEST_NAME", "node-7");
    let (status, text) = Running::start(child.current_dir(&folder)).ends();
    assert!(status.success(), "{text}");
    for path in ["home/logs/app.log", "var/node-7.log", "~/here.log", "a$b.log"] {
        assert_eq!(fs::read_to_string(folder.join(path)).unwrap().lines().count(), 1, "{path}");
    }
    let rolled = fs::read_dir(folder.join("rolled")).unwrap().map(|file| file.unwrap().file_name());
    assert!(rolled.into_iter().any(|name| name.to_str().unwrap().starts_with("node-7.")));
    for path in ["${LOGWEIR_TEST_DIR}", "$LOGWEIR_TEST_DIR", "node-7/~"] {
        assert!(!folder.join(path).exists(), "{path}");
    }
}

#[test]
fn the_child() {
    if env::var(ROLE).as_deref() != Ok("paths") {
        return;
    }
    let text = "
        sinks.home = { type = 'file', path = '~/logs/app.log' }
        sinks.variable = { type = 'file', path = '${LOGWEIR_TEST_CHILD_FILE}/var/${LOGWEIR_TEST_NAME}.log' }
        sinks.literal = { type = 'file', path = './~/here.log' }
        sinks.dollar = { type = 'file', path = 'a$$b.log' }
        [sinks.rolled]
        type = 'file'
        path = 'rolled/app.log'
        rolling = { every = 'day', file_name = '${LOGWEIR_TEST_NAME}.{date}.{seq}.log' }
    ";
    let logger = Config::from_toml(text).unwrap().builder(&SinkRegistry::new()).unwrap().start().unwrap();
    info!(logger: logger, "hello");
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
}

#[test]
fn a_path_that_cannot_be_replaced_is_an_error_with_its_place_that_says_what_to_write() {
    for (path, said) in [
        ("${LOGWEIR_TEST_UNSET}/a.log", "the variable `LOGWEIR_TEST_UNSET` is not set"),
        ("$HOME/a.log", "`$HOME` is not expanded; write `${HOME}`, or `$$` for a `$`"),
        ("~ada/a.log", "only `~/` is expanded; for a file or directory called `~ada`, write `./~ada`"),
    ] {
        let error = refused(&format!("[sinks.a]\ntype = 'file'\npath = '{path}'"));
        assert_eq!(error, format!("text:3: `sinks.a.path` is '{path}': {said}"));
    }
    let rolling = "{ every = 'day', file_name = '$HOST.{date}.{seq}.log' }";
    let error = refused(&format!("[sinks.a]\ntype = 'file'\npath = 'a.log'\nrolling = {rolling}"));
    assert!(
        error.starts_with("text:4: `sinks.a.rolling.file_name` is '$HOST.{date}.{seq}.log': `$HOST` is not"),
        "{error}"
    );
    let variable = [("LOGWEIR__SINKS__A__PATH", "$HOME/a.log")];
    let config = Config::from_toml("sinks.a = { type = 'file', path = 'a.log' }").unwrap();
    let error = config.with_vars(variable).expect_err("no braces");
    assert_eq!((error.variable(), error.key().as_deref()), (Some("LOGWEIR__SINKS__A__PATH"), Some("sinks.a.path")));
}

/// Code has its own ways to find a directory: nothing is replaced there, and nothing is created by mistake.
#[test]
fn in_code_a_path_that_is_meant_to_be_replaced_is_an_error_of_the_start() {
    let start = |sink: FileSink| format!("{:?}", Logger::builder().sink("file", sink).start().map(drop).unwrap_err());
    for (path, said) in [
        ("~/logweir-test/a.log", "`~` is not expanded; pass the path of the home directory, or write `./~`"),
        ("~", "`~` is not expanded"),
        ("${HOME}/a.log", "`${NAME}` is not expanded; pass the value of the variable"),
        ("logs/${HOST}.log", "`${NAME}` is not expanded"),
    ] {
        let error = start(FileSink::new(path));
        let begin = format!("cannot start logger: sink `file`: cannot open log file `{path}`: {said}");
        assert!(error.starts_with(&begin), "{error}");
    }
    let rolling = Rolling::daily().file_name("${HOST}.{date}.{seq}.log");
    let error = start(FileSink::new("logs/a.log").rolling(rolling));
    assert!(error.contains("`file_name` is `${HOST}.{date}.{seq}.log`; allowed is a name with"), "{error}");
    assert!(["~", "${HOME}", "logs"].iter().all(|path| !Path::new(path).exists()));
}
