//! A sink's thread or a service thread: what log files need of a file system beyond `std`.
//!
//! In: paths and open files. Out: answers of the operating system. Nothing is kept between two calls, and no call waits
//! for another process.
//!
//! `lock.rs` locks files, `identity.rs` tells whether a path still names an open file, `sync.rs` writes names to disk,
//! `names.rs` points a link to a file, `kind.rs` tells a disk from another machine's. Next: the operating system.

mod identity;
#[cfg(feature = "spool")]
mod kind;
mod lock;
mod names;
mod sync;

pub(crate) use identity::{FileId, is_at_path, is_gone, is_linked, parent_dir};
#[cfg(feature = "spool")]
pub(crate) use kind::{FsKind, kind_of};
pub(crate) use lock::{LockedFile, is_busy};
pub(crate) use names::{point_symlink, rename_new};
pub(crate) use sync::sync_dir;
