//! Anywhere (pure): the text form of reports.

use std::fmt;

use super::{ShutdownReport, SinkStats};

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.timed_out { "the deadline passed after" } else { "shut down in" };
        writeln!(f, "{}: {how} {:.3} s", self.logger, self.elapsed.as_secs_f64())?;
        let Self { emitted, accepted, refused, evicted, .. } = self;
        write!(f, "  emitted {emitted} = accepted {accepted} + refused {} ({refused})", refused.total())?;
        write!(
            f,
            "\n  accepted {accepted} = dispatched {} + evicted {} ({evicted})",
            self.dispatched,
            evicted.total()
        )?;
        for sink in &self.sinks {
            write!(f, "\n  {sink}")?;
        }
        let apart = [
            ("truncated", self.truncated),
            ("suppressed", self.suppressed),
            ("sampled", self.sampled),
            ("failed hooks", self.failed_hooks),
        ];
        apart.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, "\n  {what} {count}"))
    }
}

/// One line: the equation, then bytes and errors.
impl fmt::Display for SinkStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, routed, delivered, dropped, .. } = self;
        write!(f, "{name}: routed {routed} = delivered {delivered}")?;
        let rest = [
            ("fallback", self.delivered_by_fallback),
            ("unconfirmed", self.unconfirmed),
            ("backlog", self.backlog),
            ("in flight", self.in_flight),
        ];
        rest.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, " + {what} {count}"))?;
        write!(f, " + dropped {} ({dropped}); {} bytes", dropped.total(), self.written_bytes)?;
        let apart = [("filtered", self.filtered), ("notices", self.notices)];
        apart.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, ", {what} {count}"))?;
        match &self.last_error {
            Some(last) => write!(f, ", {} errors, the last: {} ({})", self.errors, last.message, last.kind),
            None => Ok(()),
        }
    }
}
