//! Nothing is lost without a reason: random programs of callers, faults and ends, in paused time, with both books
//! checked against what the scripted sinks wrote down.
//!
//! The programs are the same in every run: `LOGWEIR_TEST_PROGRAMS` sets their number, `LOGWEIR_TEST_SEED` (a number, or
//! `random`) selects them. `.ci/run` tries 10,000.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, reason = "the output of a test says which programs it has tried")]

mod link;
mod named;
mod program;
mod regressions;
mod second;
mod store;
mod verdict;
mod world;

use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use program::{Program, program, spooled_program};
use world::{Wrong, run, run_spooled};

use crate::support::count;

/// Takes a few seconds.
const PROGRAMS: u32 = 1000;

fn seed() -> u64 {
    const VARIABLE: &str = "LOGWEIR_TEST_SEED";
    let seed = match std::env::var(VARIABLE) {
        Ok(text) if text == "random" => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        Ok(text) => text.parse().unwrap_or_else(|error| {
            panic!("{VARIABLE} is {text:?} ({error}); allowed is `random` or a whole number up to {}", u64::MAX)
        }),
        Err(_) => 1,
    };
    println!("seed: {seed} ({VARIABLE})");
    seed
}

/// Runs this many programs; the smallest that fails, if one does.
fn search<S: Strategy<Value = Program>>(
    seed: u64,
    programs: u32,
    drawn: S,
    run: fn(&Program) -> Result<(), Wrong>,
) -> Result<(), String> {
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: programs, failure_persistence: None, ..Config::default() };
    // In a debug build the default generator would take more time than the programs.
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    let tried = TestRunner::new_with_rng(config, rng)
        .run(&drawn, |program| run(&program).map_err(|wrong| TestCaseError::fail(wrong.to_string())));
    tried.map_err(|error| match error {
        TestError::Fail(why, program) => format!("seed {seed}: {why}\n{program:#?}"),
        TestError::Abort(why) => format!("seed {seed}: {why}"),
    })
}

#[test]
fn no_random_program_loses_duplicates_or_reorders_an_event_that_the_books_do_not_say() {
    search_all(count("LOGWEIR_TEST_PROGRAMS", PROGRAMS), program, run);
}

#[test]
fn no_random_program_with_a_spool_loses_an_event_that_is_not_counted_in_this_life_or_the_next() {
    search_all(count("LOGWEIR_TEST_PROGRAMS", PROGRAMS), spooled_program, run_spooled);
}

fn search_all<S: Strategy<Value = Program>>(programs: u32, drawn: fn() -> S, run: fn(&Program) -> Result<(), Wrong>) {
    let seed = seed();
    let shards = thread::available_parallelism().map_or(1, |cores| cores.get() as u32).min(programs.max(1));
    let found: Vec<String> = thread::scope(|scope| {
        let search =
            |shard| scope.spawn(move || search(seed.wrapping_add(shard), programs.div_ceil(shards), drawn(), run));
        let searches: Vec<_> = (0..u64::from(shards)).map(search).collect();
        searches.into_iter().filter_map(|search| search.join().unwrap().err()).collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
