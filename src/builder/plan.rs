//! The caller's thread, once: checks that the options fit together, and computes the values that follow from them.
//! Pure.

use std::time::Duration;

use super::Builder;
use super::error::{BuildError, BuildErrorKind, option};
use crate::filter::Filter;
use crate::pipeline::{Pipeline, RequestBatching};
use crate::queue::EVENT_BYTES;
use crate::runtime::PressureMonitor;

const MAX_LANES: usize = 64;
const MAX_CAPACITY: usize = 1 << 24;
/// In percent of a lane: at least a tenth is for every event.
const MAX_RESERVE: usize = 90;
const MAX_BATCH: usize = 1 << 16;
const MIN_EVENT_BYTES: usize = 256;
const MIN_BODY: usize = 1 << 10;
/// Two of the smallest limit of an event: one can wait while another is written.
const MIN_ACCOUNT: usize = 2 * MIN_EVENT_BYTES;
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// A batch pins at most this part of the smallest sink's backlog limit, so that some can wait while one is written.
const BATCHES_PER_ACCOUNT: usize = 4;

/// The values that follow from options that fit together.
pub(super) struct Plan {
    /// The queue's bytes less its lanes.
    pub(super) heap_bytes: usize,
    pub(super) filter: Filter,
    pub(super) sinks: Vec<SinkPlan>,
    pub(super) batch_bytes: usize,
}

pub(super) struct SinkPlan {
    pub(super) filter: Filter,
    /// For events.
    pub(super) account: usize,
    /// The largest body of a request, which is not in the account.
    pub(super) most_body_bytes: usize,
}

impl Plan {
    pub(super) fn check(builder: &Builder<'_>) -> Result<Plan, BuildError> {
        let Builder { queue_capacity, lanes, memory_limit: memory, max_event_bytes, .. } = *builder;
        let filter = builder.filter.clone().map_err(|error| BuildError(BuildErrorKind::Filter(error)))?;
        within("lanes", lanes, 1, MAX_LANES)?;
        within("queue_capacity", queue_capacity, 1, MAX_CAPACITY)?;
        within("reserve", builder.reserve.1, 0, MAX_RESERVE)?;
        let mut marks = builder.pressure_monitors.iter().map(PressureMonitor::threshold);
        marks.try_for_each(|mark| within("on_pressure", mark.into(), 1, 100))?;
        within("batch_size", builder.batch_size, 1, MAX_BATCH)?;
        within_time("flush_interval", builder.flush_interval, Duration::from_millis(1), MAX_INTERVAL)?;
        if builder.notice_interval < Duration::from_millis(1) {
            let allowed = "1ms or more; `Duration::MAX` for no notices";
            return Err(option("notice_interval", format!("{:?}", builder.notice_interval), allowed));
        }
        if builder.name.as_ref().is_some_and(String::is_empty) {
            return Err(option("name", "empty", "any text that is not empty"));
        }
        #[cfg(feature = "prometheus")]
        if builder.recorder.is_some() && builder.prometheus.is_some() {
            return Err(option("metrics_recorder", "set beside `prometheus`", "one of the two: each is a recorder"));
        }
        if let Err(pattern) = &builder.redacted {
            let allowed = "a name, with `*` at its beginning, its end or both: `password`, `auth*`, `*_token`";
            return Err(option("redact", format!("`{pattern}`"), allowed));
        }
        let half = memory / 2;
        let lanes_bytes = lanes * queue_capacity * EVENT_BYTES;
        if lanes_bytes > half / 2 {
            let allowed = format!(
                "at most {} with `memory_limit` {memory} and `lanes` {lanes}: at {EVENT_BYTES} bytes an event the lanes may \
                 take a quarter of the memory",
                half / 2 / lanes / EVENT_BYTES
            );
            return Err(option("queue_capacity", queue_capacity, allowed));
        }
        let heap_bytes = half - lanes_bytes;
        let sinks = sinks(&builder.sinks, half)?;
        let smallest = sinks.iter().map(|sink| sink.account).min().unwrap_or(0);
        // Half of a sink's backlog limit, so that one event can wait while another is written.
        // Contexts may hold half of the queue's bytes for as long as they live.
        let most = heap_bytes.div_ceil(2).saturating_sub(size_of::<Vec<u8>>()).min(smallest / 2);
        if max_event_bytes < MIN_EVENT_BYTES || max_event_bytes > most {
            let allowed = format!(
                "{MIN_EVENT_BYTES} to {most} with `memory_limit` {memory}: the queue has {heap_bytes} bytes beside its lanes, half \
                 of which contexts may hold, and the smallest sink's account {smallest}, of which an event may take half"
            );
            return Err(option("max_event_bytes", max_event_bytes, allowed));
        }
        Ok(Plan { heap_bytes, filter, sinks, batch_bytes: smallest / BATCHES_PER_ACCOUNT })
    }
}

/// Returns the sinks' backlog limits (the requested ones, the rest in equal shares) and filters.
fn sinks(sinks: &[(String, Pipeline)], half: usize) -> Result<Vec<SinkPlan>, BuildError> {
    if sinks.is_empty() {
        return Err(option("sink", "none", "at least one sink"));
    }
    for (index, (name, pipeline)) in sinks.iter().enumerate() {
        if name.is_empty() || sinks[..index].iter().any(|(other, _)| other == name) {
            return Err(option("sink", format!("`{name}`"), "names that are not empty and differ"));
        }
        check_pipeline(name, pipeline)?;
        if pipeline.is_essential && pipeline.spool.is_none() && !pipeline.is_confirming() {
            let allowed = "a pipeline with a spool, or to a sink that acknowledges at least `Accepted`: this one's \
                           destination confirms nothing";
            return Err(option("essential", format!("set (sink `{name}`)"), allowed));
        }
    }
    let asked = sinks.iter().filter_map(|(_, pipeline)| pipeline.backlog_bytes).fold(0, usize::saturating_add);
    let unasked = sinks.iter().filter(|(_, pipeline)| pipeline.backlog_bytes.is_none()).count();
    if asked > half {
        let allowed = format!("at most {half} for all sinks together: half of `memory_limit`");
        return Err(option("backlog_bytes", asked, allowed));
    }
    let share = (half - asked).checked_div(unasked).unwrap_or(0);
    let plan = |(name, pipeline): &(String, Pipeline)| {
        let account = pipeline.backlog_bytes.unwrap_or(share);
        if account < MIN_ACCOUNT {
            let allowed = format!("at least {MIN_ACCOUNT} for each sink, of half of `memory_limit`, which is {half}");
            return Err(option("backlog_bytes", format!("{account} (sink `{name}`)"), allowed));
        }
        let most_body_bytes = check_bodies(name, pipeline, account)?;
        let size = |link: &Pipeline| link.request_size(most_body_bytes).map_or(0, |batching| batching.bytes);
        let bodies: usize = pipeline.links().filter(|link| link.has_bodies).map(size).sum();
        Ok(SinkPlan { filter: filter(name, pipeline)?, account: account - bodies, most_body_bytes })
    };
    sinks.iter().map(plan).collect()
}

/// Checks the sizes of requests; returns how many bytes one may have. All bodies of a pipeline take half of its account at most.
fn check_bodies(name: &str, pipeline: &Pipeline, account: usize) -> Result<usize, BuildError> {
    let bodies = pipeline.links().filter(|link| link.has_bodies).count().max(1);
    let most = account / 2 / bodies;
    for link in pipeline.links() {
        let RequestBatching::Given(batching) = link.batching else { continue };
        let wrong = |value: String, allowed| Err(option("batching", format!("{value} (sink `{name}`)"), allowed));
        if !(1..=MAX_BATCH).contains(&batching.events) {
            return wrong(format!("{} events", batching.events), format!("1 to {MAX_BATCH} events"));
        }
        if !(MIN_BODY..=most).contains(&batching.bytes) {
            let allowed = format!("{MIN_BODY} to {most} bytes: the bodies may take half of the sink's {account} bytes");
            return wrong(format!("{} bytes", batching.bytes), allowed);
        }
    }
    Ok(most)
}

/// Checks the numbers of a pipeline and of the links of its chain.
fn check_pipeline(name: &str, pipeline: &Pipeline) -> Result<(), BuildError> {
    let Pipeline { timeout, retry, breaker, fallback, .. } = pipeline;
    // Also the filter of a fallback, which filters nothing: it was written on purpose.
    filter(name, pipeline)?;
    let wrong = |what, value: String, allowed: &str| Err(option(what, format!("{value} (sink `{name}`)"), allowed));
    if timeout.is_zero() {
        return wrong("timeout", "0".into(), "more than zero");
    }
    if retry.initial_delay.is_zero() || retry.max_delay < retry.initial_delay {
        let value = format!("initial_delay {:?}, max_delay {:?}", retry.initial_delay, retry.max_delay);
        return wrong("retry", value, "an initial_delay of more than zero, and a max_delay that is not below it");
    }
    if retry.max_attempts == Some(0) {
        return wrong("retry", "0 attempts".into(), "1 attempt or more");
    }
    if breaker.failure_threshold == 0 {
        return wrong("breaker", "0 failures".into(), "1 failure or more");
    }
    if breaker.probe_delay.is_zero() || breaker.max_probe_delay < breaker.probe_delay {
        let value = format!("probe_delay {:?}, max_probe_delay {:?}", breaker.probe_delay, breaker.max_probe_delay);
        return wrong("breaker", value, "a probe_delay of more than zero, and a max_probe_delay that is not below it");
    }
    fallback.as_ref().map_or(Ok(()), |link| check_pipeline(&format!("{name}: fallback"), link))
}

fn filter(name: &str, pipeline: &Pipeline) -> Result<Filter, BuildError> {
    let wrong = |source| BuildError(BuildErrorKind::SinkFilter { name: name.to_owned(), source });
    pipeline.filter.clone().map_err(wrong)
}

fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<(), BuildError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(option(name, value, format!("{least} to {most}"))) }
}

fn within_time(name: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), BuildError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(option(name, format!("{value:?}"), format!("{least:?} to {most:?}")))
    }
}
