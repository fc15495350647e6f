//! A sink task: what the sink does not take goes to the fallbacks, in their order; late results settle it.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;

use super::action::{FallbackAction, InFlightBatch};
use super::destination::{Attempt, Parcel, Reply};
use super::ledger::Outcome;
use super::remainder::{Remainder, Run};
use super::ruling::Ruling;
use super::task::SinkTask;
use crate::event::{Batch, EventId};
use crate::sink::RestVerdict;
use crate::stats::DropReason;

/// Events counted as unconfirmed that late results of these fallbacks may still settle.
#[derive(Clone)]
pub(super) struct PendingConfirmation {
    fallbacks: Vec<usize>,
    events: Vec<EventId>,
    /// Requests with them that have not returned, or never will.
    open_attempts: usize,
    /// The reason for the drop if no fallback delivered them.
    reason: DropReason,
}

/// A run on its way through the fallbacks.
struct Offer {
    run: Run,
    /// The fallback that is next.
    next: usize,
    /// Requests with it that have not returned, or never will.
    open_attempts: usize,
    /// The fallbacks whose late result may still come.
    late: Vec<usize>,
    /// A fallback had it.
    is_tried: bool,
}

impl Offer {
    fn new(run: Run) -> Self {
        let open_attempts = usize::from(run.uncertain_since.is_some());
        Offer { run, next: 1, open_attempts, late: Vec::new(), is_tried: false }
    }

    /// Takes the events, which are not encoded for the next one.
    fn take_run(&mut self) -> Run {
        let batch = mem::take(&mut self.run.batch);
        self.run.with_batch(batch)
    }

    /// Offers events of this offer next, if there are any.
    fn push(&self, run: Run, next: usize, offers: &mut Vec<Offer>) {
        if !run.batch.is_empty() {
            let Offer { open_attempts, is_tried, .. } = *self;
            offers.push(Offer { run, next, open_attempts, late: self.late.clone(), is_tried });
        }
    }
}

impl SinkTask {
    /// Whether a fallback is available, that is, has no late call.
    pub(super) fn has_available_fallback(&self) -> bool {
        self.destinations[1..].iter().any(|fallback| !fallback.is_late())
    }

    fn available_fallback(&self, from: usize) -> Option<usize> {
        (from..self.destinations.len()).find(|index| !self.destinations[*index].is_late())
    }

    /// Sends all that is left of a batch to the fallbacks. While the breaker is open, what none of them has tried stays: all
    /// have become busy.
    pub(super) async fn fall_back(&mut self, rest: &mut Remainder, reason: DropReason) {
        let can_wait = reason == DropReason::BreakerOpen && self.has_available_fallback();
        while let Some(run) = rest.take_front() {
            if can_wait && !self.has_available_fallback() {
                return rest.put_front(run);
            }
            let untried = self.offer_to_fallbacks(run, rest.unconfirmed(), reason).await;
            if !untried.is_empty() {
                return untried.into_iter().for_each(|run| rest.put_front(run));
            }
        }
    }

    /// Sends the remaining events that were in a request to the fallbacks. Others of the batch have not been tried.
    pub(super) async fn fall_back_sent(&mut self, rest: &mut Remainder, reason: DropReason) {
        while let Some(run) = rest.take_sent() {
            self.deliver_by_fallback(run, rest.unconfirmed(), reason).await;
        }
    }

    /// Has the first available fallback deliver a run. If none can, the loss is counted once: for this reason, or as
    /// unconfirmed if a request with it timed out. `behind` are the unconfirmed events in flight besides the run.
    pub(super) async fn deliver_by_fallback(&mut self, run: Run, behind: u64, reason: DropReason) {
        for untried in self.offer_to_fallbacks(run, behind, reason).await {
            self.give_up(Offer::new(untried), behind, reason);
        }
    }

    /// The same. Returns the events, last first, that can wait for a fallback that has become busy.
    async fn offer_to_fallbacks(&mut self, run: Run, behind: u64, reason: DropReason) -> Vec<Run> {
        self.collect_late_results();
        let mut untried = Vec::new();
        let can_wait = reason == DropReason::BreakerOpen && self.has_available_fallback();
        let mut offers = vec![Offer::new(run)];
        while let Some(offer) = offers.pop() {
            let others = offers.iter().map(|offer| &offer.run).chain(&untried);
            let behind = behind + others.map(Run::unconfirmed).sum::<u64>();
            match self.available_fallback(offer.next) {
                Some(index) => self.offer(index, offer, &mut offers, behind).await,
                None if can_wait && !offer.is_tried => untried.insert(0, offer.run),
                None => self.give_up(offer, behind, reason),
            }
        }
        untried
    }

    /// Has a fallback take the first events of an offer, as many as one request may have; what it does not take, and what
    /// comes behind, is offered next.
    async fn offer(&mut self, index: usize, mut offer: Offer, offers: &mut Vec<Offer>, behind: u64) {
        let Some(cut) = self.encode(index, &mut offer.run) else {
            let run = offer.take_run();
            return offer.push(run, index + 1, offers);
        };
        let behind = behind + cut.behind.unconfirmed() + cut.refused.unconfirmed();
        offer.push(cut.behind, index, offers);
        offer.is_tried = true;
        offer.push(cut.refused, index + 1, offers);
        if offer.run.batch.is_empty() {
            return;
        }
        let body_bytes = offer.run.body.as_ref().map_or(0, Vec::len);
        let attempt = self.attempt(index, &mut offer.run, behind).await;
        self.recycle(index, &mut offer.run);
        match attempt {
            Attempt::Returned(reply) => self.settle_offer(index, offer, &reply, body_bytes, (offers, behind)),
            Attempt::TimedOut { is_late, .. } => {
                let run = offer.take_run();
                offer.late.extend(is_late.then_some(index));
                offer.open_attempts += 1;
                offer.push(run, index + 1, offers);
            }
        }
    }

    /// Settles what a fallback's answer settles of its request, and offers the others.
    fn settle_offer(
        &mut self,
        index: usize,
        mut offer: Offer,
        reply: &Reply,
        body_bytes: usize,
        (offers, behind): (&mut Vec<Offer>, u64),
    ) {
        let run = offer.take_run();
        let ruling = Ruling::of(&reply.answer, &run.batch);
        self.record_answer(index, &run, reply, &ruling);
        if ruling.delivered > 0 {
            self.destinations[index].size.accepted(body_bytes);
        }
        let rejected = run.with_batch(ruling.rejected.clone());
        let (mut others, mut again) = (run.with_batch(ruling.others.clone()), run.with_batch(ruling.again.clone()));
        if ruling.doubts_others {
            others.set_uncertain();
        }
        if ruling.doubts_again {
            again.set_uncertain();
        }
        let uncertain: u64 = [&rejected, &again, &others].map(Run::unconfirmed).iter().sum();
        self.handle.settle_by(index, &run, &ruling, behind + uncertain);
        let open_attempts = offer.open_attempts;
        offer.push(rejected, index + 1, offers);
        offer.open_attempts = open_attempts + usize::from(ruling.doubts_again);
        offer.push(again, index + 1, offers);
        offer.open_attempts = open_attempts + usize::from(ruling.doubts_others);
        if reply.answer.rest != RestVerdict::TooLarge || others.batch.len() < 2 {
            return offer.push(others, index + 1, offers);
        }
        // The same fallback gets them in smaller requests.
        let half = if body_bytes > 0 { others.batch.len() } else { others.batch.len() / 2 };
        self.destinations[index].size.refused(body_bytes);
        let (first, rest) = others.batch.split_at(half);
        offer.push(others.with_batch(rest), index, offers);
        offer.push(others.with_batch(first), index, offers);
    }

    /// Counts the loss of what no fallback took.
    fn give_up(&mut self, offer: Offer, behind: u64, reason: DropReason) {
        let Offer { run, open_attempts, late, .. } = offer;
        let outcome = if open_attempts > 0 { Outcome::Unconfirmed } else { Outcome::Dropped(reason) };
        self.handle.settle(&run, outcome, behind);
        if !late.is_empty() {
            let events = run.batch.iter().map(|record| record.id()).collect();
            self.confirmations.push(PendingConfirmation { fallbacks: late, events, open_attempts, reason });
        }
    }

    /// Has the fallbacks take what the spool has no room for.
    pub(super) async fn divert_overflow(&mut self, taken: InFlightBatch) {
        self.fall_back(&mut Remainder::new(taken), DropReason::SpoolFull).await;
    }

    /// Has the first available fallback write a notice; returns which did.
    pub(super) async fn write_notice_to_fallback(&mut self, lines: &Batch) -> Option<usize> {
        self.collect_late_results();
        let mut next = 1;
        while let Some(index) = self.available_fallback(next) {
            if self.write_notice_to(index, lines.clone()).await {
                return Some(index);
            }
            next = index + 1;
        }
        None
    }

    /// Waits for the late result of a call of the sink itself. Meanwhile, new batches go to the fallbacks. The events of
    /// that call do not: it may still deliver them.
    pub(super) async fn divert_until_late_result(&mut self) -> (Option<Arc<Parcel>>, Reply) {
        let handle = self.handle.clone();
        loop {
            // If every fallback is busy, new batches wait, as they would if there were none.
            let can_divert = self.has_available_fallback();
            if can_divert && let Some(mut held) = self.held.take() {
                self.fall_back(&mut held, DropReason::BreakerOpen).await;
                self.held = held.front().is_some().then_some(held);
                continue;
            }
            let action = tokio::select! {
                biased;
                (index, parcel, reply) = self.next_late_result(0) => match index {
                    0 => return (parcel, reply),
                    _ => {
                        self.record_late_result(index, parcel, reply);
                        continue;
                    }
                },
                action = handle.next_fallback_action(), if can_divert => action,
            };
            match action {
                FallbackAction::Write(taken) => self.held = Some(Remainder::new(taken)),
                FallbackAction::Overflow(taken) => Box::pin(self.divert_overflow(taken)).await,
                FallbackAction::Notify(notice) => {
                    // Boxed, as a notice to the sink itself may come here too.
                    let by = Box::pin(self.write_notice_to_fallback(&notice.batch)).await;
                    handle.record_notice(&notice, by);
                }
            }
        }
    }
}

/// Answers after a timeout.
impl SinkTask {
    /// Records the next late result of a fallback; never returns if none is late. Cancel-safe.
    pub(super) async fn late_fallback_result(&mut self) {
        let (index, parcel, reply) = self.next_late_result(1).await;
        self.record_late_result(index, parcel, reply);
    }

    /// Waits for the next late result of a destination from this one on. Cancel-safe.
    async fn next_late_result(&mut self, first: usize) -> (usize, Option<Arc<Parcel>>, Reply) {
        poll_fn(|cx| {
            for (index, destination) in self.destinations.iter_mut().enumerate().skip(first) {
                if let Poll::Ready((parcel, reply)) = pin!(destination.late_result()).poll_unpin(cx) {
                    return Poll::Ready((index, parcel, reply));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Records the late results that are available.
    fn collect_late_results(&mut self) {
        while self.late_fallback_result().now_or_never().is_some() {}
    }

    /// Waits until this fallback's late call returns, if it has one.
    pub(super) async fn late_result_of(&mut self, index: usize) {
        if self.destinations[index].is_late() {
            let (parcel, reply) = self.destinations[index].late_result().await;
            self.record_late_result(index, parcel, reply);
        }
    }

    fn record_late_result(&mut self, index: usize, parcel: Option<Arc<Parcel>>, reply: Reply) {
        let batch = parcel.map(|parcel| parcel.request.batch.clone()).unwrap_or_default();
        let ruling = Ruling::of(&reply.answer, &batch);
        self.handle.record_answer(index, batch.is_empty(), &reply, &ruling);
        self.collect_aside(index);
        let mut unnamed = ruling.rejected_unnamed;
        // Without a pending confirmation, another fallback delivered them all.
        for mut pending in mem::take(&mut self.confirmations) {
            if pending.fallbacks.contains(&index) {
                unnamed -= self.confirm(&mut pending, index, &ruling, unnamed);
            }
            if !pending.fallbacks.is_empty() {
                self.confirmations.push(pending);
            }
        }
    }

    /// Settles what a late result of this fallback settles of these events; returns how many of them were rejected without a
    /// name, of so many.
    fn confirm(&mut self, pending: &mut PendingConfirmation, index: usize, ruling: &Ruling, unnamed: usize) -> usize {
        // Another fallback may have delivered some of them.
        let settled = ruling.settle(&mut pending.events);
        let rejected = unnamed.min(settled);
        self.handle.settle_late(settled - rejected, Outcome::Delivered(index));
        self.handle.settle_late(rejected, Outcome::Dropped(DropReason::Rejected));
        pending.fallbacks.retain(|fallback| *fallback != index);
        let doubtful = ruling.take_doubtful(&mut pending.events);
        if !doubtful.is_empty() && !pending.fallbacks.is_empty() {
            self.confirmations.push(PendingConfirmation { events: doubtful, ..pending.clone() });
        }
        pending.open_attempts -= 1;
        if pending.open_attempts == 0 {
            self.handle.settle_late(pending.events.len(), Outcome::Dropped(pending.reason));
        }
        rejected
    }
}
