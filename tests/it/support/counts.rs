//! How much a test does: a count from the environment, or a default that takes a few seconds.
//!
//! `cargo test` runs with the defaults; `.ci/run` and `.ci/full` set larger counts.

#![expect(clippy::print_stdout, reason = "the output of a test says how much it has tested")]

use std::ffi::OsString;

use proptest::test_runner::Config;

/// Returns the count that the variable asks for, or else the default, and prints it with the variable's name.
///
/// Panics at what is no count: a test that does nothing cannot fail.
#[track_caller]
pub(crate) fn count(variable: &str, default: u32) -> u32 {
    match parse(variable, std::env::var_os(variable), default) {
        Ok(count) => {
            println!("{}: {count} ({variable})", unit(variable));
            count
        }
        Err(wrong) => panic!("{wrong}"),
    }
}

/// Configures a property test: its number of cases, which `PROPTEST_CASES` replaces for every property test.
///
/// Without a file of failures: what once failed becomes a test of its own.
#[track_caller]
pub(crate) fn cases(default: u32) -> Config {
    Config { cases: count("PROPTEST_CASES", default), failure_persistence: None, ..Config::default() }
}

/// `programs` of `LOGWEIR_TEST_PROGRAMS`.
fn unit(variable: &str) -> String {
    variable.rsplit('_').next().unwrap_or(variable).to_lowercase()
}

fn parse(variable: &str, value: Option<OsString>, default: u32) -> Result<u32, String> {
    let Some(value) = value else { return Ok(default) };
    let count = value.to_str().and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    count.ok_or_else(|| format!("{variable} is {value:?}; allowed is a whole number from 1 to {}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::{ROLE, child_of};

    const VARIABLE: &str = "LOGWEIR_TEST_THINGS";
    const DEFAULT: u32 = 7;

    #[test]
    fn a_count_is_the_variable_or_the_default_and_anything_else_is_an_error_that_says_what_is_allowed() {
        let parse = |value: &str| parse(VARIABLE, Some(value.into()), DEFAULT);
        assert_eq!(super::parse(VARIABLE, None, DEFAULT), Ok(DEFAULT));
        assert_eq!((parse("1"), parse("10000"), parse("4294967295")), (Ok(1), Ok(10_000), Ok(u32::MAX)));
        for wrong in ["0", "", " 1", "-1", "1e3", "10_000", "many", "4294967296"] {
            let said = parse(wrong).unwrap_err();
            assert_eq!(
                said,
                format!("LOGWEIR_TEST_THINGS is {wrong:?}; allowed is a whole number from 1 to 4294967295")
            );
        }
    }

    #[test]
    fn the_child() {
        if std::env::var(ROLE).as_deref() == Ok("count") {
            println!("counted {} {}", count(VARIABLE, DEFAULT), cases(DEFAULT).cases);
        }
    }

    #[test]
    fn a_test_prints_its_count_and_the_variable_that_sets_it_and_panics_at_what_is_no_count() {
        let run = |variables: &[(&str, &str)]| {
            let mut child = child_of("support::counts::tests::the_child", "count");
            let child = child.env_remove(VARIABLE).env_remove("PROPTEST_CASES").envs(variables.iter().copied());
            let output = child.output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        let expected = |things: u32, cases: u32| {
            format!(
                "things: {things} (LOGWEIR_TEST_THINGS)\ncases: {cases} (PROPTEST_CASES)\ncounted {things} {cases}\n"
            )
        };
        let (is_fine, printed) = run(&[]);
        assert!(is_fine && printed.contains(&expected(DEFAULT, DEFAULT)), "{printed}");
        let (is_fine, printed) = run(&[(VARIABLE, "30"), ("PROPTEST_CASES", "2")]);
        assert!(is_fine && printed.contains(&expected(30, 2)), "{printed}");
        for (variable, value) in [(VARIABLE, "0"), (VARIABLE, "few"), ("PROPTEST_CASES", "few")] {
            let (is_fine, printed) = run(&[(variable, value)]);
            assert!(!is_fine && !printed.contains("counted"), "{variable}={value}: {printed}");
        }
    }
}
