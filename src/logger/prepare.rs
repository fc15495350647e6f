//! The caller's thread: what an event gets before it enters: the context of its scope, and masks for hidden values.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::context::{scope, suppress, thread_flags};
use crate::event::{Event, SharedFields};
use crate::queue::{Ticket, TicketCharge};
use crate::runtime::LoggerCore;

impl LoggerCore {
    /// Returns whether an event logged here needs more than the context of the handle that logs it.
    #[inline(always)]
    pub(crate) fn is_special_here(&self) -> bool {
        thread_flags::any() || self.redactor.is_some()
    }

    /// Gives an event its context, also that of its scope, and masks hidden values. Returns whether it may enter:
    /// events of the logger's own tasks are counted as suppressed instead.
    pub(crate) fn prepare(&self, event: &mut Event, context: Option<&Arc<SharedFields>>) -> bool {
        if suppress::is_active() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if let Some(redactor) = &self.redactor {
            event.redact(redactor);
        }
        if let Some(context) = context {
            event.set_context(Some(context.clone()));
        }
        if let Some(context) =
            scope::context_here(self.scope_id, event.context(), |context| self.admit_context(context))
        {
            event.set_context(Some(context));
        }
        true
    }

    /// Masks the hidden values of a context and charges it. If there is no room, events that carry it are refused.
    pub(crate) fn admit_context(&self, mut context: SharedFields) -> Arc<SharedFields> {
        if let Some(redactor) = &self.redactor {
            context = context.redacted(redactor);
        }
        if let Some(charge) = self.queue.account().charge_context(context.bytes()) {
            context.set_charge(Box::new(charge));
        }
        Arc::new(context)
    }

    /// Gives an event a ticket, once there is room for it: it is charged like a context. Cancel-safe.
    pub(crate) async fn give_ticket(&self, event: &mut Event, ticket: &Arc<Ticket>) {
        let before = event.context().cloned();
        if before.as_ref().is_some_and(|context| !context.is_charged()) {
            return;
        }
        let charge = self.queue.charge_context_wait(TicketCharge::BYTES).await;
        let context = match charge {
            Some(charge) => {
                let charge = TicketCharge::new(ticket.clone(), before.clone(), charge);
                SharedFields::of_one_event(before.as_ref(), Box::new(charge))
            }
            // It is refused.
            None => SharedFields::uncharged(),
        };
        event.set_context(Some(Arc::new(context)));
    }

    /// Returns whether a value of the event itself would be masked.
    pub(crate) fn hides_some_of(&self, event: &Event) -> bool {
        self.redactor.as_ref().is_some_and(|redactor| event.clone().redact(redactor))
    }

    /// Counts an event that its call site's sampling skipped.
    #[cold]
    pub(crate) fn count_sampled(&self) {
        self.sampled.fetch_add(1, Ordering::Relaxed);
    }
}
