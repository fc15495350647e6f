//! How often a test repeats what it tests: `.ci/run` and `.ci/full` set larger counts than `cargo test` alone.

/// The number that the variable sets, or else this one; printed, so that a long run shows it.
pub(crate) fn count(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    let count = set.map_or(default, |set| set.parse().unwrap_or_else(|error| panic!("{variable}={set}: {error}")));
    #[allow(clippy::print_stdout, reason = "for `--show-output`")]
    {
        println!("{variable}: {count}");
    }
    count
}

/// How many processes end in each way.
pub(crate) fn runs() -> usize {
    count("LOGWEIR_TEST_RUNS", 2)
}
