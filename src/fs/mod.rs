//! A sink's thread or a service thread: what log files need of a file system beyond `std`.
//!
//! In: paths and open files. Out: answers of the operating system. Nothing is kept between two calls, and no call waits
//! for another process.
//!
//! `lock.rs` locks files, `identity.rs` tells whether a path still names an open file, `sync.rs` writes names to disk,
//! `symlink.rs` points a link to a file. Next: the operating system.

mod identity;
mod lock;
mod symlink;
mod sync;

pub(crate) use identity::{FileId, is_at_path, is_gone, is_linked, or_current_dir, parent_dir};
pub(crate) use lock::{Lock, LockedFile};
pub(crate) use symlink::point_symlink;
pub(crate) use sync::sync_dir;
