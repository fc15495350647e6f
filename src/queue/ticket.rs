//! Any thread: the ticket of an event whose caller waits for its end at some of the sinks.
//!
//! It travels through the queue in the event's context. Whatever drops the event there ends the ticket too.
//!
//! Invariants:
//! * A ticket ends once: with every sink's confirmation, or with the first failure.
//! * No waker is called where something is locked: who changes a ticket there wakes its caller later.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures::task::AtomicWaker;

use super::account::ContextCharge;
use crate::event::{EventId, SharedFields};
use crate::stats::DropReason;

/// How a sink has confirmed an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Confirmation {
    /// Its destination has acknowledged it.
    Delivered,
    /// The disk has it, in the pipeline's spool. It is delivered from there, by this process or a later one; from then on it is
    /// as safe as its destination [acknowledges](crate::sink::Acknowledges).
    Synced,
}

/// What a caller waits for.
#[derive(Default)]
pub(crate) struct Ticket {
    // A std lock: held to read or change the state.
    state: Mutex<TicketState>,
    waker: AtomicWaker,
}

#[derive(Default)]
enum TicketState {
    /// The event is in a lane, or on its way there.
    #[default]
    Queued,
    /// The dispatcher has it.
    Dequeued,
    /// The sinks have it. They are known by their numbers.
    Routed {
        id: EventId,
        pending: Vec<usize>,
        confirmed: Vec<(usize, Confirmation)>,
    },
    Ended(TicketEnd),
}

/// The end of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TicketEnd {
    Confirmed(EventId, Vec<(usize, Confirmation)>),
    /// No sink that could confirm it wants the event.
    NotRouted,
    /// It did not reach the sinks.
    Evicted(DropReason),
    /// This sink has dropped it.
    Dropped(usize, DropReason),
    /// It is unknown whether this sink has it.
    Unconfirmed(usize),
}

impl Ticket {
    fn state(&self) -> MutexGuard<'_, TicketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ticket of the event with this context.
    pub(crate) fn of(context: &SharedFields) -> Option<&Arc<Ticket>> {
        context.charge()?.downcast_ref::<TicketCharge>().map(|charge| &charge.ticket)
    }

    /// Records that the event has left its lane for the dispatcher.
    pub(crate) fn set_dequeued(&self) {
        *self.state() = TicketState::Dequeued;
    }

    /// Records the event's id, and which sinks get it of those that can confirm it; [`Ticket::wake`] is to follow.
    pub(crate) fn set_routed(&self, id: EventId, sinks: Vec<usize>) {
        *self.state() = match sinks.is_empty() {
            true => TicketState::Ended(TicketEnd::NotRouted),
            false => TicketState::Routed { id, confirmed: Vec::with_capacity(sinks.len()), pending: sinks },
        };
    }

    /// Records that a sink has confirmed the event; [`Ticket::wake`] is to follow.
    pub(crate) fn confirm(&self, sink: usize, how: Confirmation) {
        let mut state = self.state();
        if let TicketState::Routed { id, pending, confirmed } = &mut *state {
            pending.retain(|other| *other != sink);
            confirmed.push((sink, how));
            if pending.is_empty() {
                *state = TicketState::Ended(TicketEnd::Confirmed(*id, std::mem::take(confirmed)));
            }
        }
    }

    /// Ends it without a confirmation, unless it has ended; [`Ticket::wake`] is to follow.
    pub(crate) fn fail(&self, end: TicketEnd) {
        let mut state = self.state();
        if !matches!(*state, TicketState::Ended(_)) {
            *state = TicketState::Ended(end);
        }
    }

    /// Wakes the caller, if the ticket has ended. Its waker is foreign code: called with nothing locked.
    pub(crate) fn wake(&self) {
        if self.has_ended() {
            self.waker.wake();
        }
    }

    fn has_ended(&self) -> bool {
        matches!(*self.state(), TicketState::Ended(_))
    }

    /// Returns how it has ended.
    pub(crate) fn end(&self) -> Option<TicketEnd> {
        match &*self.state() {
            TicketState::Ended(end) => Some(end.clone()),
            TicketState::Queued | TicketState::Dequeued | TicketState::Routed { .. } => None,
        }
    }

    /// Returns the sinks that have not confirmed the event; none if they are not known yet.
    pub(crate) fn pending(&self) -> Vec<usize> {
        match &*self.state() {
            TicketState::Routed { pending, .. } => pending.clone(),
            TicketState::Queued | TicketState::Dequeued | TicketState::Ended(_) => Vec::new(),
        }
    }

    /// Waits until it has ended; one caller at a time. Cancel-safe.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.has_ended() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What a ticketed event's context holds of the queue's account.
pub(crate) struct TicketCharge {
    ticket: Arc<Ticket>,
    /// The context that the event has otherwise, which is charged itself.
    _under: Option<Arc<SharedFields>>,
    _charge: ContextCharge,
}

impl TicketCharge {
    /// The memory of a ticket and its charge.
    pub(crate) const BYTES: usize = size_of::<TicketCharge>() + size_of::<Ticket>() + size_of::<SharedFields>();

    pub(crate) fn new(ticket: Arc<Ticket>, under: Option<Arc<SharedFields>>, charge: ContextCharge) -> Self {
        TicketCharge { ticket, _under: under, _charge: charge }
    }
}

impl Drop for TicketCharge {
    /// The event has left the queue; nothing is locked.
    fn drop(&mut self) {
        let mut state = self.ticket.state();
        if matches!(*state, TicketState::Queued) {
            *state = TicketState::Ended(TicketEnd::Evicted(DropReason::TaskFailed));
        }
        drop(state);
        self.ticket.wake();
    }
}
