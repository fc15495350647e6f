//! The filter at the entrance of the queue.

use std::cell::Cell;

use logweir::{Event, Level, debug, info, trace, warn};

use crate::support::{ScriptedSink, builder, end, number, start};

#[tokio::test(start_paused = true)]
async fn the_filter_decides_by_level_and_longest_target_and_changes_at_run_time() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("info,noisy=error,noisy::part=trace").sink("sink", sink.clone())).await;
    let say = |round: &str| {
        debug!(logger: logger, "{round} debug", round);
        info!(logger: logger, "{round} info", round);
        warn!(logger: logger, target: "noisy", "{round} noisy", round);
        trace!(logger: logger, target: "noisy::part::x", "{round} part", round);
        // The same by `emit`.
        logger.emit(Event::new(Level::Warn, "noisy::other", round));
        logger.emit(Event::new(Level::Debug, "noisy::part", &format!("{round} dynamic")));
        logger.emit(logweir::new_event!(Level::Debug, "{round} event", round));
    };
    say("1");
    assert!(logger.enabled(Level::Trace, "noisy::part") && !logger.enabled(Level::Warn, "noisy"));
    logger.set_filter("debug,noisy=off").unwrap();
    say("2");
    assert!(!logger.enabled(Level::Fatal, "noisy::part") && logger.enabled(Level::Debug, "other"));
    let error = logger.set_filter("debug,noisy=loud").unwrap_err();
    assert_eq!((error.directive(), error.column()), ("noisy=loud", 7));
    say("3");
    logger.set_filter("off").unwrap();
    say("4");

    let report = end(&logger, &[("sink", &sink)]).await;
    let round = |n: &str| [format!("{n} debug"), format!("{n} info"), format!("{n} event")];
    let first = ["1 info", "1 part", "1 dynamic"].map(String::from);
    assert_eq!(sink.messages(), [first, round("2"), round("3")].concat());
    assert_eq!((report.emitted, report.refused.total()), (9, 0), "what the filter keeps out is not counted");
}

#[tokio::test(start_paused = true)]
async fn every_way_in_applies_the_filter() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("warn").sink("sink", sink.clone())).await;
    logger.emit(number(0));
    logger.try_emit(number(1)).unwrap();
    logger.emit_wait(number(2)).await.unwrap();
    assert_eq!(end(&logger, &[("sink", &sink)]).await.emitted, 0);
    // Also after the end: there is nothing to refuse.
    logger.try_emit(number(3)).unwrap();
    logger.emit_wait(number(4)).await.unwrap();
    assert_eq!(logger.stats().emitted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_event_costs_nothing_but_the_question() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("info,on=trace").sink("sink", sink.clone())).await;
    let evaluated = Cell::new(0);
    let touch = || evaluated.set(evaluated.get() + 1);
    let say = || {
        debug!(logger: logger, "off {n}", n = { touch(); 1 });
        debug!(logger: logger, target: "on", "on {n}", n = { touch(); 1 });
    };
    say();
    assert_eq!(evaluated.get(), 1);
    logger.set_filter("debug").unwrap();
    say();
    assert_eq!(evaluated.get(), 3);
    logger.set_filter("warn").unwrap();
    say();
    assert_eq!((evaluated.get(), logger.stats().emitted), (3, 3));
    end(&logger, &[("sink", &sink)]).await;
}
