//! The caller's thread: the ids of the OpenTelemetry span that is active here. Without the feature `opentelemetry`
//! there are none, and this code compiles to nothing.

use crate::event::{Event, FieldPairs};

/// The ids of a span's events, as far as they are known.
#[derive(Clone, Copy)]
pub(super) enum Active {
    /// The span may not be the active one: use the ids it had before, if any.
    Unknown,
    Is(Option<Ids>),
}

impl Active {
    #[inline]
    pub(super) fn for_event(event: &tracing_core::Event<'_>) -> Self {
        // OpenTelemetry may log its own events while it changes the active span.
        if event.is_contextual() && !event.metadata().target().starts_with("opentelemetry") {
            Active::Is(ids::active())
        } else {
            Active::Unknown
        }
    }

    pub(super) fn ids(self) -> Option<Ids> {
        match self {
            Active::Unknown => None,
            Active::Is(ids) => ids,
        }
    }

    /// Returns whether a context with these ids can be used.
    #[inline]
    pub(super) fn is(self, ids: Option<Ids>) -> bool {
        match self {
            Active::Unknown => true,
            Active::Is(active) => active == ids,
        }
    }

    /// Adds the ids to an event outside of spans.
    #[inline]
    pub(super) fn add_to(self, event: &mut Event) {
        if let Some(ids) = self.ids() {
            let mut fields = FieldPairs::new();
            ids.set_in(&mut fields);
            event.push_all(&fields);
        }
    }
}

pub(super) use ids::{Ids, watch_thread};

#[cfg(feature = "opentelemetry")]
mod ids {
    use std::cell::Cell;
    use std::panic::catch_unwind;

    use opentelemetry::trace::{SpanId, TraceContextExt, TraceId};

    use crate::context::suppress::SuppressGuard;
    use crate::event::{FieldPairs, TextKind};

    /// Whether this thread's record of OpenTelemetry can be read: after its destructor, a read panics.
    #[derive(Clone, Copy, PartialEq)]
    enum RecordState {
        Unknown,
        Readable,
        Dropped,
    }

    thread_local! {
        // Constant and without a destructor.
        static STATE: Cell<RecordState> = const { Cell::new(RecordState::Unknown) };
        /// Made after the record, so dropped before it.
        static SENTINEL: Sentinel = const { Sentinel };
    }

    struct Sentinel;

    impl Drop for Sentinel {
        fn drop(&mut self) {
            STATE.set(RecordState::Dropped);
        }
    }

    /// Learns when this thread's record is dropped. Called when a span is entered too: then a thread that used
    /// OpenTelemetry and logs its first event in a destructor is known as well.
    #[inline]
    pub(in super::super) fn watch_thread() {
        if STATE.get() == RecordState::Unknown {
            make_sentinel();
        }
    }

    #[cold]
    fn make_sentinel() {
        // The record first. If it is dropped already, the panic is not the program's: the panic hook must not log it.
        let _scope = SuppressGuard::enter();
        let is_readable = catch_unwind(|| opentelemetry::Context::map_current(|_| ())).is_ok();
        let is_watched = is_readable && SENTINEL.try_with(|_| ()).is_ok();
        STATE.set(if is_watched { RecordState::Readable } else { RecordState::Dropped });
    }

    #[derive(Clone, Copy, PartialEq)]
    pub(in super::super) struct Ids {
        trace: TraceId,
        span: SpanId,
    }

    /// Reads the ids from the thread's own record, and not from the data of the span: that is behind a lock which
    /// OpenTelemetry holds while it starts a span, and the code that it runs then may log.
    pub(super) fn active() -> Option<Ids> {
        let look = || {
            opentelemetry::Context::map_current(|cx| {
                let (span, has_span) = (cx.span(), cx.has_active_span());
                let context = span.span_context();
                (has_span && context.is_valid()).then(|| Ids { trace: context.trace_id(), span: context.span_id() })
            })
        };
        watch_thread();
        if STATE.get() != RecordState::Readable {
            return None;
        }
        // The order of destructors is not guaranteed: it may panic all the same.
        let _scope = SuppressGuard::enter();
        catch_unwind(look).unwrap_or_default()
    }

    impl Ids {
        pub(in super::super) fn set_in(&self, fields: &mut FieldPairs) {
            fields.set_format("trace_id", TextKind::Str, |out| write!(out, "{}", self.trace));
            fields.set_format("span_id", TextKind::Str, |out| write!(out, "{}", self.span));
        }
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod ids {
    use crate::event::FieldPairs;

    #[derive(Clone, Copy, PartialEq)]
    pub(in super::super) enum Ids {}

    #[inline]
    pub(in super::super) fn watch_thread() {}

    #[inline]
    pub(super) fn active() -> Option<Ids> {
        None
    }

    impl Ids {
        pub(in super::super) fn set_in(&self, _: &mut FieldPairs) {
            match *self {}
        }
    }
}
