//! The caller's thread: turns the events and spans that `tracing` gives a layer into events and contexts.

use std::sync::Arc;

use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Cx;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::otel::{Active, Ids};
use super::site::{Site, SiteKind, SpanSite};
use super::spans::{self, Cached, SpanData, Times};
use super::{SpanEvents, TracingLayer, visit};
use crate::event::{Callsite, Event, SharedFields, Value};

impl<S> Layer<S> for TracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Built before the first event; the filter decides whether it is wanted.
        Site::of(metadata);
        Interest::always()
    }

    fn on_event(&self, event: &tracing_core::Event<'_>, cx: Cx<'_, S>) {
        let site = Site::of(event.metadata());
        let mut ours = match &site.kind {
            SiteKind::Event(known) => {
                // A new filter holds from here on, whatever decision a call site has cached.
                if !self.logger.__enabled(&known.in_order, site.level) {
                    return;
                }
                visit::encode(event, known, site.level)
            }
            SiteKind::LogRecord => {
                let ours = visit::encode_log_record(event, site.level);
                if !self.logger.enabled(site.level, ours.target()) {
                    return;
                }
                ours
            }
            SiteKind::Span(known) => {
                if !self.logger.__enabled(&known.opened, site.level) {
                    return;
                }
                visit::encode_span_event(event, site.level)
            }
        };
        let active = Active::for_event(event);
        match cx.event_span(event) {
            Some(span) => self.emit(ours, Some(self.context(&span, active))),
            None => {
                active.add_to(&mut ours);
                self.emit(ours, self.base.clone());
            }
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Cx<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let fields = visit::attributes(attributes);
        let tree = span.parent().and_then(|parent| spans::tree(&parent, self.id));
        let times = self.reports_close().then(Times::new);
        spans::store(&span, SpanData::new(self.id, tree, fields, times));
        if matches!(self.span_events, SpanEvents::Open | SpanEvents::OpenAndClose) {
            self.emit_span_event(&span, |site| &site.opened, &[]);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Cx<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let recorded = visit::recorded(values);
        spans::with_span_mut(&span, self.id, |data| data.record(&recorded));
    }

    fn on_enter(&self, id: &Id, cx: Cx<'_, S>) {
        self.clock(id, &cx, Times::enter);
    }

    fn on_exit(&self, id: &Id, cx: Cx<'_, S>) {
        self.clock(id, &cx, Times::exit);
    }

    fn on_close(&self, id: Id, cx: Cx<'_, S>) {
        if self.reports_close()
            && let Some(span) = cx.span(&id)
        {
            let times = spans::with_span_mut(&span, self.id, |data| data.times.as_mut().map(Times::totals));
            let [busy, idle] = times.flatten().unwrap_or_default();
            self.emit_span_event(&span, |site| &site.closed, &[Value::F64(busy), Value::F64(idle)]);
        }
    }
}

impl TracingLayer {
    fn reports_close(&self) -> bool {
        matches!(self.span_events, SpanEvents::Close | SpanEvents::OpenAndClose)
    }

    fn clock<S>(&self, id: &Id, cx: &Cx<'_, S>, turn: fn(&mut Times))
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if self.reports_close()
            && let Some(span) = cx.span(id)
        {
            spans::with_span_mut(&span, self.id, |data| data.times.as_mut().map(turn));
        }
    }

    /// Emits an event about the span itself, in the span.
    fn emit_span_event<S>(
        &self,
        span: &SpanRef<'_, S>,
        callsite: fn(&'static SpanSite) -> &'static Callsite,
        values: &[Value<'_>],
    ) where
        S: for<'a> LookupSpan<'a>,
    {
        let site = Site::of(span.metadata());
        let SiteKind::Span(known) = &site.kind else { return };
        let callsite = callsite(known);
        if self.logger.__enabled(callsite, site.level) {
            let mut event = Event::__new(callsite, site.level);
            values.iter().for_each(|value| event.push(*value));
            self.emit(event, Some(self.context(span, Active::Unknown)));
        }
    }

    /// Returns the context of events in this span.
    fn context<S>(&self, span: &SpanRef<'_, S>, active: Active) -> Arc<SharedFields>
    where
        S: for<'a> LookupSpan<'a>,
    {
        spans::cached(span, self.id, active).unwrap_or_else(|| self.build_context(span, active.ids()))
    }

    #[cold]
    fn build_context<S>(&self, span: &SpanRef<'_, S>, ids: Option<Ids>) -> Arc<SharedFields>
    where
        S: for<'a> LookupSpan<'a>,
    {
        let (epoch, fields) = spans::flatten(span, self.id, self.base.as_deref(), self.span_ids, ids);
        let context = self.logger.admit_context(fields);
        spans::cache(span, self.id, Cached { epoch, ids, context: context.clone() });
        context
    }

    /// Emits an event that has passed the filter.
    #[inline]
    fn emit(&self, mut event: Event, context: Option<Arc<SharedFields>>) {
        event.set_context(context);
        self.logger.__emit(event);
    }
}
