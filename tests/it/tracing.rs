//! Call sites of `tracing` log through the layer as they are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod events;
mod filters;
mod memory;
#[cfg(feature = "opentelemetry")]
mod otel;
mod peer;
mod spans;

use std::sync::{Arc, Mutex};

use logweir::bridge::tracing::TracingLayer;
use logweir::sink::{CapturedEvent, MemorySink};
use logweir::{Builder, Logger};
use tracing::subscriber::{DefaultGuard, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

use crate::support::{self, PATIENCE};

/// A logger into memory, on this test's runtime.
struct Weir {
    logger: Logger,
    memory: MemorySink,
}

impl Weir {
    async fn new() -> Self {
        Weir::with(support::builder()).await
    }

    async fn filter(filter: &str) -> Self {
        Weir::with(support::builder().filter(filter)).await
    }

    async fn with(builder: Builder<'_>) -> Self {
        let memory = MemorySink::new();
        let logger = support::start(builder.sink("memory", memory.clone())).await;
        Weir { logger, memory }
    }

    /// Its layer is what this thread logs to, until the guard is dropped.
    fn listen(&self) -> DefaultGuard {
        registry().with(self.logger.tracing_layer()).set_default()
    }

    /// As [`Weir::listen`], with options.
    fn listen_as(&self, set: impl FnOnce(TracingLayer) -> TracingLayer) -> DefaultGuard {
        registry().with(set(TracingLayer::new(&self.logger)).filtered()).set_default()
    }

    /// Shuts down, balances the books, and gives what was delivered.
    async fn end(&self) -> Vec<CapturedEvent> {
        let report = self.logger.shutdown(PATIENCE).await;
        support::balance(&report, &[("memory", self.memory.total())]);
        assert_eq!(report.refused.total() + report.evicted.total(), 0, "{report}");
        self.memory.events()
    }

    /// As [`Weir::end`], each event as its message and its fields.
    async fn lines(&self) -> Vec<String> {
        self.end().await.iter().map(line).collect()
    }
}

/// `message name=value name=value`
fn line(event: &CapturedEvent) -> String {
    let fields = event.fields().map(|(name, value)| format!(" {name}={value}"));
    event.message() + &fields.collect::<String>()
}

/// A layer beside ours that writes down what it is told.
#[derive(Clone, Default)]
struct Beside(Arc<Mutex<Vec<String>>>);

impl Beside {
    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn tell(&self, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Beside {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        self.tell(event.metadata().target());
    }

    fn on_new_span(&self, span: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        self.tell(span.metadata().name());
    }
}
