//! Anywhere (pure): fields that many events share.

use std::any::Any;

use super::fields::{Encoded, Layer, Reader};
use super::value::Value;

/// Named fields, encoded once and shared by every event that carries them.
pub(crate) struct Context {
    fields: Encoded,
    /// Held while the context lives: gives its bytes back to the account that was charged for them. `None`: the account
    /// had no room, and events that carry this context are refused.
    charge: Option<Box<dyn Any + Send + Sync>>,
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
        Context { fields, charge: None }
    }

    /// Memory this context holds, as the accounts charge it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Context>() + self.fields.heap_bytes()
    }

    pub(crate) fn hold(&mut self, charge: Box<dyn Any + Send + Sync>) {
        self.charge = Some(charge);
    }

    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        self.charge.is_some()
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
