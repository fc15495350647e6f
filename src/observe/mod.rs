//! Any thread: what the logger reports about itself, its errors and its metrics.
//!
//! In: errors of `pipeline`, `dispatch`, `runtime` and `lifecycle`; snapshots of the counters from `runtime`, which calls
//! [`metrics::LoggerMetrics::refresh`].
//! Out: reports to the handler of `Builder::on_error`, or to standard error; values for a metrics recorder.
//!
//! Invariants:
//! * Reporting never waits, and never uses the logger's own queue: a report would be lost together with its subject.
//! * Metrics cost a caller nothing: the flush task and each rendered page refresh them.
//! * Every series exists from the first scrape on, with the value 0.
//! * Counters get differences, so they continue when a logger of the same name follows on one recorder. Two running
//!   loggers on one recorder never have the same name ([`names`]).
//!
//! Next: the user's handler or standard error; for metrics, the recorder that `admin` serves or the user passes.
//!
//! Add an error of the logger in [`diagnostics::Diagnostic`]; a metric in `metrics.rs`, from a counter of `stats`.

pub(crate) mod at_exit;
pub(crate) mod diagnostics;
#[cfg(feature = "prometheus")]
pub(crate) mod exporter;
pub(crate) mod metrics;
pub(crate) mod names;
