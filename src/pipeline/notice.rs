//! Anywhere (pure): which losses the notices of a sink report, and when.
//!
//! A reader reads what a sink, or its fallback, has written. Reported losses are kept as totals, so the counts of a
//! notice that could not be written need no undoing: the next notice reports the difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Batch, Event, EventId, Level, SharedFields, Value};
use crate::stats::DropCounts;
use crate::time::clock;

const TARGET: &str = "logweir";
/// From 1 s to 17 min.
const MOST_DOUBLINGS: u32 = 10;
/// For an interval beyond the clock's range.
const FAR_AWAY: Duration = Duration::from_secs(u32::MAX as u64);

/// Whose reader a notice is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Audience {
    Sink,
    /// Gets the sink's own losses only.
    Fallback,
}

/// All losses so far.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct ReportedLosses {
    /// In the queue, for every sink.
    pub(super) queue: DropCounts,
    /// In this sink's pipeline.
    pub(super) sink: DropCounts,
}

/// The outage of a sink that has recovered.
#[derive(Clone, Copy)]
pub(super) struct Outage {
    pub(super) lasted: Duration,
    pub(super) fallback: u64,
    pub(super) lost: u64,
}

/// A notice to one reader, and the totals it will have reported.
pub(super) struct Notice {
    pub(super) audience: Audience,
    pub(super) batch: Batch,
    losses: ReportedLosses,
    recovery: Option<Outage>,
}

/// When each reader of a sink gets which notice.
pub(super) struct NoticeScheduler {
    /// The time between notices; `Duration::MAX`: there are none.
    interval: Duration,
    has_fallback: bool,
    /// The queue's losses so far.
    queue: DropCounts,
    sink: Recipient,
    fallback: Recipient,
}

#[derive(Default)]
struct Recipient {
    told: ReportedLosses,
    recovery: Option<Outage>,
    not_before: Option<Instant>,
    /// Consecutive notices that could not be written.
    failures: u32,
    /// The sink is closing, and the last notice was made.
    is_last_made: bool,
}

impl NoticeScheduler {
    pub(super) fn new(interval: Duration, has_fallback: bool) -> Self {
        let (sink, fallback) = (Recipient::default(), Recipient::default());
        NoticeScheduler { interval, has_fallback, queue: DropCounts::default(), sink, fallback }
    }

    /// Updates the queue's losses so far; returns whether they changed.
    pub(super) fn update_queue_losses(&mut self, queue: DropCounts) -> bool {
        std::mem::replace(&mut self.queue, queue) != queue && !self.is_off()
    }

    /// Records that the sink has recovered.
    pub(super) fn recovered(&mut self, recovery: Outage) {
        self.sink.recovered(recovery);
        self.fallback.recovered(recovery);
    }

    fn reader(&mut self, audience: Audience) -> &mut Recipient {
        match audience {
            Audience::Sink => &mut self.sink,
            Audience::Fallback => &mut self.fallback,
        }
    }

    /// The losses this audience may get.
    fn losses(&self, audience: Audience, sink: DropCounts) -> ReportedLosses {
        match audience {
            Audience::Sink => ReportedLosses { queue: self.queue, sink },
            Audience::Fallback => ReportedLosses { queue: DropCounts::default(), sink },
        }
    }

    /// When a notice to this audience is due; `None`: there is nothing new.
    pub(super) fn due(&self, audience: Audience, sink: DropCounts, now: Instant) -> Option<Instant> {
        let reader = match audience {
            Audience::Sink => &self.sink,
            Audience::Fallback => &self.fallback,
        };
        let has_news = reader.recovery.is_some() || reader.told != self.losses(audience, sink);
        let is_heard = !self.is_off() && (audience == Audience::Sink || self.has_fallback);
        (has_news && is_heard).then(|| reader.not_before.unwrap_or(now))
    }

    /// Returns the notice that is due, if one is. While the sink closes, also one that is not due yet, but no second
    /// one.
    pub(super) fn take(
        &mut self,
        audience: Audience,
        sink: DropCounts,
        now: Instant,
        is_closing: bool,
        writer: &NoticeText<'_>,
    ) -> Option<Notice> {
        let due = self.due(audience, sink, now)?;
        let losses = self.losses(audience, sink);
        let has_fallback = self.has_fallback;
        let reader = self.reader(audience);
        if reader.is_last_made || !is_closing && now < due {
            return None;
        }
        reader.is_last_made = is_closing;
        let recovery = reader.recovery.take();
        let mut events = Vec::new();
        events.extend(recovery.map(|recovery| writer.recovery(&recovery, has_fallback)));
        events.extend(writer.losses(&losses.queue.since(&reader.told.queue), None));
        events.extend(writer.losses(&losses.sink.since(&reader.told.sink), Some(writer.sink)));
        let first_id = writer.ids.take(events.len());
        let batch = Batch::new(events.into(), writer.enrichment.cloned(), first_id);
        Some(Notice { audience, batch, losses, recovery })
    }

    /// Records whether the notice was written. The interval to the next notice begins here, so that a sink that takes
    /// as long to fail writes something else in between. The interval doubles with each consecutive failure: a sink
    /// that fails at notices must not delay the events.
    pub(super) fn acknowledge(&mut self, notice: &Notice, is_written: bool, now: Instant) {
        let interval = self.interval;
        let reader = self.reader(notice.audience);
        if is_written {
            reader.told = notice.losses;
            reader.failures = 0;
        } else {
            reader.failures = (reader.failures + 1).min(MOST_DOUBLINGS);
            reader.recovery = reader.recovery.or(notice.recovery);
        }
        let wait = interval.saturating_mul(1 << reader.failures);
        reader.not_before = Some(now.checked_add(wait).unwrap_or_else(|| now + FAR_AWAY));
    }

    fn is_off(&self) -> bool {
        self.interval == Duration::MAX
    }
}

impl Recipient {
    fn recovered(&mut self, recovery: Outage) {
        let before = self.recovery.unwrap_or(Outage { lasted: Duration::ZERO, fallback: 0, lost: 0 });
        self.recovery = Some(Outage {
            lasted: before.lasted + recovery.lasted,
            fallback: before.fallback + recovery.fallback,
            lost: before.lost + recovery.lost,
        });
    }
}

/// Words the notices of a sink.
pub(super) struct NoticeText<'a> {
    pub(super) sink: &'a str,
    pub(super) enrichment: Option<&'a Arc<SharedFields>>,
    pub(super) ids: &'a NoticeIds,
}

/// The ids of a logger's notices, which are no events.
pub(crate) struct NoticeIds {
    first: EventId,
    taken: AtomicU64,
}

impl NoticeIds {
    pub(crate) fn new(first: EventId) -> Self {
        NoticeIds { first, taken: AtomicU64::new(0) }
    }

    /// Takes so many; returns the first.
    fn take(&self, lines: usize) -> EventId {
        self.first.plus(self.taken.fetch_add(lines as u64, Ordering::Relaxed))
    }
}

impl NoticeText<'_> {
    fn losses(&self, drops: &DropCounts, sink: Option<&str>) -> Option<Event> {
        let lost = drops.total();
        if lost == 0 {
            return None;
        }
        let notice = match sink {
            None => crate::new_event!(Level::Warn, target: TARGET, "{lost} events lost in the queue", lost),
            Some(sink) => {
                crate::new_event!(Level::Warn, target: TARGET, "{lost} events lost on the way to sink {sink}", lost, sink)
            }
        };
        let counted = drops.iter().fold(notice, |notice, (reason, count)| notice.with(reason.as_str(), count));
        Some(stamped(counted))
    }

    fn recovery(&self, recovery: &Outage, has_fallback: bool) -> Event {
        let Outage { lasted, fallback, lost: dropped } = *recovery;
        let sink = self.sink;
        // Whole seconds from 10 s on; milliseconds below that.
        let seconds = match lasted.as_secs() {
            0..10 => Value::F64((lasted.as_secs_f64() * 1000.0).round() / 1000.0),
            seconds => Value::U64(seconds),
        };
        stamped(if has_fallback {
            crate::new_event!(
                Level::Warn,
                target: TARGET,
                "sink {sink} was unavailable for {seconds} s: {fallback} events to the fallback, {dropped} lost",
                sink,
                seconds,
                fallback,
                dropped
            )
        } else {
            crate::new_event!(
                Level::Warn,
                target: TARGET,
                "sink {sink} was unavailable for {seconds} s: {dropped} events lost",
                sink,
                seconds,
                dropped
            )
        })
    }
}

fn stamped(mut event: Event) -> Event {
    event.stamp(clock::now_nanos());
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::DropReason;

    const SECOND: Duration = Duration::from_secs(1);
    static IDS: NoticeIds = NoticeIds { first: EventId::ZERO, taken: AtomicU64::new(0) };
    const TEXT: NoticeText<'static> = NoticeText { sink: "http", enrichment: None, ids: &IDS };

    fn drops(reason: DropReason, count: u64) -> DropCounts {
        let mut drops = DropCounts::default();
        drops.add(reason, count);
        drops
    }

    fn messages(notice: Option<Notice>) -> Vec<String> {
        notice.iter().flat_map(|notice| notice.batch.iter()).map(|record| record.message().to_string()).collect()
    }

    #[test]
    fn losses_are_told_once_and_at_most_once_an_interval() {
        let mut notices = NoticeScheduler::new(SECOND, false);
        let now = Instant::now();
        let mut take = |lost, now| {
            let notice = notices.take(Audience::Sink, drops(DropReason::BacklogFull, lost), now, false, &TEXT);
            notice.iter().for_each(|notice| notices.acknowledge(notice, true, now));
            messages(notice)
        };
        assert_eq!(take(0, now), [""; 0]);
        assert_eq!(take(3, now), ["3 events lost on the way to sink http"]);
        assert_eq!(take(3, now + SECOND), [""; 0], "no news");
        assert_eq!(take(8, now + SECOND / 2), [""; 0], "too soon");
        assert_eq!(take(8, now + SECOND), ["5 events lost on the way to sink http"]);
    }

    #[test]
    fn a_notice_that_is_not_written_gives_its_counts_to_the_next() {
        let mut notices = NoticeScheduler::new(SECOND, true);
        let mut now = Instant::now();
        assert!(
            notices.update_queue_losses(drops(DropReason::OverflowOldest, 2))
                && !notices.update_queue_losses(drops(DropReason::OverflowOldest, 2))
        );
        notices.recovered(Outage { lasted: 42 * SECOND, fallback: 1204, lost: 0 });
        let said =
            ["sink http was unavailable for 42 s: 1204 events to the fallback, 0 lost", "2 events lost in the queue"];
        // Each failure doubles the time to the next.
        for (attempt, wait) in [0, 2, 4].into_iter().enumerate() {
            let too_soon = now + wait * SECOND - SECOND / 2;
            assert!(wait == 0 || notices.take(Audience::Sink, DropCounts::default(), too_soon, false, &TEXT).is_none());
            now += wait * SECOND;
            let notice = notices.take(Audience::Sink, DropCounts::default(), now, false, &TEXT).expect("there is news");
            notices.acknowledge(&notice, attempt == 2, now);
            assert_eq!(messages(Some(notice)), said);
        }
        assert_eq!(notices.due(Audience::Sink, DropCounts::default(), now), None);
    }

    #[test]
    fn the_fallbacks_readers_hear_of_the_sinks_losses_alone() {
        let mut notices = NoticeScheduler::new(SECOND, true);
        notices.update_queue_losses(drops(DropReason::OverflowOldest, 2));
        assert_eq!(notices.due(Audience::Fallback, DropCounts::default(), Instant::now()), None);
        let lost = drops(DropReason::BreakerOpen, 1);
        let notice = notices.take(Audience::Fallback, lost, Instant::now(), false, &TEXT);
        assert_eq!(messages(notice), ["1 events lost on the way to sink http"]);
    }

    #[test]
    fn before_the_close_the_rest_is_told_at_once_and_once() {
        let mut notices = NoticeScheduler::new(SECOND, false);
        let now = Instant::now();
        let first = notices.take(Audience::Sink, drops(DropReason::Rejected, 1), now, false, &TEXT);
        notices.acknowledge(&first.expect("there is news"), true, now);
        let mut last = |lost| notices.take(Audience::Sink, drops(DropReason::Rejected, lost), now, true, &TEXT);
        assert_eq!(messages(last(4)), ["3 events lost on the way to sink http"]);
        assert!(last(9).is_none());
    }

    #[test]
    fn an_interval_that_ends_beyond_all_time_lets_one_notice_through() {
        let mut notices = NoticeScheduler::new(Duration::MAX - SECOND, false);
        let now = Instant::now();
        let mut take = |lost| notices.take(Audience::Sink, drops(DropReason::Rejected, lost), now, false, &TEXT);
        let first = take(1).expect("there is news");
        notices.acknowledge(&first, true, now);
        let later = now + 1000 * SECOND;
        assert!(notices.take(Audience::Sink, drops(DropReason::Rejected, 2), later, false, &TEXT).is_none());
    }

    #[test]
    fn an_interval_of_all_time_means_no_notices() {
        let notices = NoticeScheduler::new(Duration::MAX, false);
        assert_eq!(notices.due(Audience::Sink, drops(DropReason::Rejected, 1), Instant::now()), None);
    }
}
