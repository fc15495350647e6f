//! The caller's thread, once: what becomes a pipeline.

use std::sync::Arc;

use super::Pipeline;
use crate::sink::{RequestSink, Sink, SinkAdapter};

/// What a logger delivers to: a [`Sink`], a [`RequestSink`], or a [`Pipeline`] to one of them. `Kind` says which, and is
/// inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink",
    label = "not a `Sink`, a `RequestSink` or a `Pipeline`",
    note = "implement `logweir::Sink` for `{Self}`; what is behind a `Box` or an `Arc` needs an implementation of its own"
)]
pub trait IntoPipeline<Kind> {
    /// Returns the pipeline; of a sink, the default one.
    fn into_pipeline(self) -> Pipeline;
}

/// The kind of a [`Pipeline`].
#[derive(Debug)]
pub enum ViaPipeline {}

/// The kind of a [`Sink`].
#[derive(Debug)]
pub enum ViaSink {}

/// The kind of a [`RequestSink`].
#[derive(Debug)]
pub enum ViaRequestSink {}

impl IntoPipeline<ViaPipeline> for Pipeline {
    fn into_pipeline(self) -> Pipeline {
        self
    }
}

impl<S: Sink> IntoPipeline<ViaSink> for S {
    fn into_pipeline(self) -> Pipeline {
        Pipeline::to(Arc::new(SinkAdapter::new(self)), false)
    }
}

impl<S: RequestSink> IntoPipeline<ViaRequestSink> for S {
    fn into_pipeline(self) -> Pipeline {
        Pipeline::to(Arc::new(self), true)
    }
}

impl<S: Sink> From<S> for Pipeline {
    fn from(sink: S) -> Self {
        sink.into_pipeline()
    }
}
