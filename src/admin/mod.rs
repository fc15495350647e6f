//! A service thread: the HTTP that the logger serves, on a thread of its own.
//!
//! In: scrapes of `/metrics`; the listener, which `builder` binds in `start()`.
//! Out: responses; a call of `runtime` that refreshes and renders the metrics, at most once in 200 ms.
//!
//! Invariants:
//! * Clients cost the flush task nothing but the lock of that snapshot.
//! * At most 16 connections are open; the one that has been idle longest gives way to a further one. Each has a
//!   timeout for every phase and a maximum lifetime ([`activity`]).
//! * The server holds the logger weakly: it never keeps a logger alive.
//! * Log calls made by the server are suppressed. A panic of the server is reported, and the logger continues.
//!
//! Next: the Prometheus server that scrapes.
//!
//! Add a page in [`page`] beside `/metrics`; a limit for connections in [`activity`].

mod activity;
mod endpoint;
mod page;
mod prometheus;
mod stream;

pub(crate) use endpoint::Endpoint;
pub use prometheus::Prometheus;
