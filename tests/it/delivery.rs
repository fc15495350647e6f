//! The way out: what becomes of a batch at a sink that fails, hangs, panics or answers late; and what is said of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod barrier;
mod diagnostics;
mod feedback;
mod hostile;
mod isolation;
mod last_attempt;
mod outcome;
mod reopen;

use std::time::Duration;

use logweir::sink::SinkErrorKind;
use logweir::stats::SinkStats;
use logweir::{Builder, Pipeline};

use crate::support::{ScriptedSink, builder, once};

const SECOND: Duration = Duration::from_secs(1);

fn one_by_one() -> Builder<'static> {
    builder().batch_size(1)
}

/// A pipeline whose time is short, whatever the shutdown's is.
fn brief(sink: &ScriptedSink) -> Pipeline {
    once(sink.clone()).timeout(SECOND)
}

fn errors(sink: &SinkStats) -> Vec<(SinkErrorKind, u64)> {
    SinkErrorKind::ALL.into_iter().map(|kind| (kind, sink.errors_of(kind))).filter(|(_, count)| *count > 0).collect()
}
