//! A sink task: takes a step at a time and carries it out. What a failed write leads to is decided here, and only here.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use tokio::time::{Instant, timeout};

use super::ledger::From;
use super::station::{Attempt, Outcome, Station, Step};
use crate::sink::{Sink, SinkError};
use crate::suppress::suppress;

/// Delivers until the station is closed.
pub(crate) async fn deliver(station: Arc<Station>, mut sink: Box<dyn Sink>) {
    loop {
        match station.next().await {
            Step::Write(attempt) => {
                write(&station, &mut *sink, &attempt).await;
                station.release(&attempt);
            }
            Step::Flush(barrier) => {
                let result = call(&station, sink.outlives_timeout(), "flush", async { sink.flush().await }).await;
                station.flushed(barrier, result);
            }
            Step::Reopen(ticket) => {
                let result = call(&station, sink.outlives_timeout(), "reopen", async { sink.reopen().await }).await;
                station.reopened(ticket, result);
            }
            Step::Close => {
                let result = call(&station, sink.outlives_timeout(), "close", async { sink.close().await }).await;
                station.closed(result, sink.written_bytes());
                return;
            }
        }
    }
}

/// Writes a batch and books where its events ended.
async fn write(station: &Station, sink: &mut dyn Sink, attempt: &Attempt) {
    let started = Instant::now();
    let outlives_timeout = sink.outlives_timeout();
    let (answer, from) = {
        let mut write = pin!(guarded(async { sink.write(&attempt.batch).await }));
        match timeout(station.timeout(), &mut write).await {
            Ok(answer) => (answer, From::InFlight),
            Err(_) => {
                station.give_up(attempt);
                if !outlives_timeout {
                    return;
                }
                // The write goes on behind our back: its answer settles the events after all, and a second write
                // before it would mix the two.
                (write.await, From::Unconfirmed)
            }
        }
    };
    let outcome = answer.map_or_else(Outcome::Failed, |()| Outcome::Delivered);
    station.settle(attempt, outcome, from, started.elapsed(), sink.written_bytes());
}

/// A call that carries no events: its time is bounded, a late answer is waited for where there will be one.
async fn call(
    station: &Station,
    outlives_timeout: bool,
    name: &str,
    future: impl Future<Output = Result<(), SinkError>>,
) -> Result<(), SinkError> {
    let mut future = pin!(guarded(future));
    match timeout(station.timeout(), &mut future).await {
        Ok(answer) => answer,
        Err(_) if outlives_timeout => future.await,
        Err(_) => Err(station.timeout_error(name)),
    }
}

/// What the sink logs is suppressed, a panic of it is an error. The call itself is to be inside the future: a sink
/// written without `async` may panic before there is one.
async fn guarded(future: impl Future<Output = Result<(), SinkError>>) -> Result<(), SinkError> {
    match suppress(AssertUnwindSafe(future).catch_unwind()).await {
        Ok(answer) => answer,
        Err(payload) => Err(SinkError::panicked(payload)),
    }
}
