//! Anywhere a sink formats (pure): events become bytes.

use crate::event::Record;

/// Turns an event into bytes, its terminator (a newline, say) included. It cannot fail.
///
/// A format belongs to one sink and may keep state between calls (a timestamp's prefix, say).
pub trait Format: Send + 'static {
    /// Appends the record to `out`.
    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>);
}
