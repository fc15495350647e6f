//! Any thread: logs an event and waits for its confirmation, under any executor or none.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Logger;
use super::wait::race;
use crate::event::{Event, EventId};
use crate::format::plain::Foreign;
use crate::queue::{Confirmation, Ticket, TicketEnd};
use crate::stats::DropReason;
use crate::time::timer;

/// An event that is confirmed; see [`Logger::emit_confirmed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its id, the same in every sink, attempt and process.
    pub id: EventId,
    /// The sinks that have confirmed it, by name, in the order in which they did.
    pub sinks: Vec<(String, Confirmation)>,
}

/// Why an event is not confirmed; see [`Logger::emit_confirmed`]. Only with [`Filtered`](ConfirmError::Filtered),
/// [`Refused`](ConfirmError::Refused), [`Closed`](ConfirmError::Closed) and a [`TimedOut`](ConfirmError::TimedOut) without
/// sinks was it not accepted.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfirmError {
    /// The logger's filter excludes it, or a sink has logged it.
    Filtered,
    /// No essential sink gets it: the logger has none, or the filters of those that it has exclude the event.
    NoEssentialSink,
    /// The queue did not accept it.
    Refused(DropReason),
    /// It was accepted, and reached no sink.
    Evicted(DropReason),
    /// An essential sink has dropped it.
    Dropped {
        /// The sink's name.
        sink: String,
        /// The reason it is counted under.
        reason: DropReason,
    },
    /// It is unknown whether an essential sink has it; or its fallback has it, which confirms nothing.
    Unconfirmed {
        /// The sink's name.
        sink: String,
    },
    /// The time has passed. The event may still be delivered.
    TimedOut {
        /// The sinks that have not confirmed it; none if there was no room in the queue: then it was not accepted.
        pending: Vec<String>,
    },
    /// The logger was shut down, or this is a child that was forked from its process.
    Closed,
}

impl fmt::Display for ConfirmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfirmError::Filtered => f.write_str("the event is excluded by the filter"),
            ConfirmError::NoEssentialSink => f.write_str("no essential sink gets the event"),
            ConfirmError::Refused(reason) => write!(f, "the event was refused: {reason}"),
            ConfirmError::Evicted(reason) => write!(f, "the event was evicted from the queue: {reason}"),
            ConfirmError::Dropped { sink, reason } => {
                write!(f, "sink `{}` has dropped the event: {reason}", Foreign(sink))
            }
            ConfirmError::Unconfirmed { sink } => {
                write!(f, "it is unknown whether sink `{}` has the event", Foreign(sink))
            }
            ConfirmError::TimedOut { pending } if pending.is_empty() => {
                f.write_str("the event did not reach its sinks in time")
            }
            ConfirmError::TimedOut { pending } => {
                f.write_str("not confirmed in time:")?;
                pending.iter().enumerate().try_for_each(|(index, sink)| {
                    write!(f, "{} sink `{}`", if index > 0 { "," } else { "" }, Foreign(sink))
                })
            }
            ConfirmError::Closed => f.write_str("the logger takes no more events"),
        }
    }
}

/// Like `Display`.
impl fmt::Debug for ConfirmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ConfirmError {}

impl Logger {
    /// Logs an event and waits until every essential sink that gets it has confirmed it: an audit log that fails closed.
    ///
    /// Essential are the sinks of [`Pipeline::essential`](crate::Pipeline::essential); without one, those with a spool. A sink
    /// confirms when the disk has the event in the sink's spool ([`Confirmation::Synced`]), whatever its
    /// [`Durability`](crate::sink::Durability), or when its destination has acknowledged it
    /// ([`Confirmation::Delivered`]; at least [`Acknowledges::Accepted`](crate::sink::Acknowledges::Accepted)). A fallback
    /// confirms in the same way. Such an event waits for no batch, interval or linger, and all that are logged during one
    /// synchronization of the disk share the next one.
    ///
    /// `timeout` is measured in real time and includes the wait for room, whatever the overflow policy is. Works under any
    /// executor.
    ///
    /// A confirmed event is not dropped to make room in the spool. Its destination can still reject it (`rejected`: then the
    /// fallback gets it), and the file can be damaged (`spool_corrupt`).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logweir::{Level, Logger, new_event, sink::MemorySink};
    /// # async fn pay(logger: Logger, n: u64) {
    /// let event = new_event!(Level::Info, "paid {n}", n);
    /// match logger.emit_confirmed(event, Duration::from_secs(2)).await {
    ///     Ok(receipt) => println!("{} is safe", receipt.id),
    ///     Err(error) => eprintln!("refuse the payment: {error}"),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the first reason why a sink cannot confirm it, or that the time has passed. An event that was accepted is
    /// counted and delivered as any other.
    ///
    /// # Cancel safety
    /// If the future is dropped while it waits for room, the event is not accepted and not counted; afterwards it is logged
    /// like any other.
    pub async fn emit_confirmed(&self, mut event: Event, timeout: Duration) -> Result<Receipt, ConfirmError> {
        let until = Instant::now().checked_add(timeout);
        if !self.core.filter.allows_event(&event) || !self.prepare(&mut event) {
            return Err(ConfirmError::Filtered);
        }
        if self.core.is_forked() {
            return Err(ConfirmError::Closed);
        }
        let ticket = Arc::<Ticket>::default();
        let mut accepted = None;
        race(
            async {
                self.core.give_ticket(&mut event, &ticket).await;
                accepted = Some(self.push_wait(event).await);
                if matches!(accepted, Some(Ok(()))) {
                    self.core.queue.signal().raise();
                    ticket.wait().await;
                }
            },
            timer::at(until),
        )
        .await;
        match accepted {
            None => return Err(ConfirmError::TimedOut { pending: Vec::new() }),
            Some(Err(DropReason::Closed)) => return Err(ConfirmError::Closed),
            Some(Err(reason)) => return Err(ConfirmError::Refused(reason)),
            Some(Ok(())) => {}
        }
        self.result_of(&ticket)
    }

    fn result_of(&self, ticket: &Ticket) -> Result<Receipt, ConfirmError> {
        let name = |sink: usize| self.core.sinks[sink].name().to_owned();
        // Before the question whether it has ended: it may end in between.
        let pending = ticket.pending();
        Err(match ticket.end() {
            Some(TicketEnd::Confirmed(id, sinks)) => {
                let sinks = sinks.into_iter().map(|(sink, how)| (name(sink), how)).collect();
                return Ok(Receipt { id, sinks });
            }
            Some(TicketEnd::NotRouted) => ConfirmError::NoEssentialSink,
            Some(TicketEnd::Evicted(reason)) => ConfirmError::Evicted(reason),
            Some(TicketEnd::Dropped(sink, reason)) => ConfirmError::Dropped { sink: name(sink), reason },
            Some(TicketEnd::Unconfirmed(sink)) => ConfirmError::Unconfirmed { sink: name(sink) },
            // All that may get it.
            None if pending.is_empty() => {
                let essential = self.core.sinks.iter().filter(|sink| sink.is_essential());
                let pending: Vec<String> = essential.map(|sink| sink.name().to_owned()).collect();
                if pending.is_empty() { ConfirmError::NoEssentialSink } else { ConfirmError::TimedOut { pending } }
            }
            None => ConfirmError::TimedOut { pending: pending.into_iter().map(name).collect() },
        })
    }
}
