//! Any thread: what lanes and waiting are made of. `tests/schedules` puts loom's in place of this file, so that the files
//! beside it run there in every order of steps.

pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) use tokio::sync::{Notify, mpsc};

pub(super) use crate::context::contain::contain;
pub(super) use crate::context::suppress::unobserved;
