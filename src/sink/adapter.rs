//! A sink task: a [`Sink`] as a [`RequestSink`]: one request for each batch, without a body.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::request::{Acknowledges, Batching, Duplicates, Encoded, Request, RequestSink};
use super::{Answer, Sink, SinkError};
use crate::event::Batch;

/// Gives each call of a sink the exclusive access that it needs.
pub(crate) struct SinkAdapter {
    // A tokio lock: a call owns the sink for as long as it runs, even after its timeout. No call waits for it, because the
    // pipeline makes none before the late one has returned.
    sink: Mutex<Box<dyn Sink>>,
    /// What the sink reported last, for the time it is busy.
    written_bytes: AtomicU64,
}

impl SinkAdapter {
    pub(crate) fn new(sink: impl Sink) -> Self {
        SinkAdapter { sink: Mutex::new(Box::new(sink)), written_bytes: AtomicU64::new(0) }
    }

    /// Asks the sink about itself; `busy` is the answer while a late call has it.
    fn ask<T>(&self, busy: T, question: impl FnOnce(&mut Box<dyn Sink>) -> T) -> T {
        self.sink.try_lock().map_or(busy, |mut sink| question(&mut sink))
    }
}

#[async_trait]
impl RequestSink for SinkAdapter {
    fn open(&self) -> Result<(), SinkError> {
        self.ask(Ok(()), |sink| sink.open())
    }

    fn encode(&self, batch: &Batch, _body: &mut Vec<u8>) -> Encoded {
        Encoded::all(batch)
    }

    async fn send(&self, request: &Request) -> Answer {
        self.sink.lock().await.write(&request.batch).await.into()
    }

    async fn flush(&self) -> Result<(), SinkError> {
        self.sink.lock().await.flush().await
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.sink.lock().await.close().await
    }

    async fn reopen(&self) -> Result<(), SinkError> {
        self.sink.lock().await.reopen().await
    }

    fn written_bytes(&self) -> u64 {
        let bytes = self.ask(None, |sink| Some(sink.written_bytes()));
        bytes.inspect(|bytes| self.written_bytes.store(*bytes, Ordering::Relaxed));
        self.written_bytes.load(Ordering::Relaxed)
    }

    fn take_error(&self) -> Option<SinkError> {
        self.ask(None, |sink| sink.take_error())
    }

    fn default_timeout(&self) -> Duration {
        self.ask(Duration::from_secs(5), |sink| sink.default_timeout())
    }

    fn default_batching(&self) -> Batching {
        self.ask(Batching::DISPATCHED, |sink| sink.default_batching())
    }

    fn acknowledges(&self) -> Acknowledges {
        self.ask(Acknowledges::Written, |sink| sink.acknowledges())
    }

    fn duplicates(&self) -> Duplicates {
        self.ask(Duplicates::Possible, |sink| sink.duplicates())
    }

    fn outlives_timeout(&self) -> bool {
        self.ask(false, |sink| sink.outlives_timeout())
    }

    fn encodes_for_network(&self) -> bool {
        false
    }
}
