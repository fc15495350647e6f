//! Anywhere (pure): an event as a test examines it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::{Event, EventId, Fields, Level, Record, SharedFields, Value};

/// An event that a [`MemorySink`](super::MemorySink) keeps, with its context and the logger's enrichment.
#[derive(Clone)]
pub struct CapturedEvent {
    pub(super) event: Event,
    pub(super) enrichment: Option<Arc<SharedFields>>,
    pub(super) id: EventId,
}

impl CapturedEvent {
    pub(super) fn of(record: Record<'_>) -> Self {
        CapturedEvent { event: record.event().clone(), enrichment: record.enrichment().cloned(), id: record.id() }
    }

    /// Returns the event's id, the same in every sink.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Returns the event's importance.
    pub fn level(&self) -> Level {
        self.event.level()
    }

    /// Returns the target that filters use: the module's path, unless the call sets another.
    pub fn target(&self) -> &str {
        self.event.target()
    }

    /// Returns the module's path.
    pub fn module(&self) -> Option<&str> {
        self.event.module()
    }

    /// Returns the source file.
    pub fn file(&self) -> Option<&str> {
        self.event.file()
    }

    /// Returns the line in the source file.
    pub fn line(&self) -> Option<u32> {
        self.event.line()
    }

    /// Returns the message template, as written in the call; `None` for an [`Event::new`].
    pub fn template(&self) -> Option<&'static str> {
        self.event.template()
    }

    /// Returns the message: the template with its placeholders filled.
    pub fn message(&self) -> String {
        self.event.message().to_string()
    }

    /// Returns the value of the field of this name: the event's own, else its context's, else the logger's enrichment.
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        self.record().field(name)
    }

    /// Returns every field once, in the search order of [`field`](CapturedEvent::field).
    pub fn fields(&self) -> Fields<'_> {
        self.record().fields()
    }

    /// Returns the time of emission.
    pub fn timestamp(&self) -> SystemTime {
        self.event.timestamp()
    }

    /// Returns whether a value was truncated because the event exceeded the logger's size limit.
    pub fn is_truncated(&self) -> bool {
        self.event.is_truncated()
    }

    /// Returns the event itself, without the enrichment.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the event as a [`Format`](crate::Format) gets it.
    pub fn record(&self) -> Record<'_> {
        Record::enriched(&self.event, self.enrichment.as_ref(), self.id)
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
