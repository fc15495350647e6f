//! Anywhere (pure): what survives a crash.

/// What survives a crash.
///
/// | | an event is delivered when | killed process | power cut, kernel crash |
/// |---|---|---|---|
/// | `Buffered` | the operating system has it | every delivered event | what the system wrote back by itself, often all but the last 30 s |
/// | `SyncOnFlush` | the operating system has it | every delivered event | also everything before the last flush or shutdown |
/// | `SyncEveryBatch` | the disk has it | every delivered event | every delivered event |
///
/// The disk has what it reported as written (`fdatasync`); the logger cannot detect a disk that misreports its cache.
/// Every file that was written to is synchronized, also one that is rolled before the flush. On Unix, `SyncOnFlush` and
/// `SyncEveryBatch` also write the names of new files and directories to disk, if the file system can.
///
/// After a failed synchronization, a later successful one proves nothing: the system may have dropped what it could not
/// write. So every later flush fails too, until the file is left: rolled or, if it is the only one, reopened. Its error is a
/// [`SyncError`](crate::sink::SyncError) with the number of unconfirmed events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Does not wait for the disk. Every batch is passed to the operating system before its write returns.
    #[default]
    Buffered,
    /// Waits for the disk at each flush, hence also at shutdown.
    SyncOnFlush,
    /// Waits for the disk after each batch: some milliseconds on a disk without a protected cache. If the disk does not
    /// confirm, no event of the batch counts as delivered, although its lines may be there: a retry may repeat them.
    SyncEveryBatch,
    /// Of a [`Spool`](crate::Spool): waits for the disk so long after a batch, for all that has come since. A file sink cannot be
    /// opened with it.
    #[cfg(feature = "spool")]
    SyncInterval(std::time::Duration),
}
