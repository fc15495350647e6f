//! Anywhere (pure): fields that many events share.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "tracing")]
use super::encoding::TextKind;
use super::encoding::{EncodedFields, FieldLayer, Reader};
use super::field_set::FieldSet;
use super::redact::{self, Redactor};
use super::value::Value;

/// Named fields, encoded once and shared by every event that carries them.
pub(crate) struct SharedFields {
    fields: Arc<EncodedFields>,
    account: Charged,
}

/// The account that a context is charged to.
enum Charged {
    /// None: the queue's account had no room, and events that carry this context are refused.
    Uncharged,
    /// The queue, for as long as a logger or a queued event has this context.
    Queue {
        /// Releases the bytes when dropped.
        charge: Box<dyn Any + Send + Sync>,
        /// The same fields for events that leave the queue: a sink that hangs must not hold the queue's bytes. Made by
        /// the flush task for the first such event, so that no caller pays for it. `None`: they have no context.
        outside: OnceLock<Option<Arc<SharedFields>>>,
    },
    /// The sinks that hold events with it, each in its own account.
    Sinks,
}

impl SharedFields {
    /// Returns the fields of `parent`, with `name` set to `value`.
    pub(crate) fn extend(parent: Option<&SharedFields>, name: &str, value: Value<'_>) -> Self {
        let mut fields = EncodedFields::new(0);
        for (key, inherited) in parent.into_iter().flat_map(SharedFields::layer) {
            if key != name {
                fields.push_named(key, inherited);
            }
        }
        fields.push_named(name, value);
        SharedFields::of(fields)
    }

    /// Returns the set's fields and, for names it does not have, the outer ones.
    pub(crate) fn with_fields_over(set: &FieldSet, outer: Option<&SharedFields>) -> Self {
        let mut fields = EncodedFields::new(0);
        set.layer().for_each(|(name, value)| fields.push_named(name, value));
        SharedFields::nested(fields, set.layer(), outer)
    }

    /// Returns these fields and, for names that are not among them, the outer ones.
    pub(crate) fn within(&self, outer: &SharedFields) -> Self {
        // Unchanged: their names may be qualified.
        SharedFields::nested((*self.fields).clone(), self.layer(), Some(outer))
    }

    /// Returns the encoded fields, which are those of `own`, and the outer ones of other names.
    fn nested(mut fields: EncodedFields, own: FieldLayer<'_>, outer: Option<&SharedFields>) -> Self {
        let inherited = outer.into_iter().flat_map(SharedFields::layer).filter(|(name, _)| !own.has(name));
        inherited.for_each(|(name, value)| fields.push_named(name, value));
        SharedFields::of(fields)
    }

    /// Returns the context with the values masked that the redactor hides, for events of a spool; `None`: it hides none.
    pub(super) fn masked(&self, redactor: &Redactor) -> Option<Arc<SharedFields>> {
        redact::pairs(&self.fields, redactor).map(|masked| Arc::new(SharedFields::restored(masked)))
    }

    /// Returns a context that is read back: the sinks that hold events with it are charged.
    pub(super) fn restored(fields: EncodedFields) -> Self {
        SharedFields { fields: Arc::new(fields), account: Charged::Sinks }
    }

    /// Returns the encoded fields.
    #[cfg(feature = "spool")]
    pub(super) fn encoded(&self) -> &[u8] {
        self.fields.bytes()
    }

    /// Returns the same fields, not charged.
    pub(crate) fn share_uncharged(&self) -> Self {
        SharedFields { fields: self.fields.clone(), account: Charged::Uncharged }
    }

    /// Returns the fields with the values masked that the redactor hides, not charged yet.
    pub(crate) fn redacted(self, redactor: &Redactor) -> Self {
        match redact::pairs(&self.fields, redactor) {
            Some(masked) => SharedFields::of(masked),
            None => self,
        }
    }

    pub(super) fn of(mut fields: EncodedFields) -> Self {
        fields.shrink(0);
        SharedFields { fields: Arc::new(fields), account: Charged::Uncharged }
    }

    pub(crate) fn field(&self, name: &str) -> Option<Value<'_>> {
        self.layer().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns the memory this context holds, as the accounts charge it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<SharedFields>() + size_of::<EncodedFields>() + self.fields.heap_bytes()
    }

    /// Charges the queue; dropping `charge` releases the bytes.
    pub(crate) fn set_charge(&mut self, charge: Box<dyn Any + Send + Sync>) {
        self.account = Charged::Queue { charge, outside: OnceLock::new() };
    }

    /// Returns a context without fields for which the queue's account has no room.
    pub(crate) fn uncharged() -> Self {
        SharedFields::of(EncodedFields::new(0))
    }

    /// Returns a context of one event, with the fields of the one it had, for as long as it is in the queue. Dropping `charge`
    /// releases the bytes.
    pub(crate) fn of_one_event(before: Option<&Arc<SharedFields>>, charge: Box<dyn Any + Send + Sync>) -> Self {
        let fields = before.map_or_else(|| Arc::new(EncodedFields::new(0)), |before| before.fields.clone());
        let outside = before.and_then(|before| before.after_dequeue()?.clone());
        SharedFields { fields, account: Charged::Queue { charge, outside: OnceLock::from(outside) } }
    }

    /// Returns what the queue's account is charged by.
    pub(crate) fn charge(&self) -> Option<&(dyn Any + Send + Sync)> {
        match &self.account {
            Charged::Queue { charge, .. } => Some(&**charge),
            Charged::Uncharged | Charged::Sinks => None,
        }
    }

    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        !matches!(self.account, Charged::Uncharged)
    }

    /// Returns the context of events that have left the queue, if it is another one.
    pub(super) fn after_dequeue(&self) -> Option<&Option<Arc<SharedFields>>> {
        let outside = || Some(Arc::new(SharedFields { fields: self.fields.clone(), account: Charged::Sinks }));
        match &self.account {
            Charged::Queue { outside: made, .. } => Some(made.get_or_init(outside)),
            Charged::Uncharged | Charged::Sinks => None,
        }
    }

    pub(super) fn layer(&self) -> FieldLayer<'_> {
        FieldLayer { names: &[], values: Reader::new(self.fields.bytes()) }
    }
}

/// Named values that are not yet a context.
#[cfg(feature = "tracing")]
#[derive(Clone)]
pub(crate) struct FieldPairs(EncodedFields);

#[cfg(feature = "tracing")]
impl FieldPairs {
    pub(crate) const fn new() -> Self {
        FieldPairs(EncodedFields::new(0))
    }

    /// Sets a field: an existing field of that name gets the new value.
    pub(crate) fn set(&mut self, name: &str, value: Value<'_>) {
        self.remove(name);
        self.0.push_named(name, value);
    }

    /// Like [`FieldPairs::set`], for a value that exists only as a formatting.
    pub(crate) fn set_format(
        &mut self,
        name: &str,
        kind: TextKind,
        write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
    ) {
        self.remove(name);
        self.0.push(Value::Str(name));
        self.0.push_format(kind, super::DYNAMIC_SITE.max_text(), write);
    }

    /// Sets every field that `nearer` has.
    pub(crate) fn set_all(&mut self, nearer: &FieldPairs) {
        let mut names = Reader::new(nearer.0.bytes());
        while let Some(name) = names.name() {
            self.remove(name);
            names.skip_value();
        }
        self.0.append(nearer.0.bytes());
    }

    #[inline]
    fn remove(&mut self, name: &str) {
        if !self.0.bytes().is_empty() && self.layer().has(name) {
            let mut rest = EncodedFields::new(0);
            self.layer().filter(|(other, _)| *other != name).for_each(|(other, value)| rest.push_named(other, value));
            self.0 = rest;
        }
    }

    pub(super) fn layer(&self) -> FieldLayer<'_> {
        FieldLayer { names: &[], values: Reader::new(self.0.bytes()) }
    }
}

impl fmt::Debug for SharedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.layer()).finish()
    }
}
