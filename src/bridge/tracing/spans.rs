//! The caller's thread: the data that the layer keeps of a span, among the span's extensions.
//!
//! Invariants:
//! * No value is formatted while extensions are locked: its `Debug` may log, and would wait for that lock.
//! * The epoch of a tree of spans rises after fields of one of them were recorded, so a context that was built from
//!   older fields has an older epoch and is built again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::otel::{Active, Ids};
use crate::event::{FieldPairs, NestedFields, SharedFields, TextKind, Value};

/// The layer that a span's data belongs to: several loggers may listen to one registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LayerId(u64);

impl LayerId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LayerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// How often fields were recorded in a tree of spans. A span without children counts for itself.
enum Epoch {
    Alone(u64),
    InTree(TreeEpoch),
}

#[derive(Clone)]
pub(super) struct TreeEpoch(Arc<AtomicU64>);

/// The context of events in a span.
#[derive(Clone)]
pub(super) struct Cached {
    /// The epoch whose fields it has.
    pub(super) epoch: u64,
    /// The ids it carries.
    pub(super) ids: Option<Ids>,
    pub(super) context: Arc<SharedFields>,
}

/// The data that one layer keeps of one span.
pub(super) struct SpanData {
    layer: LayerId,
    epoch: Epoch,
    /// The span's own fields.
    fields: FieldPairs,
    context: Option<Cached>,
    pub(super) times: Option<Times>,
}

impl SpanData {
    pub(super) fn new(layer: LayerId, tree: Option<TreeEpoch>, fields: FieldPairs, times: Option<Times>) -> Self {
        let epoch = tree.map_or(Epoch::Alone(0), Epoch::InTree);
        SpanData { layer, epoch, fields, context: None, times }
    }

    pub(super) fn record(&mut self, recorded: &FieldPairs) {
        self.fields.set_all(recorded);
        // After the fields: a reader of the new epoch finds them.
        match &mut self.epoch {
            Epoch::Alone(epoch) => *epoch += 1,
            Epoch::InTree(tree) => drop(tree.0.fetch_add(1, Ordering::Release)),
        }
    }

    fn epoch(&self) -> u64 {
        match &self.epoch {
            Epoch::Alone(epoch) => *epoch,
            Epoch::InTree(tree) => tree.0.load(Ordering::Acquire),
        }
    }

    /// Makes it share the epoch with its children from here on.
    fn tree(&mut self) -> TreeEpoch {
        let tree = match &self.epoch {
            Epoch::Alone(epoch) => TreeEpoch(Arc::new(AtomicU64::new(*epoch))),
            Epoch::InTree(tree) => return tree.clone(),
        };
        self.epoch = Epoch::InTree(tree.clone());
        tree
    }
}

/// The data of every `TracingLayer`: nearly always of one.
struct SpanDataOfLayers {
    first: SpanData,
    others: Vec<SpanData>,
}

/// Runs `look` on the layer's data of the span, under the lock of the span's extensions.
pub(super) fn with_span<S, R>(span: &SpanRef<'_, S>, layer: LayerId, look: impl FnOnce(&SpanData) -> R) -> Option<R>
where
    S: for<'a> LookupSpan<'a>,
{
    let extensions = span.extensions();
    let kept = extensions.get::<SpanDataOfLayers>()?;
    let data =
        if kept.first.layer == layer { Some(&kept.first) } else { kept.others.iter().find(|d| d.layer == layer) };
    data.map(look)
}

/// Like [`with_span`], with a function that may change the data.
pub(super) fn with_span_mut<S, R>(
    span: &SpanRef<'_, S>,
    layer: LayerId,
    change: impl FnOnce(&mut SpanData) -> R,
) -> Option<R>
where
    S: for<'a> LookupSpan<'a>,
{
    let mut extensions = span.extensions_mut();
    let kept = extensions.get_mut::<SpanDataOfLayers>()?;
    let mut all = std::iter::once(&mut kept.first).chain(&mut kept.others);
    all.find(|data| data.layer == layer).map(change)
}

pub(super) fn store<S>(span: &SpanRef<'_, S>, data: SpanData)
where
    S: for<'a> LookupSpan<'a>,
{
    let mut extensions = span.extensions_mut();
    match extensions.get_mut::<SpanDataOfLayers>() {
        Some(kept) => kept.others.push(data),
        None => extensions.insert(SpanDataOfLayers { first: data, others: Vec::new() }),
    }
}

/// Returns the tree that children of this span are in.
pub(super) fn tree<S>(span: &SpanRef<'_, S>, layer: LayerId) -> Option<TreeEpoch>
where
    S: for<'a> LookupSpan<'a>,
{
    with_span_mut(span, layer, SpanData::tree)
}

/// Returns the cached context of events in this span, if it is as new as the fields and has these ids.
pub(super) fn cached<S>(span: &SpanRef<'_, S>, layer: LayerId, active: Active) -> Option<Arc<SharedFields>>
where
    S: for<'a> LookupSpan<'a>,
{
    with_span(span, layer, |data| {
        let cached = data.context.as_ref()?;
        let is_right = cached.epoch == data.epoch() && active.is(cached.ids);
        // One that the account had no room for is built again: there may be room by now.
        (is_right && cached.context.is_charged()).then(|| cached.context.clone())
    })
    .flatten()
}

/// Returns the fields of events in this span, not charged yet: of the logger, then about the spans, then of the spans from
/// the root to this one, then the ids. Returns the epoch too: once it has changed, the fields are out of date.
pub(super) fn flatten<S>(
    span: &SpanRef<'_, S>,
    layer: LayerId,
    base: Option<&SharedFields>,
    span_ids: bool,
    ids: Option<Ids>,
) -> (u64, SharedFields)
where
    S: for<'a> LookupSpan<'a>,
{
    // Before the fields are read: values recorded from here on make them out of date, read or not.
    let epoch = with_span(span, layer, SpanData::epoch).unwrap_or_default();
    let mut about = FieldPairs::new();
    about.set("span", Value::Str(span.name()));
    about.set_format("spans", TextKind::Str, |out| {
        span.scope().from_root().enumerate().try_for_each(|(depth, span)| {
            if depth > 0 {
                out.write_char(':')?;
            }
            out.write_str(span.name())
        })
    });
    if span_ids {
        about.set("span.id", Value::U64(span.id().into_u64()));
    }
    let mut fields = NestedFields::new(base, &about);
    for span in span.scope().from_root() {
        with_span(&span, layer, |data| fields.add(span.name(), &data.fields));
    }
    if let Some(ids) = ids {
        let mut active = FieldPairs::new();
        ids.set_in(&mut active);
        fields.add(span.name(), &active);
    }
    (epoch, fields.finish(span.name()))
}

/// Keeps the context for the next event in this span.
pub(super) fn cache<S>(span: &SpanRef<'_, S>, layer: LayerId, cached: Cached)
where
    S: for<'a> LookupSpan<'a>,
{
    let before = with_span_mut(span, layer, |data| data.context.replace(cached));
    // Here, not under the lock: the last holder releases the bytes, which wakes the callers that wait for them.
    drop(before);
}

/// How long a span was entered, and how long it was not.
pub(super) struct Times {
    busy: Duration,
    idle: Duration,
    since: Instant,
    /// By how many threads (or how many times by one).
    entered: usize,
}

impl Times {
    pub(super) fn new() -> Self {
        Times { busy: Duration::ZERO, idle: Duration::ZERO, since: Instant::now(), entered: 0 }
    }

    pub(super) fn enter(&mut self) {
        self.lap();
        self.entered += 1;
    }

    pub(super) fn exit(&mut self) {
        self.lap();
        self.entered = self.entered.saturating_sub(1);
    }

    /// Busy and idle time until now, in milliseconds.
    pub(super) fn totals(&mut self) -> [f64; 2] {
        self.lap();
        [self.busy, self.idle].map(|time| time.as_nanos() as f64 / 1e6)
    }

    /// Adds the time since the last lap.
    fn lap(&mut self) {
        let now = Instant::now();
        let lap = now.saturating_duration_since(self.since);
        self.since = now;
        *(if self.entered == 0 { &mut self.idle } else { &mut self.busy }) += lap;
    }
}
