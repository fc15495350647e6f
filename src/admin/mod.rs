//! A service thread: the HTTP that the logger serves, on the runtime of its flush task.
//!
//! In: scrapes of `/metrics`; the listener, which `builder` binds in `start()`.
//! Out: responses; a call of `runtime` that refreshes the metrics before each response.
//!
//! Invariants:
//! * At most 16 connections are open; further ones wait in the listener's queue.
//! * The server holds the logger weakly: it never keeps a logger alive.
//! * Log calls made by the server are suppressed.
//!
//! Next: the Prometheus server that scrapes.
//!
//! Add a page in [`metrics`] next to `/metrics`, or in a file of its own.

mod metrics;

pub(crate) use metrics::{Exporter, Server};
