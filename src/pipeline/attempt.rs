//! A sink task: one request to one destination, from its events to the answer.

use tokio::task::yield_now;
use tokio::time::Instant;

use super::destination::{Attempt, Failure, Reply};
use super::remainder::{CutOff, Run};
use super::ruling::Ruling;
use super::task::SinkTask;
use crate::sink::SinkError;

impl SinkTask {
    /// Encodes a run's first request for a destination, and cuts the run to it. `None`: the sink panicked.
    pub(super) fn encode(&mut self, index: usize, run: &mut Run) -> Option<CutOff> {
        match self.destinations[index].encode(&run.batch, run.is_notice) {
            Ok(encoding) => {
                if let Some(reason) = &encoding.reason {
                    let refused = format!(
                        "{} of {} events refused, the first: {reason}",
                        encoding.refused.len(),
                        encoding.events
                    );
                    self.handle.record_error(index, &Failure::new(SinkError::rejected(refused)));
                }
                encoding.fault.iter().for_each(|fault| self.handle.record_fault(index, fault));
                Some(run.cut(encoding))
            }
            Err(panicked) => {
                self.handle.record_error(index, &panicked);
                run.set_sent();
                None
            }
        }
    }

    /// Has one destination write a run's request, of which no late call is running. `behind` are the unconfirmed events in
    /// flight besides the run.
    pub(super) async fn attempt(&mut self, index: usize, run: &mut Run, behind: u64) -> Attempt {
        // A sink that never awaits would keep the others from their turn; one that does has left it to them.
        if !self.destinations[index].has_awaited() {
            yield_now().await;
        }
        let len = run.events() as u64;
        let destination = &self.destinations[index];
        let is_repeat = run.uncertain_since.is_some_and(|since| index > 0 || destination.may_duplicate(since));
        let repeated = if is_repeat { len } else { 0 };
        self.handle.begin_write(run, behind, run.is_retry && index == 0, repeated).await;
        let started = Instant::now();
        run.sent_at = Some(started);
        let handle = self.handle.clone();
        let is_own = index == 0 && self.has_available_fallback() && !run.is_spooled();
        let cut_short = async {
            match is_own {
                true => handle.fallback_phase().await,
                false => std::future::pending().await,
            }
        };
        let parcel = run.next_attempt();
        let attempt = self.destinations[index].send(&parcel, cut_short).await;
        run.reclaim(parcel);
        self.handle.record_attempt(index, run, &attempt, started.elapsed());
        if let Attempt::TimedOut { is_late, .. } = attempt {
            run.charge.iter().filter(|_| is_late).for_each(|charge| charge.set_late());
            // What a late result says of the sink's own request, it says before the next one.
            if index > 0 || !is_late {
                run.set_uncertain();
            }
            self.collect_aside(index);
        }
        attempt
    }

    /// Has the sink itself write a run's request. `None`: it timed out and its future was dropped, so no answer will come.
    pub(super) async fn attempt_write(&mut self, run: &mut Run, behind: u64) -> Option<Reply> {
        match self.attempt(0, run, behind).await {
            Attempt::Returned(reply) => Some(reply),
            Attempt::TimedOut { is_late: false, .. } => None,
            Attempt::TimedOut { is_late: true, .. } => {
                // The call continues on its own thread: its late result settles the events after all, and is the probe. A
                // second request before it would mix the two.
                self.handle.begin_late(run, behind);
                self.slot.generation = self.handle.with_breaker(|breaker, now| {
                    breaker.trip(now);
                    breaker.generation()
                });
                let (parcel, reply) = self.divert_until_late_result().await;
                parcel.into_iter().for_each(|parcel| run.reclaim(parcel));
                self.handle.end_late(run, behind);
                Some(reply)
            }
        }
    }

    /// Records an answer, apart from what it settles, and what the sink tells beside it.
    pub(super) fn record_answer(&mut self, index: usize, run: &Run, reply: &Reply, ruling: &Ruling) {
        self.handle.record_answer(index, run.is_notice, reply, ruling);
        if index == 0 && ruling.delivered > 0 && reply.failure.is_none() {
            self.handle.record_lag(run);
        }
        self.collect_aside(index);
    }

    /// Takes the memory of a request's body back.
    pub(super) fn recycle(&mut self, index: usize, run: &mut Run) {
        if let Some(body) = run.body.take() {
            self.destinations[index].recycle(body);
        }
    }
}
