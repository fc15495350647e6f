//! Destinations that answer for each event of a request: the result of every event, in what requests they come, and when.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod answers;
mod batching;
mod ids;
mod network;
mod pauses;

use std::time::Duration;

use logweir::stats::SinkStats;
use logweir::{Breaker, IntoPipeline, Pipeline, Retry};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A pipeline that never gives up and whose breaker never opens.
fn stubborn<Kind>(sink: impl IntoPipeline<Kind>) -> Pipeline {
    Pipeline::new(sink).retry(quick().max_elapsed(Duration::from_secs(24 * 3600))).breaker(Breaker::never())
}

fn quick() -> Retry {
    Retry::default().initial_delay(10 * MS).max_delay(20 * MS).seed(1)
}

/// Delivered, by fallbacks, dropped, unconfirmed.
fn ends(sink: &SinkStats) -> [u64; 4] {
    [sink.delivered, sink.delivered_by_fallback, sink.dropped.total(), sink.unconfirmed]
}
