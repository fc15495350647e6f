//! What is logged in a scope carries its fields, wherever its task runs; nothing else does, and who pays is settled.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use logweir::event::FieldSet;
use logweir::{CorrelationId, DropReason, Logger, Overflow, current_scope, fields, in_scope, info, new_event, scope};
use tokio::task::yield_now;

use crate::support::{ScriptedSink, Seen, builder, end, number, start};

/// The event's fields as `a=1 b=2`.
fn shown(seen: &Seen) -> String {
    let fields: Vec<_> = seen.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join(" ")
}

fn all_shown(sink: &ScriptedSink) -> Vec<String> {
    sink.taken().iter().map(shown).collect()
}

async fn logger() -> (Logger, ScriptedSink) {
    let sink = ScriptedSink::new();
    (start(builder().sink("sink", sink.clone())).await, sink)
}

/// Polls once; the future is not ready.
fn poll_once<F: Future>(future: Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_scope_follows_its_future_to_another_thread_and_is_left_between_two_polls() {
    let (logger, sink) = logger().await;
    let (inside, outside) = (logger.clone(), logger.clone());
    let mut task = Box::pin(scope(fields![request = 7], async move {
        info!(logger: inside, "first");
        yield_now().await;
        info!(logger: inside, "second");
    }));
    poll_once(task.as_mut());
    info!(logger: outside, "between");
    thread::spawn(move || {
        info!(logger: outside, "elsewhere");
        let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(()));
        info!(logger: outside, "after");
    })
    .join()
    .unwrap();
    end(&logger, &[("sink", &sink)]).await;
    let said: Vec<_> = sink.taken().iter().map(|seen| format!("{} {}", seen.message, shown(seen))).collect();
    assert_eq!(said, ["first request=7", "between ", "elsewhere ", "second request=7", "after "]);
}

#[test]
fn every_task_of_a_busy_runtime_has_its_own_scope_and_never_anothers() {
    const TASKS: u64 = 200;
    let sink = ScriptedSink::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let logger = builder().lanes(4).overflow(Overflow::DropNewest).sink("sink", sink.clone()).start().unwrap();
        let task = |number: u64| {
            let logger = logger.clone();
            scope(fields![number], async move {
                for step in 0..10 {
                    info!(logger: logger, "{step} of {expected}", step, expected = number);
                    yield_now().await;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(task(number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        end(&logger, &[("sink", &sink)]).await;
    });
    let value = |seen: &Seen, name| seen.fields.iter().find(|(other, _)| other == name).unwrap().1.clone();
    let taken = sink.taken();
    assert_eq!(taken.len() as u64, 10 * TASKS);
    assert!(taken.iter().all(|seen| value(seen, "number") == value(seen, "expected")));
}

#[tokio::test(start_paused = true)]
async fn the_nearest_field_wins_event_then_handle_then_inner_scope_then_outer_then_enrichment() {
    let sink = ScriptedSink::new();
    let enriched = ["a", "b", "c", "d", "e"].iter().fold(builder(), |builder, key| builder.enrich(key, "logger"));
    let logger = start(enriched.sink("sink", sink.clone())).await;
    let handle = logger.with("a", "handle").with("b", "handle");
    scope(fields![a = "outer", b = "outer", c = "outer", d = "outer"], async {
        scope(fields![a = "inner", b = "inner", c = "inner"], async {
            info!(logger: handle, "", a = "event");
            info!(logger: logger, "");
        })
        .await;
        info!(logger: handle, "");
    })
    .await;
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(
        all_shown(&sink),
        [
            "a=event b=handle c=inner d=outer e=logger",
            "a=inner b=inner c=inner d=outer e=logger",
            "a=handle b=handle c=outer d=outer e=logger",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_is_in_no_scope_a_wrapped_one_within_the_spawners_and_a_carried_one_in_it() {
    let (logger, sink) = logger().await;
    let log = |message: &'static str| {
        let logger = logger.clone();
        async move { info!(logger: logger, "{message}", message) }
    };
    in_scope(fields![request = 1], || {
        let here = current_scope();
        let tasks = [
            tokio::spawn(log("spawned")),
            tokio::spawn(scope(fields![job = 2], log("wrapped"))),
            tokio::spawn(here.clone().run(log("carried"))),
        ];
        assert_eq!(here.field("request").unwrap(), 1);
        assert!(here.field("job").is_none());
        tasks
    });
    // Made outside, a scope is within none, whatever it runs in.
    let apart = logweir::Scope::new(fields![apart = true]);
    in_scope(fields![request = 3], || apart.in_scope(|| logger.emit(new_event!(logweir::Level::Info, "apart"))));
    in_scope(fields![request = 4], || {
        thread::scope(|threads| {
            threads.spawn(|| assert!(current_scope().field("request").is_none()));
        });
        let nowhere = thread::spawn(current_scope).join().unwrap();
        nowhere.in_scope(|| logger.emit(new_event!(logweir::Level::Info, "nowhere")));
        logger.emit(new_event!(logweir::Level::Info, "again"));
    });
    yield_now().await;
    yield_now().await;
    end(&logger, &[("sink", &sink)]).await;
    let said: Vec<_> = sink.taken().iter().map(shown).collect();
    assert_eq!(
        said,
        [
            "apart=true",
            "",
            "request=4",
            "message=spawned",
            "message=wrapped job=2 request=1",
            "message=carried request=1",
        ]
    );
}

/// Logs when it is dropped.
struct Guard(Logger);

impl Drop for Guard {
    fn drop(&mut self) {
        info!(logger: self.0, "dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_cancelled_futures_destructor_logs_is_in_its_scope_and_the_scope_is_left() {
    let (logger, sink) = logger().await;
    let guard = Guard(logger.clone());
    let mut task = Box::pin(scope(fields![request = 7], async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    poll_once(task.as_mut());
    in_scope(fields![other = 8], || {
        drop(task);
        info!(logger: logger, "after");
    });
    info!(logger: logger, "outside");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(all_shown(&sink), ["request=7", "other=8", ""]);
}

#[tokio::test(start_paused = true)]
async fn what_the_destructor_of_a_future_logs_that_never_ran_is_in_its_scope_too() {
    let (logger, sink) = logger().await;
    let guard = Guard(logger.clone());
    let task = scope(fields![request = 7], async move {
        let _guard = guard;
    });
    in_scope(fields![other = 8], || {
        drop(task);
        info!(logger: logger, "after");
    });
    info!(logger: logger, "outside");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(all_shown(&sink), ["request=7", "other=8", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_the_scope_it_happens_in() {
    let (logger, sink) = logger().await;
    let guard = Guard(logger.clone());
    let mut task = Box::pin(scope(fields![request = 7], async move {
        let _guard = guard;
        panic!("in a scope");
    }));
    let panicked = catch_unwind(AssertUnwindSafe(|| poll_once::<_>(task.as_mut())));
    assert!(panicked.is_err());
    drop(task);
    assert!(catch_unwind(|| in_scope(fields![job = 8], || panic!("in a scope"))).is_err());
    info!(logger: logger, "after");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(all_shown(&sink), ["request=7", ""]);
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_for_room_or_are_handed_back_are_dressed_where_they_are_logged() {
    let sink = ScriptedSink::new();
    let builder = builder().queue_capacity(1).overflow(Overflow::DropNewest);
    let logger = start(builder.sink("sink", sink.clone())).await;
    let handed_back = scope(fields![request = 7], async {
        logger.emit_wait(number(0)).await.unwrap();
        logger.try_emit(number(1)).unwrap_err().into_event()
    })
    .await;
    assert_eq!(handed_back.fields().count(), 0, "as it was given");
    let flushed = logger.flush(crate::support::PATIENCE).await;
    assert!(flushed.complete);
    logger.try_emit(handed_back).unwrap();
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), all_shown(&sink)), (vec![0, 1], vec!["request=7".into(), "".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_scopes_context_is_charged_once_to_each_logger_that_logs_in_it_and_given_back_at_its_end() {
    let ((one, sink_one), (two, sink_two)) = (logger().await, logger().await);
    let bytes = |logger: &Logger| logger.stats().queued_bytes;
    let handle = one.with("user", "ada");
    let of_handle = bytes(&one);
    let flush = async || assert!(one.flush(crate::support::PATIENCE).await.complete);
    scope(fields![text = "x".repeat(1000)], async {
        assert_eq!(bytes(&one), of_handle, "nothing was logged yet");
        one.emit(number(0));
        let of_scope = bytes(&one) - of_handle;
        assert!(of_scope > 1000 && bytes(&two) == 0);
        (1..100).for_each(|n| one.emit(number(n)));
        assert_eq!(bytes(&one), of_handle + of_scope, "events share one context");
        handle.emit(number(100));
        let both = bytes(&one);
        assert!(both > of_handle + 2 * of_scope, "the handle's and the scope's fields together");
        (101..200).for_each(|n| handle.emit(number(n)));
        assert_eq!(bytes(&one), both);
        two.emit(number(0));
        assert_eq!(bytes(&two), of_scope);
        // Handles that come and go, as one for each message would: a few of their contexts are kept, not all.
        for n in 200..300 {
            one.with("message", n).emit(number(n));
            flush().await;
        }
        assert!(bytes(&one) < both + 10 * 2 * of_scope, "{} {both}", bytes(&one));
    })
    .await;
    flush().await;
    assert_eq!(bytes(&one), of_handle);
    end(&one, &[("sink", &sink_one)]).await;
    end(&two, &[("sink", &sink_two)]).await;
    assert_eq!((bytes(&two), sink_one.seen(), sink_two.seen()), (0, 300, 1));
}

#[tokio::test(start_paused = true)]
async fn events_of_a_scope_without_memory_are_refused_until_there_is_some() {
    let sink = ScriptedSink::new();
    // 64 KiB for the queue, of which the lane takes 4 and contexts may take half of the rest.
    let small = builder().queue_capacity(32).memory_limit(128 << 10).max_event_bytes(16 << 10);
    let logger = start(small.sink("sink", sink.clone())).await;
    let large = logger.with("large", "x".repeat(20 << 10));
    let report = scope(fields![text = "x".repeat(20 << 10)], async {
        logger.emit(number(0));
        logger.try_emit(number(1)).unwrap_err();
        drop(large);
        logger.emit(number(2));
        end(&logger, &[("sink", &sink)]).await
    })
    .await;
    assert_eq!((sink.numbers(), report.refused.get(DropReason::Memory)), (vec![2], 1));
}

#[test]
fn fields_of_names_known_late_and_none_at_all_make_a_scope_too() {
    let set = FieldSet::new().with("a", 1).with("a", 2).with("b", "x");
    in_scope(set, || {
        in_scope(fields![], || {
            let here = current_scope();
            assert_eq!((here.field("a").unwrap(), here.field("b").unwrap()), (2.into(), "x".into()));
            assert_eq!(format!("{here:?}"), r#"Scope(Some({"a": I64(2), "b": Str("x")}))"#);
        });
    });
    assert_eq!(format!("{:?}", current_scope()), "Scope(None)");
}

#[tokio::test]
async fn a_scope_is_send_and_waits_as_its_future_does() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let mut polls = 0;
    let waiting = poll_fn(move |cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
    });
    assert_eq!(tokio::spawn(send(scope(fields![x = 1], waiting))).await.unwrap(), 3);
}

#[test]
fn correlation_ids_are_unique_and_sort_in_the_order_they_were_made_in() {
    let make = || (0..20_000).map(|_| CorrelationId::new()).collect::<Vec<_>>();
    let lists: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let texts: HashSet<String> = lists.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 80_000);
    assert!(texts.iter().all(|text| text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    for list in lists {
        assert!(list.is_sorted() && list.is_sorted_by_key(ToString::to_string));
    }
}
