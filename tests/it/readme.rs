//! What the README says of the tests is so: each promise names one at least, and those it names are there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs;
use std::path::Path;

/// The rows of the table of promises, less its head.
fn promises(readme: &str) -> Vec<&str> {
    let section = readme.split("\n## ").find(|section| section.starts_with("Promises\n")).unwrap();
    section.lines().filter(|line| line.starts_with('|')).skip(2).collect()
}

/// The functions that a row links to, each with its file.
fn links(row: &str) -> Vec<(&str, &str)> {
    let links = row.split("[`").skip(1);
    links
        .filter_map(|link| link.split_once("`](").and_then(|(name, rest)| Some((name, rest.split_once(')')?.0))))
        .collect()
}

/// Whether the file has a test of that name: the attribute is on one of the lines right above it.
fn has_test(source: &str, name: &str) -> bool {
    let is_it = |line: &str| {
        let line = line.trim_start().trim_start_matches("async ");
        line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    let mut is_test = false;
    source.lines().any(|line| {
        let found = is_test && is_it(line);
        let trimmed = line.trim_start();
        is_test = trimmed.starts_with("#[test]")
            || trimmed.starts_with("#[tokio::test")
            || is_test && (trimmed.starts_with("#[") || trimmed.starts_with("//"));
        found
    })
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let promises = promises(&readme);
    assert!(promises.len() > 20, "the table is read: {promises:?}");
    for promise in promises {
        let links = links(promise);
        assert!(!links.is_empty(), "no test: {promise}");
        for (name, file) in links {
            let source = fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(has_test(&source, name), "{file} has no test `{name}`");
        }
    }
}

#[test]
fn a_function_that_is_no_test_and_a_name_that_only_begins_so_do_not_count() {
    let source = "#[test]\n#[cfg(unix)]\nfn one() {}\n\nfn two() {}\n    #[tokio::test(start_paused = true)]\n    async fn three() {}";
    let found = ["one", "on", "two", "three", "four"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, false, true, false]);
}
