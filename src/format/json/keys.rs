//! Anywhere (pure): the keys of a JSON line besides its fields.

use super::value::{write_name, write_string};
use crate::event::{Event, Level};

/// A part of a JSON line besides the fields, in the order of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// The time of emission. Default: `timestamp`.
    Timestamp,
    /// The importance. Default: `level`.
    Level,
    /// The target, which filters use. Default: `target`.
    Target,
    /// The module's path, if it is known. Default: omitted.
    Module,
    /// The source file, if it is known. Default: omitted.
    File,
    /// The line in the source file, if it is known. Default: omitted.
    Line,
    /// The message. Default: `message`. Lines of events without a message omit it.
    Message,
    /// Whether a value was truncated. Default: `truncated`. Only lines of such events have it.
    Truncated,
}

const KEYS: usize = 8;
const ALL: [Key; KEYS] =
    [Key::Timestamp, Key::Level, Key::Target, Key::Module, Key::File, Key::Line, Key::Message, Key::Truncated];

/// The requested keys, and the parts of a line that follow from them.
#[derive(Clone, Debug)]
pub(super) struct JsonKeyNames {
    wanted: [Option<String>; KEYS],
    /// No name occurs twice.
    names: [Option<String>; KEYS],
    pub(super) has_timestamp: bool,
    /// Up to the message's text; empty if the message is omitted.
    pub(super) message: Vec<u8>,
    /// Whether the first part after the level starts with a comma that has nothing before it.
    pub(super) begins_with_comma: bool,
    /// Up to the time, or to its position.
    pub(super) opening: Vec<u8>,
    /// From after the time to after the level.
    pub(super) levels: [Vec<u8>; 6],
}

impl JsonKeyNames {
    pub(super) fn new() -> Self {
        let wanted = ALL.map(|key| match key {
            Key::Timestamp => Some("timestamp"),
            Key::Level => Some("level"),
            Key::Target => Some("target"),
            Key::Message => Some("message"),
            Key::Truncated => Some("truncated"),
            Key::Module | Key::File | Key::Line => None,
        });
        let mut keys = JsonKeyNames {
            wanted: wanted.map(|name| name.map(String::from)),
            names: Default::default(),
            has_timestamp: true,
            message: Vec::new(),
            begins_with_comma: false,
            opening: Vec::new(),
            levels: Default::default(),
        };
        keys.resolve();
        keys
    }

    pub(super) fn set(&mut self, key: Key, name: Option<String>) {
        self.wanted[key as usize] = name;
        self.resolve();
    }

    /// Whether fields cannot have this name.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// Writes `,"name":`, or nothing if the key is omitted; returns whether a value must follow.
    pub(super) fn write(&self, key: Key, out: &mut Vec<u8>) -> bool {
        let name = self.names[key as usize].as_deref();
        name.map(|name| write_name(name, out)).is_some()
    }

    /// Writes the source of an event: target, module, file, line.
    pub(super) fn write_location(&self, place: SourceLocation<'_>, out: &mut Vec<u8>) {
        let texts = [(Key::Target, Some(place.target)), (Key::Module, place.module), (Key::File, place.file)];
        for (key, text) in texts {
            if let Some(text) = text
                && self.write(key, out)
            {
                write_string(text, out);
            }
        }
        if let Some(line) = place.line
            && self.write(Key::Line, out)
        {
            out.extend_from_slice(itoa::Buffer::new().format(line).as_bytes());
        }
    }

    /// Appends `_` to the later of two keys with the same name, and writes the parts that are the same in every line.
    fn resolve(&mut self) {
        self.names = Default::default();
        for (key, wanted) in self.wanted.clone().into_iter().enumerate() {
            let Some(mut name) = wanted else { continue };
            while self.is_reserved(&name) {
                name.push('_');
            }
            self.names[key] = Some(name);
        }
        let has = |key: Key| self.names[key as usize].is_some();
        self.has_timestamp = has(Key::Timestamp);
        self.begins_with_comma = !self.has_timestamp && !has(Key::Level);

        let mut message = Vec::new();
        if self.write(Key::Message, &mut message) {
            message.push(b'"');
        }
        self.message = message;

        let mut opening = b"{".to_vec();
        if self.write(Key::Timestamp, &mut opening) {
            // The comma.
            opening.remove(1);
            opening.push(b'"');
        }
        self.opening = opening;
        self.levels = Level::ALL.map(|level| self.level(level));
    }

    fn level(&self, level: Level) -> Vec<u8> {
        let mut out = Vec::new();
        if self.has_timestamp {
            out.push(b'"');
        }
        if self.write(Key::Level, &mut out) {
            write_string(level.as_upper_str(), &mut out);
            if !self.has_timestamp {
                // Nothing precedes it that a comma could separate it from.
                out.remove(0);
            }
        }
        out
    }
}

/// The source of an event.
#[derive(Clone, Copy)]
pub(super) struct SourceLocation<'a> {
    pub(super) target: &'a str,
    pub(super) module: Option<&'a str>,
    pub(super) file: Option<&'a str>,
    pub(super) line: Option<u32>,
}

impl<'a> SourceLocation<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        SourceLocation { target: event.target(), module: event.module(), file: event.file(), line: event.line() }
    }
}
