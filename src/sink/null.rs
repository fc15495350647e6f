//! A sink task: the sink that discards.

use async_trait::async_trait;

use super::{Sink, SinkError};
use crate::event::Batch;

/// Takes every event and discards it.
///
/// Its pipeline counts the events as delivered: to measure a logger, or to switch a sink off by configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

#[async_trait]
impl Sink for NullSink {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
}
