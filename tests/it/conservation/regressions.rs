//! Programs that once failed.

use logweir::sink::Duplicates;
use logweir::{Level, LevelFilter, Overflow, WhenFull};

use super::program::{
    Answer, BreakerPlan, Config, Delay, End, Errors, LinkPlan, Outcome, Program, RequestPlan, RetryPlan, SinkPlan,
    SpoolPlan, Step, StoreAnswer, StoreOutcome, What,
};
use super::world::{run, run_spooled};

const OK: Answer = now(Outcome::Ok);
const BUSY: Answer = now(Outcome::Temporary { delivered: 0, retry_after: None });

const fn now(outcome: Outcome) -> Answer {
    Answer { delay: Delay::None, outcome }
}

fn link(script: Vec<Answer>) -> LinkPlan {
    LinkPlan {
        timeout: 200,
        outlives: false,
        requests: None,
        poison: None,
        script,
        always: OK,
        calls: Vec::new(),
        errors: Errors::Plain,
    }
}

fn sink(links: Vec<LinkPlan>) -> SinkPlan {
    let retry = RetryPlan { initial: 50, cap: 400, max_age: 1000, max_attempts: None, seed: 0 };
    let breaker = BreakerPlan { failures: None, probe_after: 400, cap: 400 };
    SinkPlan { level: Level::Trace, waits: false, backlog: None, batching: None, retry, breaker, links, spool: None }
}

fn program(batch_size: usize, sinks: Vec<SinkPlan>, steps: Vec<Step>, end: End) -> Program {
    let config = Config {
        lanes: 1,
        capacity: 32,
        batch_size,
        overflow: Overflow::DropOldest,
        reserve: None,
        memory: 16 << 10,
        enrichment: 0,
        flush_interval: 50,
        flush_at: LevelFilter::Trace,
    };
    Program { config, sinks, steps, end }
}

fn emit(count: usize) -> Step {
    Step::Emit { what: What { level: Level::Info, text: 0, handle: 0 }, count }
}

#[track_caller]
fn holds(program: &Program) {
    run(program).unwrap();
}

#[test]
fn a_flush_during_a_shutdown_ends_in_time() {
    let mut slow = link(Vec::new());
    slow.calls = vec![Delay::Late];
    let steps = vec![Step::BeginShutdown(300), Step::Flush(1)];
    holds(&program(1, vec![sink(vec![link(Vec::new()), slow])], steps, End::Shutdown(0)));
}

#[test]
fn an_event_that_was_never_written_is_not_unconfirmed_because_the_one_before_it_was() {
    let late = Answer { delay: Delay::Late, outcome: Outcome::Ok };
    let all = now(Outcome::Temporary { delivered: 1, retry_after: None });
    let mut sink = sink(vec![link(vec![late, BUSY, BUSY, all])]);
    sink.breaker.failures = Some(3);
    holds(&program(1, vec![sink], vec![emit(2)], End::Shutdown(1000)));
}

#[test]
fn nothing_is_written_any_more_that_was_reported_as_dropped() {
    let mut sink = sink(vec![link(vec![now(Outcome::Panic)])]);
    sink.breaker.failures = Some(1);
    let steps = vec![emit(2), Step::Flush(1), Step::BeginShutdown(0), Step::ResetBreaker(0)];
    holds(&program(1, vec![sink], steps, End::Shutdown(0)));
}

#[test]
fn what_comes_after_a_rejection_that_delivered_all_it_was_about_is_not_taken_for_the_poison() {
    let rejected = |delivered| now(Outcome::Rejected { delivered });
    let sink = sink(vec![link(vec![rejected(0), rejected(1)])]);
    holds(&program(2, vec![sink], vec![emit(2)], End::Complete));
}

#[test]
fn a_late_write_of_a_fallback_that_never_returns_holds_up_no_batch_of_a_sink_that_blocks() {
    let never = Answer { delay: Delay::Never, outcome: Outcome::Ok };
    let late = Answer { delay: Delay::Late, outcome: Outcome::Ok };
    let fallback = LinkPlan { timeout: 50, outlives: true, ..link(vec![never]) };
    let mut sink = sink(vec![LinkPlan { timeout: 50, ..link(vec![late]) }, fallback]);
    (sink.waits, sink.backlog, sink.retry.max_age) = (true, Some(512), 100);
    sink.breaker = BreakerPlan { failures: Some(1), probe_after: 50, cap: 400 };
    holds(&program(1, vec![sink], vec![emit(4)], End::Complete));
}

#[test]
fn while_a_sink_is_busy_no_more_is_read_back_than_its_next_request_has() {
    let answer = |delay| Answer { delay, outcome: Outcome::Ok };
    let mut slow = link(vec![OK, OK, answer(Delay::InTime), answer(Delay::Late)]);
    slow.timeout = 1000;
    slow.requests =
        Some(RequestPlan { duplicates: Duplicates::Possible, body: usize::MAX, accepts: None, refuses: Some(2) });
    let append = |delay, outcome| StoreAnswer { delay, outcome };
    let well = append(Delay::None, StoreOutcome::Ok);
    let appends = vec![well, append(Delay::InTime, StoreOutcome::Ok), well, append(Delay::None, StoreOutcome::Fail)];
    let other = || sink(vec![link(Vec::new())]);
    let mut spooled = sink(vec![slow, link(Vec::new()), link(Vec::new())]);
    spooled.spool = Some(SpoolPlan {
        room: u64::MAX,
        part: 1,
        policy: WhenFull::Block,
        appends,
        reads: Vec::new(),
        syncs: Vec::new(),
        crashes: false,
    });
    let emit = Step::Emit { what: What { level: Level::Trace, text: 3000, handle: 0 }, count: 19 };
    let steps = vec![emit, Step::Advance(358), Step::Advance(545), Step::Flush(300), Step::Stats];
    let mut program = program(1, vec![other(), other(), spooled], steps, End::Shutdown(0));
    (program.config.lanes, program.config.capacity) = (2, 39);
    (program.config.flush_interval, program.config.flush_at) = (1000, LevelFilter::Error);
    run_spooled(&program).unwrap();
}

#[test]
fn what_is_settled_before_the_synchronization_that_confirms_it_was_appended_before_that_one() {
    let mut spooled = sink(vec![LinkPlan { timeout: 50, ..link(vec![now(Outcome::Rejected { delivered: 0 })]) }]);
    spooled.retry = RetryPlan { initial: 50, cap: 400, max_age: 100, max_attempts: None, seed: 0 };
    spooled.breaker = BreakerPlan { failures: None, probe_after: 50, cap: 400 };
    let answer = |delay| StoreAnswer { delay, outcome: StoreOutcome::Ok };
    spooled.spool = Some(SpoolPlan {
        room: 5,
        part: 3,
        policy: WhenFull::DropOldest,
        appends: Vec::new(),
        reads: Vec::new(),
        syncs: vec![answer(Delay::None), answer(Delay::InTime)],
        crashes: false,
    });
    let what = What { level: Level::Trace, text: 0, handle: 0 };
    let steps =
        vec![Step::Flush(1), Step::Emit { what: what.clone(), count: 6 }, Step::EmitConfirmed(what), Step::Advance(75)];
    let mut program = program(3, vec![spooled], steps, End::Shutdown(0));
    (program.config.capacity, program.config.memory) = (7, 262_144);
    run_spooled(&program).unwrap();
}

#[test]
fn a_synchronization_comes_after_the_append_that_is_running() {
    let in_time = StoreAnswer { delay: Delay::InTime, outcome: StoreOutcome::Ok };
    let late = Answer { delay: Delay::Late, outcome: Outcome::Ok };
    let mut spooled = sink(vec![LinkPlan { timeout: 1000, ..link(vec![late]) }, link(Vec::new())]);
    spooled.spool = Some(SpoolPlan {
        room: u64::MAX,
        part: 1,
        policy: WhenFull::DropOldest,
        appends: vec![in_time],
        reads: Vec::new(),
        syncs: vec![in_time, in_time],
        crashes: false,
    });
    let what = What { level: Level::Trace, text: 0, handle: 0 };
    let steps =
        vec![Step::EmitConfirmed(what.clone()), Step::Advance(500), Step::Emit { what, count: 1 }, Step::Flush(1)];
    run_spooled(&program(3, vec![spooled], steps, End::RuntimeGone)).unwrap();
}
