//! Anywhere (pure): an event as a test looks at it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::{Event, Fields, Level, Record, SharedFields, Value};

/// An event that a [`MemorySink`](super::MemorySink) keeps, with its context and the logger's enrichment.
#[derive(Clone)]
pub struct CapturedEvent {
    pub(super) event: Event,
    pub(super) enrichment: Option<Arc<SharedFields>>,
}

impl CapturedEvent {
    /// How important it is.
    pub fn level(&self) -> Level {
        self.event.level()
    }

    /// What filters go by: the module's path, unless the call gave another.
    pub fn target(&self) -> &str {
        self.event.target()
    }

    /// The module's path.
    pub fn module(&self) -> Option<&str> {
        self.event.module()
    }

    /// The source file.
    pub fn file(&self) -> Option<&str> {
        self.event.file()
    }

    /// The line in the source file.
    pub fn line(&self) -> Option<u32> {
        self.event.line()
    }

    /// The message template, as written in the call; none for an [`Event::new`].
    pub fn template(&self) -> Option<&'static str> {
        self.event.template()
    }

    /// The message: the template with its holes filled.
    pub fn message(&self) -> String {
        self.event.message().to_string()
    }

    /// The value of the field of this name: the event's own, else its context's, else the logger's enrichment.
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        self.record().field(name)
    }

    /// Every field once, in the order of [`field`](CapturedEvent::field)'s search.
    pub fn fields(&self) -> Fields<'_> {
        self.record().fields()
    }

    /// When it was emitted.
    pub fn timestamp(&self) -> SystemTime {
        self.event.timestamp()
    }

    /// Whether a value was cut because the event was longer than the logger allows.
    pub fn is_truncated(&self) -> bool {
        self.event.is_truncated()
    }

    /// The event itself, without the enrichment.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event as a [`Format`](crate::Format) is given it.
    pub fn record(&self) -> Record<'_> {
        Record::enriched(&self.event, self.enrichment.as_deref())
    }
}

impl fmt::Debug for CapturedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("level", &self.level())
            .field("target", &self.target())
            .field("message", &self.message())
            .field("fields", &self.fields())
            .finish_non_exhaustive()
    }
}
