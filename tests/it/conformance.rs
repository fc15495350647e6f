//! The sinks of this crate keep the rules that are published for everyone's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use logweir::sink::{BlockingSink, FileSink, MemorySink, NullSink};
use logweir::testing::conformance;
use logweir::{Batch, Blocking, Sink, SinkError, async_trait};

use crate::support::{Answer, ScriptedSink};

/// What a check says of a sink that breaks a rule.
async fn complaint<S: Sink>(make: impl FnMut() -> S) -> String {
    let payload = std::panic::AssertUnwindSafe(conformance(make)).catch_unwind().await.unwrap_err();
    payload.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn our_sinks_keep_the_rules_of_sinks() {
    conformance(MemorySink::new).await;
    conformance(|| NullSink).await;
    let dir = std::env::temp_dir().join(format!("logweir-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let files = AtomicU64::new(0);
    conformance(|| FileSink::new(dir.join(format!("{}.log", files.fetch_add(1, Ordering::Relaxed))))).await;
    std::fs::remove_dir_all(&dir).unwrap();

    struct Sync;
    impl BlockingSink for Sync {
        fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Ok(())
        }
    }
    conformance(|| Blocking::new(Sync)).await;
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
