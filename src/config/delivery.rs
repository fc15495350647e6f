//! Anywhere (pure): a sink's pipeline, by its keys.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::choice::OrNever;
use super::quantity::{HumanDuration, HumanSize, LevelName};
use super::set;
use super::spool::SpoolPolicy;
use crate::pipeline::{Breaker, Pipeline, Retry, WhenFull};

/// The keys that every sink has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) level: Option<LevelName>,
    pub(super) filter: Option<String>,
    timeout: Option<HumanDuration>,
    batching: Option<BatchingKeys>,
    backlog_bytes: Option<HumanSize>,
    when_full: Option<WhenFullWord>,
    retry: Option<OrNever<RetryKeys>>,
    breaker: Option<OrNever<BreakerKeys>>,
    #[cfg_attr(not(feature = "spool"), expect(dead_code, reason = "it is refused when it is read"))]
    spool: Option<SpoolPolicy>,
    essential: Option<bool>,
    /// A sink, which is read as one.
    #[serde(rename = "fallback")]
    _fallback: Option<IgnoredAny>,
}

/// The keys that every fallback has: the rest is that of its primary sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkDelivery {
    #[serde(rename = "type")]
    pub(super) kind: String,
    timeout: Option<HumanDuration>,
    batching: Option<BatchingKeys>,
    #[serde(rename = "fallback")]
    _fallback: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenFullWord {
    DropOldest,
    DropNewest,
    Block,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryKeys {
    initial_delay: Option<HumanDuration>,
    max_delay: Option<HumanDuration>,
    max_elapsed: Option<HumanDuration>,
    max_attempts: Option<u32>,
    seed: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerKeys {
    failure_threshold: Option<u32>,
    probe_delay: Option<HumanDuration>,
    max_probe_delay: Option<HumanDuration>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchingKeys {
    events: usize,
    bytes: HumanSize,
    linger: HumanDuration,
}

impl BatchingKeys {
    fn apply(self, pipeline: Pipeline) -> Pipeline {
        pipeline.batching(self.events, self.bytes.in_memory(), self.linger.0)
    }
}

impl Delivery {
    pub(super) fn apply(&self, pipeline: Pipeline) -> Pipeline {
        let pipeline = set(pipeline, self.level, |pipeline, LevelName(level)| pipeline.level(level));
        let pipeline = set(pipeline, self.filter.as_deref(), |pipeline, filter| pipeline.filter(filter));
        let pipeline = set(pipeline, self.timeout, |pipeline, HumanDuration(timeout)| pipeline.timeout(timeout));
        let pipeline = set(pipeline, self.batching, |pipeline, batching| batching.apply(pipeline));
        let pipeline = set(pipeline, self.backlog_bytes, |pipeline, bytes| pipeline.backlog_bytes(bytes.in_memory()));
        let pipeline = set(pipeline, self.when_full, |pipeline, policy| pipeline.when_full(policy.into()));
        let pipeline = set(pipeline, self.retry.as_ref(), |pipeline, policy| pipeline.retry(policy.into()));
        let pipeline = set(pipeline, self.breaker.as_ref(), |pipeline, policy| pipeline.breaker(policy.into()));
        let pipeline = if self.essential == Some(true) { pipeline.essential() } else { pipeline };
        #[cfg(feature = "spool")]
        let pipeline = set(pipeline, self.spool.as_ref(), |pipeline, spool| spool.apply(pipeline));
        pipeline
    }
}

impl LinkDelivery {
    pub(super) fn apply(&self, pipeline: Pipeline) -> Pipeline {
        let pipeline = set(pipeline, self.timeout, |pipeline, HumanDuration(timeout)| pipeline.timeout(timeout));
        set(pipeline, self.batching, |pipeline, batching| batching.apply(pipeline))
    }
}

impl From<WhenFullWord> for WhenFull {
    fn from(policy: WhenFullWord) -> Self {
        match policy {
            WhenFullWord::DropOldest => WhenFull::DropOldest,
            WhenFullWord::DropNewest => WhenFull::DropNewest,
            WhenFullWord::Block => WhenFull::Block,
        }
    }
}

impl From<&OrNever<RetryKeys>> for Retry {
    fn from(keys: &OrNever<RetryKeys>) -> Self {
        let OrNever::Set(keys) = keys else { return Retry::never() };
        let RetryKeys { initial_delay, max_delay, max_elapsed, max_attempts, seed } = keys;
        let retry = set(Retry::default(), *initial_delay, |retry, HumanDuration(delay)| retry.initial_delay(delay));
        let retry = set(retry, *max_delay, |retry, HumanDuration(delay)| retry.max_delay(delay));
        let retry = set(retry, *max_elapsed, |retry, HumanDuration(time)| retry.max_elapsed(time));
        let retry = set(retry, *max_attempts, Retry::max_attempts);
        set(retry, *seed, Retry::seed)
    }
}

impl From<&OrNever<BreakerKeys>> for Breaker {
    fn from(keys: &OrNever<BreakerKeys>) -> Self {
        let OrNever::Set(keys) = keys else { return Breaker::never() };
        let BreakerKeys { failure_threshold, probe_delay, max_probe_delay } = keys;
        let breaker = set(Breaker::default(), *failure_threshold, Breaker::failure_threshold);
        let breaker = set(breaker, *probe_delay, |breaker, HumanDuration(delay)| breaker.probe_delay(delay));
        set(breaker, *max_probe_delay, |breaker, HumanDuration(delay)| breaker.max_probe_delay(delay))
    }
}
