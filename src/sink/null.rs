//! A sink task: the sink that discards events.

use async_trait::async_trait;

use super::{Sink, SinkError};
use crate::event::Batch;

/// Accepts every event and discards it.
///
/// Its pipeline counts the events as delivered. Use it to measure a logger, or to disable a sink by configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

#[async_trait]
impl Sink for NullSink {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
}
