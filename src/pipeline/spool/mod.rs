//! A spool task: keeps the events of a pipeline in a store before they are offered to the sink, and until they are settled.
//!
//! ```text
//!  flush task ── enqueue ──▶ backlog ──▶ spool task: append, read back ◀──▶ store
//!                                         │ ready                 ▲ progress
//!                                         ▼                       │
//!                                        sink task: deliver ── settled
//! ```
//!
//! The spool task and the sink task share a [`SpoolAccount`], behind the lock of the sink's handle; neither waits for the
//! other. The sink task alone decides what is settled, the spool task alone appends and reads.
//!
//! Invariants:
//! * `next - frontier = spooled + in flight + settled behind the frontier`, at every moment.
//! * An event is offered to the sink after its append has ended, or has exceeded its timeout.
//! * What is in the store is dropped for no outage.

mod account;
mod sync;
mod task;

use std::sync::Arc;

use crate::spool::{Recovered, SpoolStore};

pub(super) use account::SpoolAccount;
pub(super) use sync::{close, sync};
pub(super) use task::run_task;

/// The store of a pipeline's spool, and what was found in it once it is open.
pub(crate) struct OpenSpool {
    pub(crate) store: Arc<dyn SpoolStore>,
    pub(crate) recovered: Recovered,
}
