//! Anywhere (pure): an event as a sink or a format sees it.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Callsite, Event, EventId, Fields, Level, Message, SharedFields, Value, template};

/// An event as a sink or a format sees it: with the logger's enrichment.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) event: &'a Event,
    pub(super) enrichment: Option<&'a Arc<SharedFields>>,
    pub(super) id: EventId,
}

impl<'a> Record<'a> {
    /// Returns the event itself.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// Returns the id of the event, the same in every sink and every attempt. Of an event that no logger dispatched, it is
    /// zero.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Returns the level.
    pub fn level(&self) -> Level {
        self.event.level()
    }

    /// Returns the time it was emitted, in nanoseconds since the Unix epoch.
    pub fn timestamp_nanos(&self) -> u64 {
        self.event.timestamp
    }

    /// Returns the time it was emitted.
    pub fn timestamp(&self) -> SystemTime {
        self.event.timestamp()
    }

    /// Returns the target, by which filters decide.
    pub fn target(&self) -> &'a str {
        self.event.target()
    }

    /// Returns the message: the template with its holes filled.
    pub fn message(&self) -> Message<'a> {
        self.event.message()
    }

    /// Returns every field once: the event's own, then its context's, then the logger's enrichment. Of equal names the
    /// nearest wins; a span's field that it hides is `span.field`.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new([
            self.event.layer(),
            self.event.context.as_deref().map(SharedFields::layer).unwrap_or_default(),
            self.enrichment.map(|enrichment| enrichment.layer()).unwrap_or_default(),
        ])
    }

    /// Returns the fields that the message does not show, for formats that people read.
    pub fn fields_beside_message(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let record = *self;
        let fields = self.fields().enumerate();
        fields.filter(move |(index, (name, _))| !record.shows(*index, name)).map(|(_, field)| field)
    }

    /// Returns whether the message shows the field of this number and name.
    pub(crate) fn shows(&self, index: usize, name: &str) -> bool {
        let Callsite { names, template, .. } = self.event.callsite;
        // A truncated event may lack the last fields of its call site.
        names.get(index).is_some_and(|own| std::ptr::eq(*own, name)) && template::shows(template, index)
    }

    /// Returns the value of the field of this name.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns whether a value was truncated because the event was longer than the logger allows.
    pub fn is_truncated(&self) -> bool {
        self.event.is_truncated()
    }
}

impl<'a> From<&'a Event> for Record<'a> {
    fn from(event: &'a Event) -> Self {
        Record { event, enrichment: None, id: EventId::ZERO }
    }
}

impl<'a> Record<'a> {
    pub(crate) fn enriched(event: &'a Event, enrichment: Option<&'a Arc<SharedFields>>, id: EventId) -> Self {
        Record { event, enrichment, id }
    }

    /// Returns about the least bytes of its encoded form that are not in the event itself: what it has on the heap, its context
    /// and the enrichment.
    pub(crate) fn shared_bytes(&self) -> usize {
        let shared = |fields: &SharedFields| fields.bytes();
        self.event.spilled_bytes()
            + self.event.context().map_or(0, |context| shared(context))
            + self.enrichment.map_or(0, |enrichment| shared(enrichment))
    }

    pub(crate) fn enrichment(&self) -> Option<&'a Arc<SharedFields>> {
        self.enrichment
    }

    /// Returns the fields of the enrichment.
    #[cfg(feature = "otlp")]
    pub(crate) fn enrichment_fields(&self) -> Fields<'a> {
        let enrichment = self.enrichment.map(|enrichment| enrichment.layer()).unwrap_or_default();
        Fields::new([Default::default(), Default::default(), enrichment])
    }

    /// Returns the record without what other events of its logger have too.
    #[cfg(feature = "otlp")]
    pub(crate) fn without_enrichment(self) -> Self {
        Record { enrichment: None, ..self }
    }
}
