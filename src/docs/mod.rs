//! Documentation only: guides.
//!
//! In: Markdown or doc comments. Out: pages of the documentation, and doctests.
//!
//! Invariant: no code; the room exists only where documentation is built or tested.
//!
//! Next: none. Add a page as a module, with its programs as doctests.

/// How a process ends, and what has arrived then.
#[cfg_attr(all(unix, feature = "signal"), doc = include_str!("exit.md"))]
pub mod exit {}
pub mod migrating;

/// What survives what: the spool.
#[cfg_attr(feature = "spool", doc = include_str!("spool.md"))]
pub mod spool {}
