//! The way out, second part: what is tried again, what is left alone, and who has what the sink does not take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod backoff;
mod bisection;
mod breaker;
mod fallback;
mod unconfirmed;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::stats::SinkStats;
use logweir::{Breaker, BreakerState, Builder, Pipeline, Retry};

use crate::support::{ScriptedSink, builder};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// More than any test's time.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Tried again without end after short waits, and never left alone.
fn stubborn(sink: &ScriptedSink) -> Pipeline {
    Pipeline::new(sink.clone()).retry(quick()).breaker(Breaker::never())
}

fn quick() -> Retry {
    Retry::default().initial_delay(MS).max_delay(MS).max_elapsed(DAY)
}

fn one_by_one() -> Builder<'static> {
    builder().batch_size(1)
}

/// Delivered, by the fallback, dropped, unconfirmed.
fn ends(sink: &SinkStats) -> [u64; 4] {
    [sink.delivered, sink.delivered_by_fallback, sink.dropped.total(), sink.unconfirmed]
}

/// What a callback was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<BreakerState>>>);

impl Told {
    fn callback(&self) -> impl Fn(BreakerState) + Send + Sync + 'static {
        let told = self.0.clone();
        move |state| told.lock().unwrap().push(state)
    }

    fn states(&self) -> Vec<BreakerState> {
        self.0.lock().unwrap().clone()
    }
}

/// It is this long, and the millisecond that tokio's timers are rounded up to.
fn is_about(got: Duration, expected: Duration) -> bool {
    (expected..=expected + 2 * MS).contains(&got)
}
