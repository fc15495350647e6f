//! Anywhere (pure): named values without an event.

use std::fmt;

use super::encoding::{FieldLayer, Fields};
use super::template::Template;
use super::value::ToValue;
use super::{Callsite, Event, Level};

/// The call site of sets that no macro created.
static SITE: Callsite = Callsite::new("", "", "", 0, Template::new("", &[]), &[]);

/// Fields for a [`scope`](crate::scope()) or for a child of a logger: created by [`fields!`](crate::fields!), or one by
/// one if the names are not known when the program compiles.
///
/// ```
/// use logweir::event::FieldSet;
/// use logweir::fields;
///
/// let known = fields![user = "ada", attempt = 2];
/// let found = [("tenant", "acme"), ("region", "eu")];
/// let found = found.iter().fold(FieldSet::new(), |set, (name, value)| set.with(name, value));
/// assert_eq!(known.fields().count() + found.fields().count(), 4);
/// ```
#[derive(Clone)]
#[must_use = "fields do nothing until a scope or a logger has them"]
pub struct FieldSet(Event);

impl FieldSet {
    /// Creates an empty set.
    pub const fn new() -> Self {
        FieldSet(Event::__new(&SITE, Level::Info))
    }

    #[doc(hidden)]
    pub const fn __of(event: Event) -> Self {
        FieldSet(event)
    }

    /// Adds a field, or sets the value of the field of that name: the last value wins.
    pub fn with(self, name: &str, value: impl ToValue) -> Self {
        FieldSet(self.0.with(name, value))
    }

    /// Returns the fields, in their order.
    pub fn fields(&self) -> Fields<'_> {
        self.0.fields()
    }

    pub(super) fn layer(&self) -> FieldLayer<'_> {
        self.0.layer()
    }
}

impl Default for FieldSet {
    fn default() -> Self {
        FieldSet::new()
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().fmt(f)
    }
}
