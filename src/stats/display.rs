//! Anywhere (pure): the text form of reports.

use std::fmt;

use super::{ShutdownReport, SinkStats};
use crate::format::plain::Foreign;

/// Several lines: the time, the queue's equations, each sink, and other counters that are not 0.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Foreign(&self.logger))?;
        self.write_parts(f, "\n  ")
    }
}

impl ShutdownReport {
    /// Writes the report without the logger's name.
    pub(crate) fn write_parts(&self, f: &mut fmt::Formatter<'_>, separator: &str) -> fmt::Result {
        let how = if self.timed_out { "the deadline passed after" } else { "shut down in" };
        write!(f, "{how} {:.3} s", self.elapsed.as_secs_f64())?;
        let Self { emitted, accepted, refused, evicted, dispatched, .. } = self;
        write!(f, "{separator}emitted {emitted} = accepted {accepted} + refused {} ({refused})", refused.total())?;
        let evictions = evicted.total();
        write!(f, "{separator}accepted {accepted} = dispatched {dispatched} + evicted {evictions} ({evicted})")?;
        for sink in &self.sinks {
            write!(f, "{separator}{sink}")?;
        }
        let apart = [
            ("truncated", self.truncated),
            ("suppressed", self.suppressed),
            ("sampled", self.sampled),
            ("failed hooks", self.failed_hooks),
        ];
        let mut apart = apart.iter().filter(|(_, count)| *count > 0);
        apart.try_for_each(|(what, count)| write!(f, "{separator}{what} {count}"))
    }
}

/// One line: the equation, then bytes and errors.
impl fmt::Display for SinkStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, recovered, routed, delivered, dropped, .. } = self;
        write!(f, "{}: ", Foreign(name))?;
        if *recovered > 0 {
            write!(f, "recovered {recovered} + ")?;
        }
        write!(f, "routed {routed} = delivered {delivered}")?;
        let rest = [
            ("fallback", self.delivered_by_fallback),
            ("unconfirmed", self.unconfirmed),
            ("backlog", self.backlog),
            ("spooled", self.spooled),
            ("in flight", self.in_flight),
        ];
        rest.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, " + {what} {count}"))?;
        write!(f, " + dropped {} ({dropped}); {} bytes", dropped.total(), self.written_bytes)?;
        let apart =
            [("filtered", self.filtered), ("bypassed the spool", self.spool_bypassed), ("notices", self.notices)];
        apart.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, ", {what} {count}"))?;
        match &self.last_error {
            Some(last) => write!(f, ", {} errors, the last: {} ({})", self.errors, Foreign(&last.message), last.kind),
            None => Ok(()),
        }
    }
}
