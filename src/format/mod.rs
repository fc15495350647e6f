//! Anywhere a sink formats (pure): events become bytes.
//!
//! [`Text`] is one line for people: what a console shows unless told otherwise. [`Json`] is one JSON object per line for
//! programs: what a file or a pipe should hold if anything is to read it. Neither can be made to write a second line, an
//! escape sequence or a key of its own choice by what an event carries.
//!
//! # A format of your own
//! ```
//! use logweir::format::Format;
//! use logweir::{Event, Level, Record};
//!
//! /// `INFO|shop|order paid|cents=950`
//! struct Piped;
//!
//! impl Format for Piped {
//!     fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
//!         let mut line = format!("{}|{}|{}", record.level().as_upper_str(), record.target(), record.message());
//!         for (name, value) in record.fields_beside_message() {
//!             line += &format!("|{name}={value}");
//!         }
//!         // Whoever writes lines must see to it that no value can begin one.
//!         out.extend_from_slice(line.escape_debug().to_string().as_bytes());
//!         out.push(b'\n');
//!     }
//! }
//!
//! let event = Event::dynamic(Level::Info, "shop", "order\npaid").with("cents", 950);
//! let mut out = Vec::new();
//! Piped.write(&Record::from(&event), &mut out);
//! assert_eq!(out, b"INFO|shop|order\\npaid|cents=950\n");
//! ```

mod embedded;
mod escape;
mod json;
mod text;
mod timestamp;

pub use json::Json;
pub use text::Text;
pub use timestamp::UtcOffset;

use crate::event::Record;

/// Turns an event into bytes, its terminator (a newline, say) included. It cannot fail.
///
/// A format belongs to one sink and may keep state between calls (a timestamp's prefix, say).
pub trait Format: Send + 'static {
    /// Appends the record to `out`.
    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>);
}
