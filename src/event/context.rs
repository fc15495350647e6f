//! Anywhere (pure): fields that many events share.

use std::any::Any;
use std::sync::Arc;

use super::fields::{Encoded, Layer, Reader};
use super::value::Value;

/// Named fields, encoded once and shared by every event that carries them.
pub(crate) struct Context {
    fields: Arc<Encoded>,
    account: Account,
}

/// Who pays for a context.
enum Account {
    /// Nobody: the queue's account had no room, and events that carry this context are refused.
    Nobody,
    /// The queue, for as long as a logger or a queued event has this context.
    Queue {
        /// Gives the bytes back when dropped.
        _charge: Box<dyn Any + Send + Sync>,
        /// The same fields for events that leave the queue: a sink that hangs must not hold the queue's bytes.
        outside: Arc<Context>,
    },
    /// The sinks that hold events with it, each in its own account.
    Sinks,
}

impl Context {
    /// What `parent` has, with `name` set to `value`.
    pub(crate) fn extend(parent: Option<&Context>, name: &str, value: Value<'_>) -> Self {
        let mut fields = Encoded::new(0);
        for (key, inherited) in parent.into_iter().flat_map(Context::layer) {
            if key != name {
                fields.push_named(key, inherited);
            }
        }
        fields.push_named(name, value);
        fields.shrink(0);
        Context { fields: Arc::new(fields), account: Account::Nobody }
    }

    /// Memory this context holds, as the accounts charge it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Context>() + size_of::<Encoded>() + self.fields.heap_bytes()
    }

    /// The queue pays; dropping `charge` gives the bytes back.
    pub(crate) fn hold(&mut self, charge: Box<dyn Any + Send + Sync>) {
        let outside = Arc::new(Context { fields: self.fields.clone(), account: Account::Sinks });
        self.account = Account::Queue { _charge: charge, outside };
    }

    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        !matches!(self.account, Account::Nobody)
    }

    /// The context of events that have left the queue, if it is another one.
    pub(super) fn outside(&self) -> Option<&Arc<Context>> {
        match &self.account {
            Account::Queue { outside, .. } => Some(outside),
            Account::Nobody | Account::Sinks => None,
        }
    }

    pub(super) fn layer(&self) -> Layer<'_> {
        Layer { names: &[], values: Reader::new(self.fields.bytes()) }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.layer()).finish()
    }
}
