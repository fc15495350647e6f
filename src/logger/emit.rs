//! The caller's thread: puts an event into the queue.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Logger;
use super::error::{EmitError, TryEmitError};
use crate::context::process_end;
use crate::context::thread_flags::is_logger_thread;
use crate::event::{Callsite, Event, Level};
use crate::filter::sampler::Sampler;
use crate::queue::Lack;
use crate::stats::DropReason;

impl Logger {
    /// Logs an event. It never waits for I/O, a sink or room (unless the policy is
    /// [`Overflow::Block`](crate::Overflow::Block)). If the queue is full, the overflow policy applies and the loss is
    /// counted.
    pub fn emit(&self, event: Event) {
        if self.core.filter.allows_event(&event) {
            self.__emit(event);
        }
    }

    /// Logs an event if there is room for it now: evicts nothing and counts no loss.
    ///
    /// For an event that the filter excludes, and for one logged by a sink (which is counted as suppressed), the result
    /// is `Ok`.
    ///
    /// # Errors
    /// Returns the event, which is then not counted.
    pub fn try_emit(&self, mut event: Event) -> Result<(), TryEmitError> {
        let context = event.context().cloned();
        if !self.core.filter.allows_event(&event) {
            return Ok(());
        }
        // A returned event is complete, without redaction.
        let whole = self.core.hides_some_of(&event).then(|| event.clone());
        if !self.prepare(&mut event) {
            return Ok(());
        }
        let as_it_was = |event: Event| whole.unwrap_or(event).in_context(context);
        self.core.queue.try_push(event).map_err(|(event, lack)| match lack {
            Lack::Closed => TryEmitError::Closed(as_it_was(event)),
            Lack::Context | Lack::Memory | Lack::Place | Lack::OpenPlace => TryEmitError::Full(as_it_was(event)),
        })
    }

    /// Logs an event; waits for room, whatever the overflow policy is. Works under any executor.
    ///
    /// Under [`Overflow::DropNewest`](crate::Overflow::DropNewest) and [`Overflow::Block`](crate::Overflow::Block) an
    /// accepted event stays in the queue; under `DropOldest` a later one may evict it.
    ///
    /// # Errors
    /// Returns an error, and counts the refusal, if the logger is closed or the event's context does not fit the memory
    /// budget. Also in a forked child if there is no room: no task makes room there.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the event is not accepted and not counted.
    pub async fn emit_wait(&self, mut event: Event) -> Result<(), EmitError> {
        if !self.core.filter.allows_event(&event) || !self.prepare(&mut event) {
            return Ok(());
        }
        self.push_wait(event).await.map_err(|reason| EmitError { reason })
    }

    /// Puts a prepared event into the queue, once there is room. Cancel-safe.
    pub(super) async fn push_wait(&self, event: Event) -> Result<(), DropReason> {
        let mut pushed = pin!(self.core.queue.push_wait(event));
        let accepted = poll_fn(|cx| match pushed.as_mut().poll(cx) {
            // No task of the logger's makes room in a forked child.
            Poll::Pending if self.core.is_forked() => Poll::Ready(Err(DropReason::Closed)),
            polled => polled,
        });
        accepted.await.inspect_err(|reason| {
            if *reason == DropReason::Closed && !is_logger_thread() {
                process_end::hold_if_ending();
            }
        })
    }

    /// Gives the event its context; returns whether it may enter the queue.
    #[inline(always)]
    pub(super) fn prepare(&self, event: &mut Event) -> bool {
        if self.core.is_special_here() {
            return self.prepare_specially(event);
        }
        if let Some(context) = &self.context {
            event.set_context(Some(context.clone()));
        }
        true
    }

    // Cold, which moves it out of the hot path: other events keep their registers.
    #[cold]
    fn prepare_specially(&self, event: &mut Event) -> bool {
        self.core.prepare(event, self.context.as_ref())
    }

    #[doc(hidden)]
    #[inline]
    pub fn __enabled(&self, callsite: &'static Callsite, level: Level) -> bool {
        self.core.filter.allows(callsite, level)
    }

    /// For a sampled call that has passed the filter: if this event passes the sampling, returns how many were skipped
    /// since the last one that passed.
    #[doc(hidden)]
    pub fn __sampled(&self, sampler: &'static Sampler) -> Option<u64> {
        let skipped = sampler.admit();
        if skipped.is_none() {
            self.core.count_sampled();
        }
        skipped
    }

    /// For an event that has passed the filter. Pushes it into the queue, which the flush task (`runtime::flush_task`)
    /// drains.
    // One copy in the program, not one at each call site, which passes the event by its address.
    #[doc(hidden)]
    #[inline(never)]
    pub fn __emit(&self, mut event: Event) {
        if !self.prepare(&mut event) {
            return;
        }
        let queue = &self.core.queue;
        match queue.find_place(&mut event) {
            Some(place) => place.fill(event),
            None => queue.push(event, Duration::MAX),
        }
    }

    /// Emits an event, and delays its thread for at most this time, whatever the overflow policy.
    pub(crate) fn emit_within(&self, mut event: Event, most: Duration) {
        if self.core.filter.allows_event(&event) && self.prepare(&mut event) {
            self.core.queue.push(event, most);
        }
    }
}
