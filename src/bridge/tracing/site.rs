//! The caller's thread: the static data of a call site of `tracing`, built at its first use.
//!
//! Invariants:
//! * Metadata is `'static`, so its address is never another call site's, and data cached under it stays valid.
//! * A site is leaked. `tracing` itself keeps every call site for the life of the process, and their number is bounded
//!   by the program's text; a site that was built is never built again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::{PoisonError, RwLock};

use tracing_core::Metadata;

use crate::event::{Callsite, Level, Piece, Template};

/// The names of the fields that `tracing-log` uses for the origin of a `log` record.
pub(super) const LOG_TARGET: &str = "log.target";
pub(super) const LOG_MODULE: &str = "log.module_path";
pub(super) const LOG_FILE: &str = "log.file";
pub(super) const LOG_LINE: &str = "log.line";
pub(super) const MESSAGE: &str = "message";

pub(super) struct Site {
    metadata: &'static Metadata<'static>,
    pub(super) level: Level,
    pub(super) kind: SiteKind,
}

pub(super) enum SiteKind {
    Event(EventSite),
    /// A call site of `tracing-log`, which all records of its level share.
    LogRecord,
    Span(SpanSite),
}

pub(super) struct EventSite {
    /// For events whose values are the site's fields, all present and in order.
    pub(super) in_order: Callsite,
    /// For events with absent values, or in another order: each value with its name.
    pub(super) by_name: Callsite,
    pub(super) has_message: bool,
    /// How many fields there are, the message included.
    pub(super) fields: usize,
    /// Whether `in_order` is worth trying: the message is first, and no name occurs twice.
    pub(super) is_regular: bool,
}

/// The call sites of the events that report a span itself.
pub(super) struct SpanSite {
    pub(super) opened: Callsite,
    pub(super) closed: Callsite,
}

/// All sites, by the address of their metadata. A std lock: taken for a lookup, by threads that have not used a site
/// before.
static SITES: RwLock<BTreeMap<usize, &'static Site>> = RwLock::new(BTreeMap::new());

const RECENT_BITS: u32 = 7;

thread_local! {
    /// Sites this thread has used, each in the one place of its address: a hit is one comparison and no lock.
    static RECENT: [Cell<Option<&'static Site>>; 1 << RECENT_BITS] =
        const { [const { Cell::new(None) }; 1 << RECENT_BITS] };
}

impl Site {
    /// Returns the site of this metadata, and builds it at its first use.
    #[inline]
    pub(super) fn of(metadata: &'static Metadata<'static>) -> &'static Site {
        match recent(metadata) {
            Some(site) => site,
            None => Site::met(metadata),
        }
    }

    /// Returns the site of this metadata, if it was built. Metadata that is not `'static` has an address of its own, so
    /// it never finds the site of another.
    pub(super) fn known(metadata: &Metadata<'_>) -> Option<&'static Site> {
        recent(metadata).or_else(|| {
            let sites = SITES.read().unwrap_or_else(PoisonError::into_inner);
            sites.get(&address(metadata)).copied().inspect(|site| remember(site))
        })
    }

    #[cold]
    fn met(metadata: &'static Metadata<'static>) -> &'static Site {
        let site = Site::known(metadata).unwrap_or_else(|| {
            let mut sites = SITES.write().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have been first; an existing site is never replaced.
            sites.entry(address(metadata)).or_insert_with(|| Box::leak(Box::new(Site::new(metadata))))
        });
        remember(site);
        site
    }

    fn new(metadata: &'static Metadata<'static>) -> Self {
        let kind = if metadata.is_span() {
            SiteKind::Span(SpanSite::new(metadata))
        } else if is_log_record(metadata) {
            SiteKind::LogRecord
        } else {
            SiteKind::Event(EventSite::new(metadata))
        };
        Site { metadata, level: level(metadata.level()), kind }
    }

    /// Returns where the filter's decision is cached; none for records of `log`, whose targets differ.
    pub(super) fn callsite(&'static self) -> Option<&'static Callsite> {
        match &self.kind {
            SiteKind::Event(event) => Some(&event.in_order),
            SiteKind::Span(span) => Some(&span.opened),
            SiteKind::LogRecord => None,
        }
    }
}

/// Returns whether this is a call site of `tracing-log`.
pub(super) fn is_log_record(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "log" && metadata.fields().field(LOG_TARGET).is_some()
}

pub(super) fn level(level: &tracing_core::Level) -> Level {
    match *level {
        tracing_core::Level::TRACE => Level::Trace,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::WARN => Level::Warn,
        _ => Level::Error,
    }
}

fn address(metadata: &Metadata<'_>) -> usize {
    ptr::from_ref(metadata).addr()
}

/// Returns the high bits of a product with 2^64 over the golden ratio: addresses of statics differ in few low bits.
#[inline]
fn place(address: usize) -> usize {
    ((address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - RECENT_BITS)) as usize
}

#[inline]
fn recent(metadata: &Metadata<'_>) -> Option<&'static Site> {
    let address = address(metadata);
    let site = RECENT.with(|recent| recent[place(address)].get());
    site.filter(|site| ptr::from_ref(site.metadata).addr() == address)
}

fn remember(site: &'static Site) {
    RECENT.with(|recent| recent[place(address(site.metadata))].set(Some(site)));
}

impl EventSite {
    fn new(metadata: &'static Metadata<'static>) -> Self {
        let fields: Vec<&'static str> = metadata.fields().iter().map(|field| field.name()).collect();
        let has_message = fields.contains(&MESSAGE);
        let is_message_first = fields.first() == Some(&MESSAGE);
        let is_unique = fields.iter().enumerate().all(|(index, name)| !fields[..index].contains(name));
        let template = if has_message { Template::new("", &[]) } else { name_template(metadata.name()) };
        let names: &'static [&'static str] = Box::leak(fields.into_boxed_slice());
        EventSite {
            in_order: callsite(metadata, template, &names[usize::from(is_message_first)..]),
            by_name: callsite(metadata, template, &[]),
            has_message,
            fields: names.len(),
            is_regular: is_unique && has_message == is_message_first,
        }
    }
}

/// Makes the name that the call gave the message, if it gave no message.
fn name_template(name: &'static str) -> Template {
    // The macros' name for a call that gives none: `event src/main.rs:7`.
    if name.starts_with("event ") {
        return Template::new("", &[]);
    }
    Template::new(name, Box::leak(Box::new([Piece::Text(name)])))
}

impl SpanSite {
    fn new(metadata: &'static Metadata<'static>) -> Self {
        const OPENED: Template = Template::new("span opened", &[Piece::Text("span opened")]);
        const CLOSED: Template = Template::new("span closed", &[Piece::Text("span closed")]);
        SpanSite {
            opened: callsite(metadata, OPENED, &[]),
            closed: callsite(metadata, CLOSED, &["busy_ms", "idle_ms"]),
        }
    }
}

fn callsite(metadata: &'static Metadata<'static>, template: Template, names: &'static [&'static str]) -> Callsite {
    let (module, file) = (metadata.module_path().unwrap_or_default(), metadata.file().unwrap_or_default());
    Callsite::new(metadata.target(), module, file, metadata.line().unwrap_or_default(), template, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata of call sites, without a subscriber.
    fn sites() -> Vec<&'static Metadata<'static>> {
        let spans = [tracing::info_span!("a"), tracing::info_span!("b"), tracing::info_span!("c", field = 1)];
        spans.iter().filter_map(tracing::Span::metadata).collect()
    }

    #[test]
    fn a_site_is_built_once_for_all_threads_and_never_another_call_sites() {
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry());
        let look = || sites().into_iter().map(|site| ptr::from_ref(Site::of(site)).addr()).collect::<Vec<_>>();
        let dispatch = tracing::dispatcher::get_default(tracing::Dispatch::clone);
        let found: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| tracing::dispatcher::with_default(&dispatch, || [look(), look()].concat())))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(found.len(), 4 * 2 * 3);
        let mut distinct = found;
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 3);
    }

    #[test]
    fn sites_that_share_a_place_are_told_apart() {
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry());
        let sites = sites();
        for metadata in sites.iter().chain(&sites) {
            let site = Site::of(metadata);
            assert!(ptr::eq(site.metadata, *metadata));
            // As if another site had taken its place.
            RECENT.with(|recent| recent.iter().for_each(|place| place.set(Some(site))));
            assert!(sites.iter().all(|other| ptr::eq(Site::of(other).metadata, *other)));
        }
    }

    #[test]
    fn metadata_that_is_not_static_finds_nobodys_site() {
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry());
        let metadata = sites()[0];
        Site::of(metadata);
        let fields = tracing_core::field::FieldSet::new(&[], metadata.callsite());
        let (name, level) = (metadata.name(), *metadata.level());
        let copy =
            Metadata::new(name, "elsewhere", level, None, None, None, fields, tracing_core::metadata::Kind::SPAN);
        assert!(Site::known(metadata).is_some() && Site::known(&copy).is_none());
    }
}
