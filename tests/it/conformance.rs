//! The sinks of this crate keep the rules that are published for everyone's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod requests;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use logweir::sink::{BlockingSink, ConsoleSink, Durability, FileSink, MemorySink, NullSink, Rolling};
use logweir::testing::conformance;
use logweir::{Batch, Blocking, Level, Sink, SinkError, async_trait};

use crate::children::{Plain, ROLE, child_of, folder};
use crate::support::{Answer, ScriptedSink};

/// What arrives of all the courses' writes at a sink that outlives timeouts, whose writes are not cancelled.
fn courses() -> Vec<String> {
    [1, 100, 2, 1, 10, 10, 1].iter().flat_map(|events| (0..*events).map(|n| format!("event {n}"))).collect()
}

/// What a check says of a sink that breaks a rule.
async fn complaint<S: Sink>(make: impl FnMut() -> S) -> String {
    let payload = std::panic::AssertUnwindSafe(conformance(make)).catch_unwind().await.unwrap_err();
    payload.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn our_sinks_keep_the_rules_of_sinks() {
    conformance(MemorySink::new).await;
    conformance(|| NullSink).await;
    let dir = folder("conformance");
    for durability in [Durability::Buffered, Durability::SyncOnFlush, Durability::SyncEveryBatch] {
        let path = dir.join(format!("{durability:?}.log"));
        // One after the other to the same file.
        conformance(|| FileSink::new(&path).durability(durability).format(Plain)).await;
        assert_eq!(fs::read_to_string(&path).unwrap().lines().collect::<Vec<_>>(), courses());
    }
    let rolled = dir.join("rolled/app.log");
    conformance(|| FileSink::new(&rolled).rolling(Rolling::daily().max_bytes(20)).format(Plain)).await;
    let mut names: Vec<_> = fs::read_dir(dir.join("rolled")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| *path != rolled);
    names.sort();
    let lines: String = names.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), courses());
    let files = AtomicU64::new(0);
    conformance(|| FileSink::new(dir.join(format!("{}.log", files.fetch_add(1, Ordering::Relaxed))))).await;

    struct Sync;
    impl BlockingSink for Sync {
        fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Ok(())
        }
    }
    conformance(|| Blocking::new(Sync)).await;
}

/// Where the console is a pipe.
#[tokio::test]
async fn the_child() {
    match std::env::var(ROLE).ok().as_deref() {
        None => return,
        Some("stdout") => conformance(|| ConsoleSink::stdout().format(Plain)).await,
        Some("stderr") => conformance(|| ConsoleSink::stderr().format(Plain)).await,
        Some("below") => conformance(|| ConsoleSink::stdout().stderr_from(Level::Warn).format(Plain)).await,
        Some("above") => conformance(|| ConsoleSink::stdout().stderr_from(Level::Info).format(Plain)).await,
        Some("text") => conformance(ConsoleSink::stderr).await,
        Some(role) => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

#[test]
fn the_console_keeps_the_rules_of_sinks() {
    for (role, is_stdout) in [("stdout", true), ("below", true), ("stderr", false), ("above", false), ("text", false)] {
        let output = child_of("conformance::the_child", role).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{role}: {}: {stderr}", output.status);
        // The test harness writes to standard output, too.
        let (there, elsewhere) = if is_stdout { (&stdout, &stderr) } else { (&stderr, &stdout) };
        let events = there.lines().filter_map(|line| Some(line[line.find("event ")?..].trim_end()));
        // Text has the field behind the message.
        let events: Vec<_> = events.map(|event| event.split(" n=").next().unwrap().trim_end()).collect();
        assert_eq!(events, courses(), "{role}");
        assert!(!elsewhere.contains("event "), "{role}: {elsewhere}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_cancelled_in_the_middle_of_a_write_keeps_the_rules_too() {
    conformance(|| ScriptedSink::always(Answer::Slow(Duration::from_millis(5)))).await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_is_named() {
    let failing = complaint(|| ScriptedSink::always(Answer::Temporary)).await;
    assert!(failing.starts_with("writes, flushes, a close: `write` succeeds"), "{failing}");
    let hung = complaint(|| ScriptedSink::always(Answer::Hang)).await;
    assert!(hung.contains("`write` ends within 30s"), "{hung}");

    /// Torn by a cancelled write, and never whole again.
    #[derive(Default)]
    struct Torn(bool);
    #[async_trait]
    impl Sink for Torn {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            if std::mem::replace(&mut self.0, true) {
                return Err(SinkError::permanent("half a line is there"));
            }
            tokio::task::yield_now().await;
            self.0 = false;
            Ok(())
        }
    }
    let torn = complaint(Torn::default).await;
    assert!(torn.starts_with("a write that is cancelled: `write` succeeds, also after a call"), "{torn}");
}

#[tokio::test]
async fn a_write_that_blocks_its_thread_breaks_a_rule() {
    struct Blocks;
    #[async_trait]
    impl Sink for Blocks {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            std::thread::sleep(Duration::from_millis(150));
            Ok(())
        }
    }
    let blocks = complaint(|| Blocks).await;
    assert!(blocks.contains("`write` leaves its thread to others while it waits"), "{blocks}");
}
