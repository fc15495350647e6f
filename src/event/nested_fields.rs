//! Anywhere (pure): the fields of spans inside one another, as the context of the events in the innermost.
//!
//! Invariants:
//! * No field of a span is lost: one that a nearer span or the event itself also has gets the name `span.field`.
//! * Every name in the context is there once. Names that depend on an event's own fields are found when they are read
//!   (`encoding/reader.rs`): the caller's thread pays nothing for them.

use super::encoding::{EncodedFields, FieldLayer, Reader, values};
use super::shared_fields::{FieldPairs, SharedFields};

/// Collects the fields of spans, from the root to the leaf.
pub(crate) struct NestedFields<'a> {
    /// The logger's context, which spans override.
    base: Option<&'a SharedFields>,
    /// Fields about the spans, which the spans' own override.
    about: &'a FieldPairs,
    nested: EncodedFields,
}

impl<'a> NestedFields<'a> {
    pub(crate) fn new(base: Option<&'a SharedFields>, about: &'a FieldPairs) -> Self {
        NestedFields { base, about, nested: EncodedFields::new(0) }
    }

    /// Adds the fields of a span inside the ones so far.
    pub(crate) fn add(&mut self, span: &str, fields: &FieldPairs) {
        let qualifier = format!("{span}.");
        self.rename_hidden_by(fields);
        for (name, value) in fields.layer() {
            self.nested.push_qualified(&qualifier, name);
            self.nested.push(value);
        }
    }

    /// Gives the fields that these hide another name.
    fn rename_hidden_by(&mut self, nearer: &FieldPairs) {
        if !self.layer().any(|(name, _)| nearer.layer().has(name)) {
            return;
        }
        let (bytes, mut renamed) = (self.nested.bytes(), EncodedFields::new(0));
        let mut start = 0;
        for value in values(bytes, 0) {
            let pair = Reader::new(&bytes[start..value.start]).pair_name();
            match pair.filter(|pair| nearer.layer().has(pair.name())) {
                Some(pair) => {
                    let given = FieldLayer { names: &[], values: Reader::new(renamed.bytes()) };
                    let is_taken = |name: &str| {
                        let layers = [self.layer(), nearer.layer(), self.about.layer(), given];
                        layers.iter().any(|layer| layer.has(name))
                            || self.base.is_some_and(|base| base.layer().has(name))
                    };
                    let mut name = pair.alternatives().next().unwrap_or(pair.name()).to_owned();
                    while is_taken(&name) {
                        name.push('_');
                    }
                    renamed.push_qualified("", &name);
                    renamed.append(&bytes[value.start..value.end]);
                }
                None => renamed.append(&bytes[start..value.end]),
            }
            start = value.end;
        }
        self.nested = renamed;
    }

    /// Returns the context of events in the innermost span, `leaf`, not charged yet.
    pub(crate) fn finish(self, leaf: &str) -> SharedFields {
        let mut fields = EncodedFields::new(0);
        let is_overridden = |name: &str| self.about.layer().has(name) || self.layer().has(name);
        for (name, value) in
            self.base.into_iter().flat_map(SharedFields::layer).filter(|(name, _)| !is_overridden(name))
        {
            fields.push_named(name, value);
        }
        let qualifier = format!("{leaf}.");
        for (name, value) in self.about.layer().filter(|(name, _)| !self.layer().has(name)) {
            fields.push_qualified(&qualifier, name);
            fields.push(value);
        }
        fields.append(self.nested.bytes());
        SharedFields::of(fields)
    }

    fn layer(&self) -> FieldLayer<'_> {
        FieldLayer { names: &[], values: Reader::new(self.nested.bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level, Value};

    fn pairs(fields: &[(&str, i64)]) -> FieldPairs {
        let mut pairs = FieldPairs::new();
        fields.iter().for_each(|(name, value)| pairs.set(name, Value::I64(*value)));
        pairs
    }

    /// The fields of an event with these of its own, in spans with those.
    fn fields(own: &[(&str, i64)], spans: &[(&str, &[(&str, i64)])]) -> String {
        let (base, about) = (SharedFields::extend(None, "base", Value::I64(0)), pairs(&[("span", -1)]));
        let mut nested = NestedFields::new(Some(&base), &about);
        spans.iter().for_each(|(span, fields)| nested.add(span, &pairs(fields)));
        let context = nested.finish(spans.last().expect("a span").0);
        let event = own.iter().fold(Event::new(Level::Info, "t", "m"), |event, (name, value)| event.with(name, *value));
        let event = event.in_context(Some(std::sync::Arc::new(context)));
        event.fields().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_hidden_field_is_kept_under_the_name_of_its_span() {
        let spans: &[(&str, &[(&str, i64)])] = &[("s", &[("a", 1), ("b", 2)]), ("t", &[("a", 3)])];
        assert_eq!(fields(&[], spans), "base=0 span=-1 s.a=1 b=2 a=3");
        assert_eq!(fields(&[("a", 9)], spans), "a=9 base=0 span=-1 s.a=1 b=2 t.a=3");
        assert_eq!(fields(&[("b", 9), ("span", 8)], spans), "b=9 span=8 base=0 t.span=-1 s.a=1 s.b=2 a=3");
        assert_eq!(fields(&[("base", 9)], spans), "base=9 span=-1 s.a=1 b=2 a=3", "what is no span's is overridden");
    }

    #[test]
    fn a_name_that_is_taken_gets_underscores() {
        let alike: &[(&str, &[(&str, i64)])] = &[("s", &[("a", 1)]), ("s", &[("a", 2)]), ("s", &[("a", 3)])];
        assert_eq!(fields(&[], alike), "base=0 span=-1 s.a=1 s.a_=2 a=3");
        assert_eq!(fields(&[("a", 4)], alike), "a=4 base=0 span=-1 s.a=1 s.a_=2 s.a__=3");
        assert_eq!(fields(&[("a", 4), ("s.a", 5)], alike), "a=4 s.a=5 base=0 span=-1 s.a__=1 s.a_=2 s.a___=3");
        let crossed: &[(&str, &[(&str, i64)])] = &[("s", &[("a", 1)]), ("t", &[("s.a", 2), ("a", 3), ("t.a", 4)])];
        assert_eq!(fields(&[], crossed), "base=0 span=-1 s.a_=1 s.a=2 a=3 t.a=4");
        assert_eq!(fields(&[("a", 9)], crossed), "a=9 base=0 span=-1 s.a_=1 s.a=2 t.a_=3 t.a=4");
        let based: &[(&str, &[(&str, i64)])] = &[("", &[("base", 1)]), ("u", &[("base", 2)])];
        assert_eq!(fields(&[("base", 3)], based), "base=3 span=-1 .base=1 u.base=2");
    }
}
