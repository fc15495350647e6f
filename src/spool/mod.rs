//! A spool's thread: keeps events in files, from before they are offered to a sink until they are settled.
//!
//! ```text
//!  pipeline ── SpoolStore: append, read, advance, sync ──▶ thread ──▶ disk: folders in one row ──▶ folder: segments, frontier
//!                                                                                                  └─ layout: their bytes
//! ```
//!
//! In: batches and what is settled of them, from `pipeline`. Out: files; batches that are read back, and what earlier processes
//! left.
//!
//! Invariants:
//! * What a synchronization has confirmed is there after a crash, until it is settled.
//! * Nothing in a file is believed after a synchronization of it has failed.
//! * A frontier that is too old costs duplicates, one that is too new does not exist: it is written after what it settles.
//! * Damage costs the records it is in, and is counted by the gap in the positions.
//!
//! Add a call of the file system in `fs.rs`; a change of the bytes in `layout.rs` is another version.
//!
//! Next: `fs`, and the file system.

#[cfg(feature = "spool")]
mod disk;
#[cfg(feature = "spool")]
mod folder;
#[cfg(feature = "spool")]
mod frontier;
#[cfg(feature = "spool")]
mod fs;
#[cfg(feature = "spool")]
mod layout;
#[cfg(feature = "spool")]
mod options;
mod positions;
#[cfg(feature = "spool")]
mod reader;
#[cfg(feature = "spool")]
mod segment;
mod store;
#[cfg(all(test, feature = "spool"))]
mod tests;
#[cfg(feature = "spool")]
mod thread;
#[cfg(feature = "spool")]
mod unclaimed;

#[cfg(feature = "spool")]
pub(crate) use fs::Os;
#[cfg(feature = "spool")]
pub use options::Spool;
pub(crate) use positions::Positions;
#[cfg(feature = "spool")]
pub use reader::{SpoolCheck, SpoolReader, SpoolSegment};
#[doc(hidden)]
pub use store::{AppendError, Recovered, SpoolFinding, SpoolStore};
pub use store::{SpoolProgress, Stored};
#[cfg(feature = "spool")]
pub(crate) use thread::DiskStore;
